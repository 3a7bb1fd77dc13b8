// SPDX-License-Identifier: Apache-2.0
// A matrix product with its epilogue, by Vitrail's kernels or cuBLASLt: what Linear, PatchEmbed and the tuner
// share.
#pragma once

#include <memory>
#include <string>

#include "backends/cuda/kernels/gemm.h"
#include "backends/cuda/step.h"

namespace vitrail::cuda {

struct Product {
  Type type = Type::kF16;  // of A and B
  bool tf32 = false;
  GemmArgs args;
};

inline constexpr const char* kLtPrefix = "cublaslt:";  // "cublaslt:1" is the library's second choice

// Whether cuBLASLt and launch_epilogue can do what the product asks; else why not.
std::string refuse_lt(const Product& product);
// Bytes that the cuBLASLt form needs for its plain product.
int64_t lt_scratch_bytes(const Product& product);

// `config`: a GemmConfig's name, or kLtPrefix and a number; empty for the likely best of Vitrail's. `stats`: the value that
// the product's statistics go to, whose entry of Binding::stats_widths is set; kNoValue when it makes none.
Result<std::unique_ptr<Launch>> bind_product(const Product& product, const std::string& config,
                                             const Binding& binding, const std::string& where,
                                             ValueId stats = kNoValue);

}  // namespace vitrail::cuda
