// SPDX-License-Identifier: Apache-2.0
// MultiHeadAttention: softmax(scale · Q Kᵀ + mask) · V for each head, heads read from columns of the sources.
#include <cmath>

#include "backends/reference/multiply.h"
#include "backends/reference/shapes.h"
#include "backends/reference/types.h"
#include "graph/attention_scales.h"

namespace vitrail::reference {
namespace {

struct Heads {
  int64_t batch, queries, keys;            // B, Sq, Sk
  int64_t count, dim, v_dim;               // heads, columns of a head
  std::array<int64_t, 3> offset, columns;  // first column of head 0 and row length, of q, k and v
  double scale;
  Shape mask;  // strides over [B,H,Sq,Sk]
};

Result<Heads> read_heads(const Call& call) {
  const Node& node = call.node;
  const Tensor &q = call.input(0), &k = call.input(1), &v = call.input(2);
  for (size_t i = 0; i < 4; ++i)
    if (const Tensor* t = call.optional(i))
      if (t->dtype() != q.dtype() || (i < 3 && t->rank() != 3))
        return call.error("input {} is {} {}, needs {} [batch, sequence, columns]", i, dtype_name(t->dtype()),
                          to_string(t->shape()), dtype_name(q.dtype()));
  Heads h{};
  h.batch = q.dim(0), h.queries = q.dim(1), h.keys = k.dim(1);
  if (k.dim(0) != h.batch || v.dim(0) != h.batch || v.dim(1) != h.keys)
    return call.error("q {}, k {} and v {} do not fit together", to_string(q.shape()), to_string(k.shape()),
                      to_string(v.shape()));
  h.count = node.integer("heads", 0), h.dim = node.integer("head_dim", 0);
  h.v_dim = node.integer("v_head_dim", h.dim);
  h.offset = {node.integer("q_offset", 0), node.integer("k_offset", 0), node.integer("v_offset", 0)};
  h.columns = {q.dim(2), k.dim(2), v.dim(2)};
  for (size_t i = 0; i < 3; ++i) {
    const int64_t dim = i < 2 ? h.dim : h.v_dim;
    const bool sane = h.count >= 1 && dim >= 1 && h.offset[i] >= 0 && h.offset[i] <= h.columns[i];
    if (!sane || h.count > (h.columns[i] - h.offset[i]) / dim)
      return call.error("{} heads of {} columns from column {} do not fit input {} with {} columns", h.count,
                        dim, h.offset[i], i, h.columns[i]);
  }
  h.scale =
      static_cast<double>(node.real("scale", static_cast<float>(1 / std::sqrt(static_cast<double>(h.dim)))));
  const Tensor* mask = call.optional(3);
  VTL_ASSIGN(h.mask,
             broadcast_strides(call, mask ? mask->shape() : Shape{}, {h.batch, h.count, h.queries, h.keys}));
  return h;
}

// As QuantizeLinear and DequantizeLinear leave it, or as it is.
double rounded(const std::optional<ByteRange>& range, double x) {
  if (!range) return x;
  const auto zero = static_cast<float>(range->zero);
  const float steps = std::nearbyint(static_cast<float>(x) / range->scale);
  return double{std::clamp(steps, -zero, 255 - zero)} * double{range->scale};
}

void softmax_row(double* row, int64_t n) {
  double top = -INFINITY, sum = 0;
  for (int64_t i = 0; i < n; ++i) top = std::max(top, row[i]);
  for (int64_t i = 0; i < n; ++i) sum += row[i] = std::exp(row[i] - top);
  for (int64_t i = 0; i < n; ++i) row[i] /= sum;
}

template <class T>
void attend(const Call& call, const Heads& h, T* out) {
  const Tensor* mask_input = call.optional(3);
  const T* mask = mask_input ? mask_input->as<T>().data() : nullptr;
  const int64_t out_columns = h.count * h.v_dim;
  const auto scales = attention_scales(call.node);
  const auto range = [&](ByteRange AttentionScales::*operand) {
    return scales ? std::optional((*scales).*operand) : std::nullopt;
  };
  const auto query = range(&AttentionScales::query), key = range(&AttentionScales::key),
             weights = range(&AttentionScales::weights), value = range(&AttentionScales::value);
  std::vector<double> scores(static_cast<size_t>(std::min(kBlock, h.queries) * h.keys));
  for (int64_t b = 0; b < h.batch; ++b)
    for (int64_t head = 0; head < h.count; ++head) {
      // The columns of this head in the given source, from its first row on.
      auto source = [&](size_t i) {
        const int64_t rows = i == 0 ? h.queries : h.keys, dim = i < 2 ? h.dim : h.v_dim;
        return call.input(i).as<T>().data() + b * rows * h.columns[i] + h.offset[i] + head * dim;
      };
      const T *q = source(0), *k = source(1), *v = source(2);
      for (int64_t first = 0; first < h.queries; first += kBlock) {
        const int64_t rows = std::min(kBlock, h.queries - first);
        multiply(
            rows, h.dim, h.keys,
            [&](int64_t row, double* to) {
              for (int64_t d = 0; d < h.dim; ++d)
                to[d] = rounded(query, static_cast<double>(q[(first + row) * h.columns[0] + d]));
            },
            [&](int64_t column, int64_t width, double* to) {
              for (int64_t j = 0; j < width; ++j)
                for (int64_t d = 0; d < h.dim; ++d)
                  to[d * kPanel + j] = rounded(key, static_cast<double>(k[(column + j) * h.columns[1] + d]));
            },
            [&](int64_t row, int64_t column, std::span<const double> sums) {
              const int64_t at =
                  b * h.mask[0] + head * h.mask[1] + (first + row) * h.mask[2] + column * h.mask[3];
              for (size_t j = 0; j < sums.size(); ++j) {
                const double added =
                    mask ? static_cast<double>(mask[at + static_cast<int64_t>(j) * h.mask[3]]) : 0.0;
                scores[static_cast<size_t>(row * h.keys + column) + j] = h.scale * sums[j] + added;
              }
            },
            nullptr);
        for (int64_t row = 0; row < rows; ++row) softmax_row(scores.data() + row * h.keys, h.keys);
        for (double& p : scores) p = rounded(weights, p);
        multiply(
            rows, h.keys, h.v_dim,
            [&](int64_t row, double* to) { std::copy_n(scores.data() + row * h.keys, h.keys, to); },
            [&](int64_t column, int64_t width, double* to) {
              for (int64_t j = 0; j < h.keys; ++j)
                for (int64_t c = 0; c < width; ++c)
                  to[j * kPanel + c] = rounded(value, static_cast<double>(v[j * h.columns[2] + column + c]));
            },
            [&](int64_t row, int64_t column, std::span<const double> sums) {
              T* to = out + (b * h.queries + first + row) * out_columns + head * h.v_dim + column;
              std::copy(sums.begin(), sums.end(), to);
            },
            nullptr);
      }
    }
}

}  // namespace

Result<Tensor> multi_head_attention(const Call& call) {
  VTL_ASSIGN(const Heads h, read_heads(call));
  VTL_ASSIGN(Tensor y, make_output(call, call.input(0).dtype(), {h.batch, h.queries, h.count * h.v_dim}));
  return with_float(call, y.dtype(), [&]<class T>() -> Result<Tensor> {
    attend<T>(call, h, y.as_mutable<T>().data());
    return y;
  });
}

}  // namespace vitrail::reference
