// SPDX-License-Identifier: Apache-2.0
#include "vitrail/version.h"

namespace vitrail {

const char* version() { return VITRAIL_VERSION; }

}  // namespace vitrail
