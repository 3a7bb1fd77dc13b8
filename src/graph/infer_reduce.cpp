// SPDX-License-Identifier: Apache-2.0
#include "graph/infer_context.h"

namespace vitrail::infer {
namespace {

SymShape reduced(const SymShape& shape, const std::vector<bool>& which, bool keep) {
  SymShape out;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (!which[i])
      out.push_back(shape[i]);
    else if (keep)
      out.push_back(Dim::of(1));
  }
  return out;
}

// The sum or product of a whole shape vector, as in "number of patches = H * W".
std::optional<Content> reduced_content(Op op, const std::optional<Content>& content) {
  if (!content) return std::nullopt;
  std::optional<Dim> total = Dim::of(op == Op::ReduceProd ? 1 : 0);
  for (Dim d : *content) {
    if (op == Op::ReduceProd)
      total = multiply(*total, d);
    else if (op == Op::ReduceSum)
      total = add(*total, d);
    else
      total.reset();
    if (!total) return std::nullopt;
  }
  return Content{*total};
}

}  // namespace

Status reduce(Context& c) {
  if (!c.shape(0)) return c.set(0, c.dtype(0), std::nullopt);
  const SymShape& in = *c.shape(0);
  const auto named = c.has(1) ? c.numbers(1) : std::vector<int64_t>{};
  if (!named) return c.set(0, c.dtype(0), std::nullopt);
  if (named->empty() && c.node().integer("noop_with_empty_axes", 0))
    return c.set(0, c.dtype(0), in, c.content(0));
  VTL_ASSIGN(auto which, c.axes(*named, in.size()));
  if (named->empty()) which.assign(in.size(), true);
  const bool vector = in.size() == 1 && which[0];
  return c.set(0, c.dtype(0), reduced(in, which, c.node().integer("keepdims", 1) != 0),
               vector ? reduced_content(c.node().op, c.content(0)) : std::nullopt);
}

Status arg_max(Context& c) {
  if (!c.shape(0)) return c.set(0, DType::kI64, std::nullopt);
  const SymShape& in = *c.shape(0);
  VTL_ASSIGN(const size_t axis, c.axis("axis", 0, in.size()));
  std::vector<bool> which(in.size());
  which[axis] = true;
  return c.set(0, DType::kI64, reduced(in, which, c.node().integer("keepdims", 1) != 0));
}

}  // namespace vitrail::infer
