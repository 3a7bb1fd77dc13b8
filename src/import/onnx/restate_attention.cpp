// SPDX-License-Identifier: Apache-2.0
// Attention and RotaryEmbedding (ONNX opset 23).
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "import/onnx/restate.h"

namespace vitrail::onnx_import {
namespace {

// [B, S, heads · d] to [B, heads, S, d]; [B, heads, S, d] stays.
Result<ValueId> split_heads(Restatement& r, ValueId x, size_t rank, std::string_view attribute) {
  if (rank == 4) return x;
  const int64_t heads = r.call().integer(attribute, 0);
  VTL_ASSIGN(const int64_t width, r.extent(x, 2));
  if (heads < 1 || width % heads != 0)
    return bad_input("its {} columns do not divide into {} = {}", width, attribute, heads);
  const ValueId parts = r.emit(Op::Reshape, {x, r.integers({0, 0, heads, width / heads})});
  return r.emit(Op::Transpose, {parts}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
}

// Each head of [B, heads, S, d] `times` times, one after the other.
Result<ValueId> repeat_heads(Restatement& r, ValueId x, int64_t times) {
  if (times == 1) return x;
  int64_t extents[3];
  for (int64_t axis = 1; axis < 4; ++axis) {
    VTL_ASSIGN(extents[axis - 1], r.extent(x, axis));
  }
  const ValueId apart = r.emit(Op::Unsqueeze, {x, r.integers({2})});
  const ValueId wide = r.emit(Op::Expand, {apart, r.integers({1, 1, times, 1, 1})});
  return r.emit(Op::Reshape, {wide, r.integers({0, extents[0] * times, extents[1], extents[2]})});
}

// What is added to the scores [B, heads, Sq, Sk]; kNoValue for nothing.
Result<ValueId> score_bias(Restatement& r, ValueId q, ValueId k, int64_t past, DType dtype) {
  const double never = -std::numeric_limits<double>::infinity();
  ValueId bias = r.input(3);
  if (bias != kNoValue) {
    if (r.dtype(bias) == DType::kBool)
      bias = r.emit(Op::Where, {bias, r.number(0, dtype), r.number(never, dtype)});
    VTL_ASSIGN(const int64_t covered, r.extent(bias, -1));
    VTL_ASSIGN(const int64_t keys, r.extent(k, 2));
    if (covered < keys && covered > 1) {  // keys beyond the mask are not looked at
      VTL_ASSIGN(const SymShape dims, r.shape(bias));
      std::vector<int64_t> pads(2 * dims.size(), 0);
      pads.back() = keys - covered;
      bias = r.emit(Op::Pad, {bias, r.integers(pads), r.number(never, dtype)});
    }
  }
  if (r.call().integer("is_causal", 0) == 0) return bias;
  VTL_ASSIGN(const int64_t rows, r.extent(q, 2));
  VTL_ASSIGN(const int64_t columns, r.extent(k, 2));
  if (rows * columns > int64_t{1} << 28)
    return bad_input("a causal mask of {} × {} is too large", rows, columns);
  // Query i sees the keys up to i + past.
  Tensor seen(DType::kBool, {rows, columns});
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j <= std::min(i + past, columns - 1); ++j)
      seen.as_mutable<uint8_t>()[static_cast<size_t>(i * columns + j)] = 1;
  const ValueId causal =
      r.emit(Op::Where, {r.constant(std::move(seen)), r.number(0, dtype), r.number(never, dtype)});
  return bias == kNoValue ? causal : r.emit(Op::Add, {causal, bias});
}

}  // namespace

// Y = softmax(softcap(Q · Kᵀ · scale) + bias) · V; three axes or four, as the inputs have.
Status restate_attention(Restatement& r) {
  for (std::string_view later : {"left_window_size", "right_window_size"})
    if (r.call().integer(later, -1) != -1) return bad_input("its attribute {} is not supported", later);
  VTL_ASSIGN(const SymShape dims, r.shape(r.input(0)));
  const size_t rank = dims.size();
  if (rank != 3 && rank != 4) return bad_input("its query is {}, needs three or four axes", to_string(dims));
  const DType dtype = r.dtype(r.input(0));
  VTL_ASSIGN(const ValueId q, split_heads(r, r.input(0), rank, "q_num_heads"));
  VTL_ASSIGN(ValueId k, split_heads(r, r.input(1), rank, "kv_num_heads"));
  VTL_ASSIGN(ValueId v, split_heads(r, r.input(2), rank, "kv_num_heads"));
  int64_t past = 0;
  if ((r.input(4) == kNoValue) != (r.input(5) == kNoValue))
    return bad_input("it has a past key or a past value without the other");
  if (r.input(4) != kNoValue) {
    VTL_ASSIGN(past, r.extent(r.input(4), 2));
    k = r.emit(Op::Concat, {r.input(4), k}, {{"axis", int64_t{2}}});
    v = r.emit(Op::Concat, {r.input(5), v}, {{"axis", int64_t{2}}});
  }
  r.finish(1, Op::Identity, {k});
  r.finish(2, Op::Identity, {v});
  VTL_ASSIGN(const int64_t heads, r.extent(q, 1));
  VTL_ASSIGN(const int64_t kv_heads, r.extent(k, 1));
  if (kv_heads < 1 || heads % kv_heads != 0)
    return bad_input("its {} query heads are no multiple of {} key heads", heads, kv_heads);
  VTL_ASSIGN(k, repeat_heads(r, k, heads / kv_heads));
  VTL_ASSIGN(v, repeat_heads(r, v, heads / kv_heads));

  VTL_ASSIGN(const int64_t width, r.extent(q, 3));
  const float given = r.call().real("scale", 0);
  const double scale = given != 0 ? static_cast<double>(given) : 1.0 / std::sqrt(static_cast<double>(width));
  // On the queries: scores of 16-bit floats might overflow before they are scaled.
  const ValueId scaled = r.emit(Op::Mul, {q, r.number(scale, dtype)});
  const ValueId turned = r.emit(Op::Transpose, {k}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
  ValueId scores = r.emit(Op::MatMul, {scaled, turned});
  const int64_t mode = r.call().integer("qk_matmul_output_mode", 0);
  ValueId shown = scores;
  if (const auto cap = static_cast<double>(r.call().real("softcap", 0)); cap > 0) {
    const ValueId limit = r.number(cap, dtype);
    scores = r.emit(Op::Mul, {r.emit(Op::Tanh, {r.emit(Op::Div, {scores, limit})}), limit});
  }
  if (mode == 1) shown = scores;
  VTL_ASSIGN(const ValueId bias, score_bias(r, q, k, past, dtype));
  if (bias != kNoValue) scores = r.emit(Op::Add, {scores, bias});
  if (mode == 2) shown = scores;
  ValueId weights = r.emit(Op::Softmax, {scores}, {{"axis", int64_t{-1}}});
  if (r.input(3) != kNoValue)  // a query that sees no key gets zeros
    weights = r.emit(Op::Where, {r.emit(Op::IsNaN, {weights}), r.number(0, dtype), weights});
  if (mode == 3) shown = weights;
  if (mode < 0 || mode > 3) return bad_input("its qk_matmul_output_mode is {}, not 0 to 3", mode);
  r.finish(3, Op::Identity, {shown});
  if (rank == 4) {
    r.finish(0, Op::MatMul, {weights, v});
    return {};
  }
  VTL_ASSIGN(const int64_t v_width, r.extent(v, 3));
  const ValueId together =
      r.emit(Op::Transpose, {r.emit(Op::MatMul, {weights, v})}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  r.finish(0, Op::Reshape, {together, r.integers({0, 0, heads * v_width})});
  return {};
}

// Turns pairs of columns of each head by the angles of their position (Su et al. 2021).
Status restate_rotary_embedding(Restatement& r) {
  VTL_ASSIGN(const SymShape dims, r.shape(r.input(0)));
  const size_t rank = dims.size();
  if (rank != 3 && rank != 4) return bad_input("its input is {}, needs three or four axes", to_string(dims));
  VTL_ASSIGN(const ValueId x, split_heads(r, r.input(0), rank, "num_heads"));
  VTL_ASSIGN(const int64_t heads, r.extent(x, 1));
  VTL_ASSIGN(const int64_t width, r.extent(x, 3));
  int64_t turned = r.call().integer("rotary_embedding_dim", 0);
  if (turned == 0) turned = width;
  if (turned < 2 || turned > width || turned % 2 != 0)
    return bad_input("rotary_embedding_dim {} does not fit heads of {} columns", turned, width);
  // [B, S, d/2], or [positions, d/2] and the positions of each token.
  ValueId angles[2];
  for (size_t i = 0; i < 2; ++i) {
    ValueId cache = r.input(i + 1);
    if (r.input(3) != kNoValue) cache = r.emit(Op::Gather, {cache, r.input(3)}, {{"axis", int64_t{0}}});
    angles[i] = r.emit(Op::Unsqueeze, {cache, r.integers({1})});
  }
  auto columns = [&](ValueId from, int64_t first, int64_t end, int64_t step) {
    return r.emit(Op::Slice,
                  {from, r.integers({first}), r.integers({end}), r.integers({3}), r.integers({step})});
  };
  const bool interleaved = r.call().integer("interleaved", 0) != 0;
  const ValueId a = interleaved ? columns(x, 0, turned, 2) : columns(x, 0, turned / 2, 1);
  const ValueId b = interleaved ? columns(x, 1, turned, 2) : columns(x, turned / 2, turned, 1);
  const ValueId real = r.emit(Op::Sub, {r.emit(Op::Mul, {a, angles[0]}), r.emit(Op::Mul, {b, angles[1]})});
  const ValueId imaginary =
      r.emit(Op::Add, {r.emit(Op::Mul, {a, angles[1]}), r.emit(Op::Mul, {b, angles[0]})});
  ValueId y;
  if (interleaved) {
    VTL_ASSIGN(const int64_t tokens, r.extent(x, 2));
    const ValueId pairs = r.emit(
        Op::Concat,
        {r.emit(Op::Unsqueeze, {real, r.integers({4})}), r.emit(Op::Unsqueeze, {imaginary, r.integers({4})})},
        {{"axis", int64_t{4}}});
    y = r.emit(Op::Reshape, {pairs, r.integers({0, heads, tokens, turned})});
  } else {
    y = r.emit(Op::Concat, {real, imaginary}, {{"axis", int64_t{3}}});
  }
  if (turned < width) y = r.emit(Op::Concat, {y, columns(x, turned, width, 1)}, {{"axis", int64_t{3}}});
  if (rank == 4) {
    r.finish(0, Op::Identity, {y});
    return {};
  }
  const ValueId together = r.emit(Op::Transpose, {y}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  r.finish(0, Op::Reshape, {together, r.integers({0, 0, heads * width})});
  return {};
}

}  // namespace vitrail::onnx_import
