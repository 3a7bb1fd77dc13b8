// SPDX-License-Identifier: Apache-2.0
// Operators that make a value from numbers: where shape arithmetic starts.
#include <algorithm>
#include <cmath>

#include "graph/infer_context.h"

namespace vitrail::infer {
namespace {

std::optional<Content> tensor_content(const Tensor& t) {
  if (t.dtype() != DType::kI64 || t.rank() > 1 || t.count() > static_cast<int64_t>(kMaxContent))
    return std::nullopt;
  Content content;
  for (int64_t v : t.as<int64_t>()) content.push_back(Dim::of(v));
  return content;
}

// Number of steps of a range over floats, as ONNX: max(0, ceil((limit - start) / delta)).
Result<std::optional<SymShape>> float_range(Context& c) {
  const auto start = c.reals(0), limit = c.reals(1), delta = c.reals(2);
  if (start.size() != 1 || limit.size() != 1 || delta.size() != 1) return std::optional<SymShape>();
  const double steps = std::ceil((limit[0] - start[0]) / delta[0]);
  if (!(std::abs(steps) <= static_cast<double>(kMaxElements)))
    return c.error("a range from {} to {} in steps of {} has no end", start[0], limit[0], delta[0]);
  return std::optional(SymShape{Dim::of(std::max<int64_t>(0, static_cast<int64_t>(steps)))});
}

}  // namespace

Status shape(Context& c) {
  if (!c.shape(0)) return c.set(0, DType::kI64, std::nullopt);
  const SymShape& in = *c.shape(0);
  const auto rank = static_cast<int64_t>(in.size());
  auto clamped = [&](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + rank : i, 0, rank); };
  const int64_t start = clamped(c.node().integer("start", 0));
  const int64_t end = std::max(start, clamped(c.node().integer("end", rank)));
  return c.set(0, DType::kI64, SymShape{Dim::of(end - start)}, Content(in.begin() + start, in.begin() + end));
}

Status size(Context& c) {
  const auto n = c.shape(0) ? element_count(*c.shape(0)) : std::nullopt;
  return c.set(0, DType::kI64, SymShape{}, n ? std::optional(Content{*n}) : std::nullopt);
}

Status constant(Context& c) {
  const Node& node = c.node();
  if (auto it = node.attributes.find("value"); it != node.attributes.end()) {
    if (const auto* t = std::get_if<Tensor>(&it->second))
      return c.set(0, t->dtype(), sym_shape(t->shape()), tensor_content(*t));
  }
  if (node.has("value_int"))
    return c.set(0, DType::kI64, SymShape{}, Content{Dim::of(node.integer("value_int", 0))});
  if (node.has("value_ints")) {
    const auto values = sym_shape(node.integers("value_ints"));
    return c.set(0, DType::kI64, SymShape{Dim::of(std::ssize(values))}, values);
  }
  if (node.has("value_float")) return c.set(0, DType::kF32, SymShape{});
  if (auto it = node.attributes.find("value_floats"); it != node.attributes.end()) {
    if (const auto* f = std::get_if<std::vector<float>>(&it->second))
      return c.set(0, DType::kF32, SymShape{Dim::of(std::ssize(*f))});
  }
  return c.error("it has no value, value_int(s) or value_float(s)");
}

Status constant_of_shape(Context& c) {
  Tensor fill(DType::kF32, {1});
  if (auto it = c.node().attributes.find("value"); it != c.node().attributes.end())
    if (const auto* t = std::get_if<Tensor>(&it->second)) fill = *t;
  if (fill.count() != 1) return c.error("its value has {} elements; it must have one", fill.count());

  const auto dims = c.content(0);
  if (!dims) return c.set(0, fill.dtype(), std::nullopt);
  std::optional<Content> content;
  const auto number = tensor_content(fill.reshaped({1}));
  const Dim count = dims->empty() ? Dim::of(1) : dims->front();
  if (number && dims->size() <= 1 && count.is_fixed() && count.fixed >= 0 &&
      count.fixed <= static_cast<int64_t>(kMaxContent))
    content = Content(static_cast<size_t>(count.fixed), number->front());
  return c.set(0, fill.dtype(), *dims, std::move(content));
}

Status range(Context& c) {
  if (c.dtype(0) == DType::kF32 || c.dtype(0) == DType::kF64) {
    VTL_ASSIGN(auto out, float_range(c));
    return c.set(0, c.dtype(0), std::move(out));
  }
  const auto start = c.content(0), limit = c.content(1);
  const auto delta = c.numbers(2);
  if (!start || !limit || !delta) return c.set(0, c.dtype(0), std::nullopt);
  if (start->size() != 1 || limit->size() != 1 || delta->size() != 1)
    return c.error("start, limit and delta must be scalars");
  const int64_t step = (*delta)[0];
  if (step == 0 || step > kMaxElements || step < -kMaxElements) return c.error("delta cannot be {}", step);
  const Dim first = (*start)[0], last = (*limit)[0];
  const auto span = step > 0 ? subtract(last, first) : subtract(first, last);
  const auto rounded = span ? add(*span, Dim::of(std::abs(step) - 1)) : std::nullopt;
  auto count = rounded ? floor_divide(*rounded, std::abs(step)) : std::nullopt;
  if (count) count = larger(*count, Dim{});
  if (!count) return c.set(0, c.dtype(0), std::nullopt);

  std::optional<Content> content;
  if (first.is_fixed() && count->is_fixed() && count->fixed <= static_cast<int64_t>(kMaxContent)) {
    content.emplace();
    for (int64_t i = 0; i < count->fixed; ++i) content->push_back(Dim::of(first.fixed + i * step));
  }
  return c.set(0, c.dtype(0), SymShape{*count}, std::move(content));
}

}  // namespace vitrail::infer
