// SPDX-License-Identifier: Apache-2.0
// RMSNormalization, GroupNormalization and InstanceNormalization.
#include "core/error.h"
#include "core/widen.h"
#include "import/onnx/restate.h"

namespace vitrail::onnx_import {
// y = x / sqrt(mean(x²) + epsilon) · scale over the axes from `axis` on.
Status restate_rms_norm(Restatement& r) {
  const ValueId x = r.input(0);
  const DType dtype = r.dtype(x);
  VTL_ASSIGN(const SymShape dims, r.shape(x));
  const auto rank = static_cast<int64_t>(dims.size());
  int64_t axis = r.call().integer("axis", -1);
  if (axis < -rank || axis >= rank) return bad_input("its axis {} is none of {}", axis, to_string(dims));
  std::vector<int64_t> axes;
  for (axis = axis < 0 ? axis + rank : axis; axis < rank; ++axis) axes.push_back(axis);
  // Squares of 16-bit floats overflow beyond 256.
  const bool widen = is_half(dtype) && r.call().integer("stash_type", 1) == 1;
  constexpr int64_t kOnnxFloat = 1;
  const ValueId wide = widen ? r.emit(Op::Cast, {x}, {{"to", kOnnxFloat}}) : x;
  const ValueId squares = r.emit(Op::ReduceMean, {r.emit(Op::Mul, {wide, wide}), r.integers(axes)});
  const ValueId epsilon =
      r.number(static_cast<double>(r.call().real("epsilon", 1e-5f)), widen ? DType::kF32 : dtype);
  ValueId normal = r.emit(Op::Div, {wide, r.emit(Op::Sqrt, {r.emit(Op::Add, {squares, epsilon})})});
  if (widen) normal = r.emit(Op::CastLike, {normal, x});
  r.finish(0, Op::Mul, {normal, r.input(1)});
  return {};
}

// x is [N, C, …]. A group is one row of a LayerNormalization; groups = 0: each channel is a group.
Status restate_group_norm(Restatement& r, int64_t groups) {
  const ValueId x = r.input(0);
  VTL_ASSIGN(const SymShape dims, r.shape(x));
  if (dims.size() < 2) return bad_input("its input is {}, needs [N,C,…]", to_string(dims));
  std::vector<int64_t> back{0};  // the batch as it is
  int64_t elements = 1;
  for (size_t i = 1; i < dims.size(); ++i) {
    VTL_ASSIGN(const int64_t extent, r.extent(x, static_cast<int64_t>(i)));
    back.push_back(extent);
    elements *= extent;
  }
  const int64_t channels = back[1];
  if (groups == 0) groups = channels;
  if (groups < 1 || channels % groups != 0)
    return bad_input("its {} channels do not divide into {} groups", channels, groups);
  const int64_t width = elements / groups;
  const DType dtype = r.dtype(x);
  const ValueId ones = r.emit(Op::Expand, {r.number(1, dtype), r.integers({width})});
  const ValueId rows = r.emit(Op::Reshape, {x, r.integers({0, groups, width})});
  const ValueId normal = r.emit(Op::LayerNormalization, {rows, ones},
                                {{"axis", int64_t{-1}}, {"epsilon", r.call().real("epsilon", 1e-5f)}});
  const ValueId image = r.emit(Op::Reshape, {normal, r.integers(back)});
  // One number for each channel, against [C, 1, 1 …].
  std::vector<int64_t> column(dims.size() - 1, 1);
  column[0] = channels;
  ValueId parameters[2];
  for (size_t i = 0; i < 2; ++i) {
    ValueId p = r.input(i + 1);
    VTL_ASSIGN(const int64_t given, r.extent(p, 0));
    if (given == groups && groups != channels) {  // opset 18: one for each group
      p = r.emit(Op::Reshape, {p, r.integers({groups, 1})});
      p = r.emit(Op::Expand, {p, r.integers({groups, channels / groups})});
    } else if (given != channels) {
      return bad_input("its input {} has {} elements for {} channels", i + 1, given, channels);
    }
    parameters[i] = r.emit(Op::Reshape, {p, r.integers(column)});
  }
  r.finish(0, Op::Add, {r.emit(Op::Mul, {image, parameters[0]}), parameters[1]});
  return {};
}

}  // namespace vitrail::onnx_import
