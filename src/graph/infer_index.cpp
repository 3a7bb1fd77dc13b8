// SPDX-License-Identifier: Apache-2.0
// Operators that pick or place elements at computed indices.
#include "graph/infer_context.h"

namespace vitrail::infer {

Status is_nan(Context& c) {
  return c.set(0, DType::kBool, c.shape(0) ? std::optional(*c.shape(0)) : std::nullopt);
}

Status gather_elements(Context& c) {
  if (!c.shape(0) || !c.shape(1)) return c.set(0, c.dtype(0), std::nullopt);
  VTL_TRY(c.axis("axis", 0, c.shape(0)->size()).status());
  if (c.shape(0)->size() != c.shape(1)->size())
    return c.error("data and indices differ in their number of axes");
  return c.set(0, c.dtype(0), c.in(1).shape);
}

Status gather_nd(Context& c) {
  if (!c.shape(0) || !c.shape(1)) return c.set(0, c.dtype(0), std::nullopt);
  const SymShape &data = *c.shape(0), &at = *c.shape(1);
  const int64_t shared = c.node().integer("batch_dims", 0);
  if (at.empty() || !at.back().is_fixed()) return c.error("its indices need a last extent that is known");
  const int64_t depth = at.back().fixed, rank = std::ssize(data);
  if (shared < 0 || depth < 1 || shared >= std::ssize(at) || shared + depth > rank)
    return c.error("indices of {} numbers after {} shared axes do not fit", depth, shared);
  SymShape out(at.begin(), at.end() - 1);
  out.insert(out.end(), data.begin() + shared + depth, data.end());
  return c.set(0, c.dtype(0), std::move(out));
}

// ScatterElements and ScatterND: the data with some elements replaced.
Status scatter(Context& c) { return c.set(0, c.dtype(0), c.shape(0) ? c.in(0).shape : std::nullopt); }

Status top_k(Context& c) {
  const auto count = c.numbers(1);
  std::optional<SymShape> out;
  if (c.shape(0) && count && count->size() == 1) {
    out = *c.shape(0);
    VTL_ASSIGN(const size_t axis, c.axis("axis", -1, out->size()));
    if ((*count)[0] < 0) return c.error("k is {}", (*count)[0]);
    (*out)[axis] = Dim::of((*count)[0]);
  }
  VTL_TRY(c.set(0, c.dtype(0), out));
  return c.set(1, DType::kI64, out);
}

Status trilu(Context& c) {
  if (c.shape(0) && c.shape(0)->size() < 2) return c.error("it needs at least two axes");
  return c.set(0, c.dtype(0), c.in(0).shape);
}

}  // namespace vitrail::infer
