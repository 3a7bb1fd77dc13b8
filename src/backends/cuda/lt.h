// SPDX-License-Identifier: Apache-2.0
// cuBLASLt, found at run time: matrix products on every GPU, and the peer of our own on Hopper.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <string>
#include <vector>

#include "backends/cuda/kernels/types.h"
#include "vitrail/status.h"

namespace vitrail::cuda {

// D[m, n] = alpha·A[m, k]·B[n, k]ᵀ (+ bias_n) (+ D's old content or C), row-major, float32 accumulation
// (int32 for kS8, whose D is int32 in `out` = kF32-sized words).
struct LtProblem {
  int64_t m = 0, n = 0, k = 0;
  int64_t batch = 1;                                 // strided batch: of A, B, D
  int64_t a_stride = 0, b_stride = 0, d_stride = 0;  // elements between matrices of the batch
  bool b_is_k_by_n = false;                          // B given as [k, n] instead of [n, k]
  Type in = Type::kF16, out = Type::kF16;
  bool tf32 = false;      // kF32 operands may be rounded to TF32
  bool bias = false;      // [n] in `out`'s type… float32 for kF32
  bool residual = false;  // C [m, n] of out's type is added
};

// The library and its handle; one a process. kUnavailable names what was looked for and what to install.
class Lt {
 public:
  static Result<std::shared_ptr<Lt>> open();
  virtual ~Lt() = default;
  virtual std::string version() const = 0;  // "13.1.0"

  struct Plan {  // an algorithm for one problem; immutable, shared
    virtual ~Plan() = default;
    virtual size_t workspace_bytes() const = 0;
  };
  // Up to `count` plans, the library's favourite first; none needs more workspace than given.
  virtual Result<std::vector<std::shared_ptr<const Plan>>> plans(const LtProblem& problem, size_t workspace,
                                                                 int count) const = 0;
  virtual Status run(const Plan& plan, const void* a, const void* b, const void* bias, const void* residual,
                     void* d, void* workspace, cudaStream_t stream, float alpha = 1.0f) const = 0;
};

}  // namespace vitrail::cuda
