// SPDX-License-Identifier: Apache-2.0
// Matrix products, normalisations and the fused layers of Vitrail.
#include <algorithm>

#include "graph/infer_context.h"
#include "graph/linear_inputs.h"

namespace vitrail::infer {
namespace {

// A normalisation along an axis leaves the shape; its scale and bias must broadcast to it.
Status keep_shape(Context& c, size_t first_parameter, size_t end_parameter, const SymShape& against) {
  for (size_t i = first_parameter; i < end_parameter; ++i) {
    if (c.shape(i) && broadcast(against, *c.shape(i)) != against)
      return c.error("its input {} does not broadcast to {}", i, to_string(against));
  }
  return c.set(0, c.dtype(0), c.in(0).shape);
}

// A positive attribute that every form of the layer needs.
Result<int64_t> count(Context& c, std::string_view attribute, int64_t fallback = 0) {
  const int64_t v = c.node().integer(attribute, fallback);
  if (v < 1 || v > kMaxWindow) return c.error("{} cannot be {}", attribute, v);
  return v;
}

// Where the columns of all heads start in a projection, which must hold them.
Status check_columns(Context& c, size_t input, std::string_view offset, int64_t width) {
  const int64_t first = c.node().integer(offset, 0);
  const Dim columns = c.shape(input)->back();
  if (!columns.is_fixed() || first < 0 || first > columns.fixed - width)
    return c.error("input {} has {} columns; {} from column {} on are needed", input, to_string(columns),
                   width, first);
  return {};
}

// Two numbers for each group of 64 columns (RowStats).
SymShape stats_shape(SymShape rows) {
  rows.back() = Dim::of((rows.back().fixed + 63) / 64 * 2);
  return rows;
}

}  // namespace

// Its layers are gone: what was known of its outputs stays.
Status plan(Context&) { return {}; }

Status matmul(Context& c) {
  if (!c.shape(0) || !c.shape(1)) return c.set(0, c.dtype(0), std::nullopt);
  SymShape a = *c.shape(0), b = *c.shape(1);
  if (a.empty() || b.empty()) return c.error("its inputs must not be scalars");
  if (c.dtype(0) != c.dtype(1))
    return c.error("its inputs are {} and {}; both must have one type", dtype_name(c.dtype(0)),
                   dtype_name(c.dtype(1)));
  const bool row = a.size() == 1, column = b.size() == 1;  // vectors, as in NumPy
  if (row) a.insert(a.begin(), Dim::of(1));
  if (column) b.push_back(Dim::of(1));
  const Dim m = a[a.size() - 2], k = a.back(), n = b.back();
  if (b[b.size() - 2] != k)
    return c.error("the inner extents {} and {} differ", to_string(k), to_string(b[b.size() - 2]));
  auto out = broadcast(SymShape(a.begin(), a.end() - 2), SymShape(b.begin(), b.end() - 2));
  if (!out)
    return c.error("the outer extents cannot be broadcast: they must be equal or 1 for every batch N");
  if (!row) out->push_back(m);
  if (!column) out->push_back(n);
  return c.set(0, c.dtype(0), std::move(out));
}

Status gemm(Context& c) {
  if (!c.shape(0) || !c.shape(1)) return c.set(0, c.dtype(0), std::nullopt);
  SymShape a = *c.shape(0), b = *c.shape(1);
  if (a.size() != 2 || b.size() != 2) return c.error("its inputs must be matrices");
  if (c.node().integer("transA", 0)) std::swap(a[0], a[1]);
  if (c.node().integer("transB", 0)) std::swap(b[0], b[1]);
  if (a[1] != b[0]) return c.error("the inner extents {} and {} differ", to_string(a[1]), to_string(b[0]));
  const SymShape out{a[0], b[1]};
  if (c.shape(2) && broadcast(out, *c.shape(2)) != out)
    return c.error("its input 2 does not broadcast to {}", to_string(out));
  return c.set(0, c.dtype(0), out);
}

Status softmax(Context& c) {
  if (!c.shape(0)) return c.set(0, c.dtype(0), std::nullopt);
  VTL_TRY(c.axis("axis", -1, c.shape(0)->size()).status());
  return c.set(0, c.dtype(0), c.in(0).shape);
}

Status layer_normalization(Context& c) {
  if (!c.shape(0)) return c.set(0, c.dtype(0), std::nullopt);
  const SymShape& in = *c.shape(0);
  VTL_ASSIGN(const size_t axis, c.axis("axis", -1, in.size()));
  return keep_shape(c, 1, c.input_count(),
                    SymShape(in.begin() + static_cast<std::ptrdiff_t>(axis), in.end()));
}

Status batch_normalization(Context& c) {
  if (!c.shape(0)) return c.set(0, c.dtype(0), std::nullopt);
  if (c.shape(0)->size() < 2) return c.error("its input needs a batch and channels");
  return keep_shape(c, 1, c.input_count(), {(*c.shape(0))[1]});
}

Status linear(Context& c) {
  const bool quantized = c.node().op == Op::QuantizedLinear;
  const size_t bias = bias_input(c.node()), residual = residual_input(c.node());
  const DType dtype = quantized ? DType::kF32 : c.dtype(0);
  if (!c.shape(0) || !c.shape(1)) return c.set(0, dtype, std::nullopt);
  SymShape out = *c.shape(0);
  if (out.empty()) return c.error("its input must not be a scalar");
  if (c.node().has("packed_n")) {  // the backend has laid out the weights its own way
    VTL_ASSIGN(const int64_t n, count(c, "packed_n"));
    out.back() = Dim::of(n);
  } else {
    const SymShape& weights = *c.shape(1);
    if (weights.size() != 2 || weights[0] != out.back())
      return c.error("its weights must have the shape [{},N]", to_string(out.back()));
    out.back() = weights[1];
    if (quantized && c.shape(2) && *c.shape(2) != SymShape{weights[1]})
      return c.error("its scales must have the shape [{}]", to_string(weights[1]));
    if (c.shape(bias) && *c.shape(bias) != SymShape{weights[1]})
      return c.error("its bias must have the shape [{}]", to_string(weights[1]));
  }
  if (c.shape(residual) && broadcast(out, *c.shape(residual)) != out)
    return c.error("its residual does not broadcast to {}", to_string(out));
  if (c.output_count() > 1) VTL_TRY(c.set(1, DType::kF32, stats_shape(out)));
  if (c.output_count() > 2) VTL_TRY(c.set(2, c.dtype(0), out));
  return c.set(0, dtype, std::move(out));
}

Status row_stats(Context& c) {
  if (!c.shape(0)) return c.set(0, DType::kF32, std::nullopt);
  if (c.shape(0)->empty() || !c.shape(0)->back().is_fixed())
    return c.error("its rows must have a known length");
  return c.set(0, DType::kF32, stats_shape(*c.shape(0)));
}

Status multi_head_attention(Context& c) {
  for (size_t i = 0; i < 3; ++i) {
    if (!c.shape(i)) return c.set(0, c.dtype(0), std::nullopt);
    if (c.shape(i)->size() != 3) return c.error("input {} must have the axes [batch, tokens, columns]", i);
  }
  const SymShape &q = *c.shape(0), &k = *c.shape(1), &v = *c.shape(2);
  VTL_ASSIGN(const int64_t heads, count(c, "heads"));
  VTL_ASSIGN(const int64_t width, count(c, "head_dim"));
  VTL_ASSIGN(const int64_t v_width, count(c, "v_head_dim", width));
  if (k[0] != q[0] || v[0] != q[0] || k[1] != v[1])
    return c.error("queries, keys and values differ in batch, or keys and values in tokens");
  VTL_TRY(check_columns(c, 0, "q_offset", heads * width));
  VTL_TRY(check_columns(c, 1, "k_offset", heads * width));
  VTL_TRY(check_columns(c, 2, "v_offset", heads * v_width));
  return c.set(0, c.dtype(0), SymShape{q[0], q[1], Dim::of(heads * v_width)});
}

Status patch_embed(Context& c) {
  if (!c.shape(0)) return c.set(0, c.dtype(0), std::nullopt);
  const SymShape& x = *c.shape(0);
  const auto kernel = c.node().integers("kernel_shape");
  auto strides = c.node().integers("strides");
  if (strides.empty()) strides = kernel;
  const int64_t prefix = c.node().integer("prefix", 0);
  VTL_ASSIGN(const int64_t channels, count(c, "out_channels"));
  if (x.size() != 4 || kernel.size() != 2 || strides.size() != 2)
    return c.error("it needs an input [batch, channels, height, width] and two extents of the patch");
  if (prefix < 0 || prefix > kMaxWindow) return c.error("prefix cannot be {}", prefix);
  int64_t patches = 1;
  for (size_t i = 0; i < 2; ++i) {
    const Dim extent = x[i + 2];
    if (kernel[i] < 1 || strides[i] < 1 || strides[i] > kMaxWindow || !extent.is_fixed() ||
        extent.fixed < kernel[i] || extent.fixed > kMaxWindow)
      return c.error("patches of {} every {} do not fit the extent {}", kernel[i], strides[i],
                     to_string(extent));
    patches *= (extent.fixed - kernel[i]) / strides[i] + 1;
  }
  const SymShape table = sym_shape(Shape{prefix + patches, channels});
  if (c.shape(3) && *c.shape(3) != table)
    return c.error("its table must have the shape {}", to_string(table));
  const SymShape out{x[0], table[0], table[1]};
  if (c.output_count() > 1) VTL_TRY(c.set(1, DType::kF32, stats_shape(out)));
  return c.set(0, c.dtype(0), out);
}

}  // namespace vitrail::infer
