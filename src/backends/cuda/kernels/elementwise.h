// SPDX-License-Identifier: Apache-2.0
// Kernels that compute or move element by element.
#pragma once

#include <cuda_runtime.h>

#include "backends/cuda/kernels/types.h"

namespace vitrail::cuda {

// Conversion between kF32, kF16, kBF16; to kE4M3, kS8, kU8: x·scale + zero rounded to nearest even and saturated;
// from kS8, kU8, kE4M3: (x − zero)·scale.
cudaError_t launch_convert(const void* x, Type from, void* y, Type to, int64_t count, float scale, float zero,
                           cudaStream_t stream, bool dependent);

enum class Unary : uint8_t { kGelu, kGeluTanh, kRelu, kSigmoid, kTanh, kErf, kExp, kSqrt, kAbs, kNeg, kReciprocal };
cudaError_t launch_unary(Unary op, const void* x, void* y, Type type, int64_t count, cudaStream_t stream, bool dependent);

constexpr int kMaxRank = 8;

// y[i] = a[i] op b[i] with broadcasting: strides in elements, 0 along broadcast axes; y is dense.
enum class Binary : uint8_t { kAdd, kSub, kMul, kDiv };
struct BinaryArgs {
  Binary op = Binary::kAdd;
  const void *a = nullptr, *b = nullptr;
  void* y = nullptr;
  Type type = Type::kF16;
  int rank = 0;
  int64_t extents[kMaxRank] = {}, a_strides[kMaxRank] = {}, b_strides[kMaxRank] = {};
};
cudaError_t launch_binary(const BinaryArgs& args, cudaStream_t stream, bool dependent);

// Copies a strided view to a strided place: Transpose, Slice, Split, Concat, Expand, Gather of one index. Elements of
// `element_bytes` (1, 2, 4, 8); strides in elements.
struct CopyArgs {
  const void* x = nullptr;
  void* y = nullptr;
  int element_bytes = 2, rank = 0;
  int64_t extents[kMaxRank] = {}, x_strides[kMaxRank] = {}, y_strides[kMaxRank] = {};
};
cudaError_t launch_copy(const CopyArgs& args, cudaStream_t stream, bool dependent);

// y[o, j, i] = x[o, index[j], i]; `index` on the device, negative counts from the end of `axis_extent`.
cudaError_t launch_gather(const void* x, const int64_t* index, void* y, int64_t outer, int64_t axis_extent, int64_t count,
                          int64_t inner_bytes, cudaStream_t stream, bool dependent);

// What the epilogue of a product would have done: y = activation(x·col_scale_n + bias_n) + residual for x [rows,
// columns] of `from` (kF32, or the 16-bit type), y of `to` (kF32, 16-bit, or 8-bit with out_scale, out_zero). Any of
// bias, col_scale, residual may be null. In place is allowed when the types are equal.
struct EpilogueArgs {
  const void* x = nullptr;
  const float *bias = nullptr, *col_scale = nullptr;
  const void* residual = nullptr;  // [residual_rows, columns] of `residual_type`, row m reads m % residual_rows
  Type residual_type = Type::kF16;
  int64_t residual_rows = 0;
  void* y = nullptr;
  int64_t rows = 0, columns = 0;
  Type from = Type::kF32, to = Type::kF16;
  Activation activation = Activation::kNone;
  bool exact = false;  // erf from the library instead of the polynomial (float32 engines)
  float out_scale = 1, out_zero = 0;
};
cudaError_t launch_epilogue(const EpilogueArgs& args, cudaStream_t stream, bool dependent);

}  // namespace vitrail::cuda
