// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "runtime/backend.h"

namespace vitrail {

// NVIDIA GPUs: fp32, tf32, fp16, bf16, fp8 and int8. On Hopper the products, the attention and everything
// between them are Vitrail's own kernels; elsewhere cuBLASLt multiplies. A batch is one CUDA graph.
std::unique_ptr<Backend> make_cuda_backend();

}  // namespace vitrail
