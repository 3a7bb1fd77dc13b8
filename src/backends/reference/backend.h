// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "runtime/backend.h"

namespace vitrail {

// Plain loops, the truth of every test: float arithmetic in double, rounded once a layer. Runs every operator
// and any instruction set with the same bits, in the types of the model; a context allocates while it runs,
// within the plan.
std::unique_ptr<Backend> make_reference_backend();

}  // namespace vitrail
