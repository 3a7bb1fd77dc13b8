// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "backends/tensorrt/module_entry.h"

namespace vitrail::tensorrt {

// The program that opened this module.
void set_host(const Host& host);
// Whether its user has interrupted it.
bool host_cancelled();

}  // namespace vitrail::tensorrt
