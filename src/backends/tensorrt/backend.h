// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "runtime/backend.h"

namespace vitrail {

// NVIDIA TensorRT, in a module of its own (libvitrail_tensorrt.so) that is opened when the backend is first
// asked for.
std::unique_ptr<Backend> make_tensorrt_backend();

}  // namespace vitrail
