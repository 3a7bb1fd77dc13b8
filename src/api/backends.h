// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/registry.h"

namespace vitrail {

// Every backend of this build, the preferred one first.
BackendRegistry make_backends();

}  // namespace vitrail
