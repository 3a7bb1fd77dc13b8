// SPDX-License-Identifier: Apache-2.0
#include "graph/infer.h"
#include "graph/infer_context.h"

namespace vitrail::infer {
namespace {

bool is_single(const SymShape& shape) { return element_count(shape) == Dim::of(1); }

// One scale for all, one for each index of an axis, or one for each block along it; zero points as scales.
Status check_parameters(Context& c) {
  if (!c.shape(0) || !c.shape(1)) return {};
  const SymShape &x = *c.shape(0), &scale = *c.shape(1);
  if (c.shape(2) && *c.shape(2) != scale && !(is_single(scale) && is_single(*c.shape(2))))
    return c.error("its scales and zero points differ in shape");
  if (is_single(scale)) return {};
  VTL_ASSIGN(const size_t axis, c.axis("axis", 1, x.size()));
  const int64_t block = c.node().integer("block_size", 0);
  if (block < 0 || block > kMaxElements) return c.error("block_size cannot be {}", block);
  SymShape wanted = block == 0 ? SymShape{x[axis]} : x;
  if (block != 0) {
    if (!x[axis].is_fixed()) return c.error("its blocks lie along an axis that depends on the batch");
    wanted[axis] = Dim::of((x[axis].fixed + block - 1) / block);
  }
  if (scale != wanted) return c.error("its scales must have the shape {}", to_string(wanted));
  return {};
}

// Attribute `output_dtype`, undefined where it is not given.
Result<DType> output_dtype(Context& c) {
  const int64_t wanted = c.node().integer("output_dtype", 0);
  const DType dtype = dtype_from_onnx(wanted);
  if (wanted != 0 && dtype == DType::kUndefined)
    return c.error("output_dtype {} is not a type that Vitrail has", wanted);
  return dtype;
}

}  // namespace

Status quantize(Context& c) {
  VTL_TRY(check_parameters(c));
  VTL_ASSIGN(DType dtype, output_dtype(c));
  if (c.has(2)) dtype = c.dtype(2);
  return c.set(0, dtype == DType::kUndefined ? DType::kU8 : dtype, c.in(0).shape);
}

Status dequantize(Context& c) {
  VTL_TRY(check_parameters(c));
  VTL_ASSIGN(const DType dtype, output_dtype(c));
  return c.set(0, dtype == DType::kUndefined ? c.dtype(1) : dtype, c.in(0).shape);
}

}  // namespace vitrail::infer
