// SPDX-License-Identifier: Apache-2.0
// What the operators share about shapes, axes and index arithmetic.
#pragma once

#include <array>

#include "backends/reference/kernel.h"

namespace vitrail::reference {

// The product of the extents; kResource when a tensor of that size cannot be made on this machine.
Result<int64_t> checked_count(const Call& call, const Shape& shape);
// A zero-filled output. All outputs are made here, so that no shape from a file allocates absurd memory.
Result<Tensor> make_output(const Call& call, DType dtype, const Shape& shape);

// An axis in [0, rank) from one in [-rank, rank).
Result<size_t> normalize_axis(const Call& call, int64_t axis, size_t rank);
// Marks the axes; a repeated one is an error.
Result<std::vector<bool>> mark_axes(const Call& call, const std::vector<int64_t>& axes, size_t rank);

// The content of an int32 or int64 tensor of rank 0 or 1.
Result<std::vector<int64_t>> read_integers(const Call& call, const Tensor& tensor);
// An attribute of `count` integers, each in [least, 2^28]; `fallback` for each when it is absent.
Result<std::vector<int64_t>> read_attribute(const Call& call, std::string_view name, size_t count,
                                            int64_t fallback, int64_t least);

// Elements between neighbours along each axis of a contiguous array.
Shape strides_of(const Shape& shape);
// Strides that read `from` as if it had the shape `to`: 0 along the axes that repeat. `from` must broadcast
// to `to`.
Result<Shape> broadcast_strides(const Call& call, const Shape& from, const Shape& to);
Result<Shape> broadcast_shapes(const Call& call, const Shape& a, const Shape& b);

// Products of the extents before, at and after an axis.
struct AxisSplit {
  int64_t outer = 1, extent = 1, inner = 1;
};
AxisSplit split_at(const Shape& shape, size_t axis);

// Calls f(out, offsets) for every element of `shape` in row-major order: `out` counts up, offsets[n] follows
// strides[n].
template <size_t N, class F>
void walk(const Shape& shape, const std::array<Shape, N>& strides, F&& f) {
  const int64_t count = element_count(shape);
  const size_t rank = shape.size();
  const int64_t inner = rank ? shape.back() : 1;
  Shape index(rank, 0);
  std::array<int64_t, N> row{};
  for (int64_t out = 0; out < count;) {
    std::array<int64_t, N> at = row;
    for (int64_t i = 0; i < inner; ++i) {
      f(out++, at);
      for (size_t n = 0; n < N; ++n) at[n] += rank ? strides[n].back() : 0;
    }
    for (size_t axis = rank ? rank - 1 : 0; axis-- > 0;) {
      for (size_t n = 0; n < N; ++n) row[n] += strides[n][axis];
      if (++index[axis] < shape[axis]) break;
      for (size_t n = 0; n < N; ++n) row[n] -= strides[n][axis] * shape[axis];
      index[axis] = 0;
    }
  }
}

}  // namespace vitrail::reference
