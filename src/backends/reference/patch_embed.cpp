// SPDX-License-Identifier: Apache-2.0
// PatchEmbed: patches of an image times a matrix, behind the prefix tokens, plus the position embeddings.
#include "backends/reference/multiply.h"
#include "backends/reference/shapes.h"
#include "backends/reference/types.h"

namespace vitrail::reference {

// x [B,C,H,W], W [OC,C,kh,kw], bias [OC]?, table [prefix + P, OC]? -> [B, prefix + P, OC], P = (H / kh) · (W
// / kw). Tokens of the prefix (class token, registers) are rows of the table alone; without one they are
// zero.
Result<Tensor> patch_embed(const Call& call) {
  const Tensor &x = call.input(0), &weight = call.input(1);
  const Tensor *bias = call.optional(2), *table = call.optional(3);
  if (x.rank() != 4 || weight.rank() != 4 || x.dim(1) != weight.dim(1) || weight.dim(2) < 1 ||
      weight.dim(3) < 1)
    return call.error("x {} and W {} do not fit", to_string(x.shape()), to_string(weight.shape()));
  const int64_t channels = x.dim(1), height = x.dim(2), width = x.dim(3), oc = weight.dim(0);
  const int64_t kh = weight.dim(2), kw = weight.dim(3), rows = height / kh, columns = width / kw;
  const std::vector<int64_t> strides = call.node.integers("strides");
  if (call.node.has("strides") && strides != std::vector<int64_t>{kh, kw})
    return call.error("strides {} are not those of the kernel [{},{}]; patches must not overlap", strides, kh,
                      kw);
  const int64_t prefix = call.node.integer("prefix", 0), patches = rows * columns, depth = channels * kh * kw;
  if (prefix < 0 || prefix > INT32_MAX) return call.error("prefix is {}", prefix);
  if (bias && bias->shape() != Shape{oc})
    return call.error("bias {} is not [{}]", to_string(bias->shape()), oc);
  if (table && table->shape() != Shape{prefix + patches, oc})
    return call.error("table {} is not [{},{}]", to_string(table->shape()), prefix + patches, oc);
  for (const Tensor* t : {&weight, bias, table})
    if (t && t->dtype() != x.dtype()) return call.error("the operands' types differ");
  const int64_t tokens = prefix + patches;
  VTL_ASSIGN(Tensor y, make_output(call, x.dtype(), {x.dim(0), tokens, oc}));
  return with_float(call, x.dtype(), [&]<class T>() -> Result<Tensor> {
    const T *in = x.as<T>().data(), *w = weight.as<T>().data(),
            *shift = bias ? bias->as<T>().data() : nullptr;
    const T* position = table ? table->as<T>().data() : nullptr;
    T* out = y.as_mutable<T>().data();
    if (position)
      for (int64_t b = 0; b < x.dim(0); ++b) std::copy_n(position, prefix * oc, out + b * tokens * oc);
    multiply(
        x.dim(0) * patches, depth, oc,
        [&](int64_t row, double* to) {
          const int64_t b = row / patches, top = row % patches / columns * kh, left = row % columns * kw;
          for (int64_t c = 0; c < channels; ++c)
            for (int64_t i = 0; i < kh; ++i, to += kw)
              std::copy_n(in + ((b * channels + c) * height + top + i) * width + left, kw, to);
        },
        [&](int64_t column, int64_t count, double* to) {
          for (int64_t j = 0; j < count; ++j)
            for (int64_t k = 0; k < depth; ++k)
              to[k * kPanel + j] = static_cast<double>(w[(column + j) * depth + k]);
        },
        [&](int64_t row, int64_t column, std::span<const double> sums) {
          const int64_t token = prefix + row % patches;
          T* to = out + (row / patches * tokens + token) * oc + column;
          for (size_t j = 0; j < sums.size(); ++j) {
            double v = sums[j];
            if (shift) v += static_cast<double>(shift[column + static_cast<int64_t>(j)]);
            if (position) v += static_cast<double>(position[token * oc + column + static_cast<int64_t>(j)]);
            to[j] = static_cast<T>(v);
          }
        },
        call.pool);
    return y;
  });
}

}  // namespace vitrail::reference
