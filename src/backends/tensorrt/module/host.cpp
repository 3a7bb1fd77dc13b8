// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/host.h"

namespace vitrail::tensorrt {
namespace {

Host host;

}  // namespace

void set_host(const Host& from) { host = from; }
bool host_cancelled() { return host.cancelled && host.cancelled(); }

}  // namespace vitrail::tensorrt
