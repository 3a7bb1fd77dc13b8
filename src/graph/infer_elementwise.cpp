// SPDX-License-Identifier: Apache-2.0
#include "graph/infer.h"
#include "graph/infer_context.h"

namespace vitrail::infer {
namespace {

using MaybeDim = std::optional<Dim>;

std::optional<bool> negated(std::optional<bool> b) { return b ? std::optional(!*b) : std::nullopt; }

MaybeDim as_dim(std::optional<bool> b) { return b ? MaybeDim(Dim::of(*b)) : std::nullopt; }

MaybeDim unary_number(Op op, Dim x) {
  switch (op) {
    case Op::Identity:
      return x;
    case Op::Neg:
      return subtract(Dim{}, x);
    case Op::Abs:
      if (at_most(Dim{}, x).value_or(false)) return x;
      return at_most(x, Dim{}).value_or(false) ? subtract(Dim{}, x) : std::nullopt;
    case Op::Not:
      return Dim::of(x.fixed == 0);  // bools never depend on the batch
    default:
      return std::nullopt;
  }
}

MaybeDim binary_number(Op op, Dim a, Dim b) {
  switch (op) {
    case Op::Add:
      return add(a, b);
    case Op::Sub:
      return subtract(a, b);
    case Op::Mul:
      return multiply(a, b);
    case Op::Div:
      return divide(a, b);
    case Op::Mod:
      return modulo(a, b);
    case Op::Min:
      return smaller(a, b);
    case Op::Max:
      return larger(a, b);
    case Op::And:
      return Dim::of(a.fixed && b.fixed);
    case Op::Or:
      return Dim::of(a.fixed || b.fixed);
    case Op::Equal:
      return as_dim(equal_for_all_batches(a, b));
    case Op::LessOrEqual:
      return as_dim(at_most(a, b));
    case Op::GreaterOrEqual:
      return as_dim(at_most(b, a));
    case Op::Less:
      return as_dim(negated(at_most(b, a)));
    case Op::Greater:
      return as_dim(negated(at_most(a, b)));
    default:
      return std::nullopt;
  }
}

// Element i of content that is broadcast to a vector of any length.
Dim at(const Content& c, size_t i) { return c[c.size() == 1 ? 0 : i]; }

size_t broadcast_size(size_t a, size_t b) { return a == 1 ? b : a; }

std::optional<Content> binary_content(Op op, const std::optional<Content>& a,
                                      const std::optional<Content>& b) {
  if (!a || !b) return std::nullopt;
  Content out;
  for (size_t i = 0, n = broadcast_size(a->size(), b->size()); i < n; ++i) {
    const MaybeDim d = binary_number(op, at(*a, i), at(*b, i));
    if (!d) return std::nullopt;
    out.push_back(*d);
  }
  return out;
}

// The broadcast shape of all inputs, unset where one of them is not known.
Result<std::optional<SymShape>> broadcast_inputs(Context& c) {
  std::optional<SymShape> out = SymShape{};
  for (size_t i = 0; i < c.input_count(); ++i) {
    if (!c.shape(i)) return std::optional<SymShape>();
    const SymShape before = *out;
    out = broadcast(before, *c.shape(i));
    if (!out)
      return c.error(
          "{} and {} cannot be broadcast: extents must be equal or 1 for every batch N; if one is a batch "
          "size fixed at export, export again with a dynamic batch axis",
          to_string(before), to_string(*c.shape(i)));
  }
  return out;
}

// One element type for inputs [first, end).
Status check_dtypes(Context& c, size_t first) {
  for (size_t i = first + 1; i < c.input_count(); ++i)
    if (c.dtype(first) != DType::kUndefined && c.dtype(i) != DType::kUndefined &&
        c.dtype(i) != c.dtype(first))
      return c.error("its inputs are {} and {}; both must have one type", dtype_name(c.dtype(first)),
                     dtype_name(c.dtype(i)));
  return {};
}

std::optional<Content> folded_content(Context& c) {
  auto out = c.content(0);
  for (size_t i = 1; i < c.input_count(); ++i) out = binary_content(c.node().op, out, c.content(i));
  return out;
}

Status cast_to(Context& c, DType to) {
  auto content = c.content(0);
  for (size_t i = 0; to == DType::kBool && content && i < content->size(); ++i) {
    const auto zero = equal_for_all_batches((*content)[i], Dim{});
    if (zero)
      (*content)[i] = Dim::of(!*zero);
    else
      content.reset();
  }
  return c.set(0, to, c.shape(0) ? std::optional(*c.shape(0)) : std::nullopt, std::move(content));
}

}  // namespace

Status same_as_input(Context& c) {
  auto content = c.content(0);
  for (size_t i = 0; content && i < content->size(); ++i) {
    const MaybeDim d = unary_number(c.node().op, (*content)[i]);
    if (d)
      (*content)[i] = *d;
    else
      content.reset();
  }
  return c.set(0, c.dtype(0), c.in(0).shape, std::move(content));
}

Status cast(Context& c) {
  const DType to = dtype_from_onnx(c.node().integer("to", 0));
  if (to == DType::kUndefined)
    return c.error("attribute `to` is {}, not a number of an element type that Vitrail knows",
                   c.node().integer("to", 0));
  return cast_to(c, to);
}

Status cast_like(Context& c) { return cast_to(c, c.dtype(1)); }

Status dropout(Context& c) {
  VTL_TRY(c.set(0, c.dtype(0), c.in(0).shape, c.content(0)));
  return c.set(1, DType::kBool, c.in(0).shape);
}

Status arithmetic(Context& c) {
  // Pow's exponent may have a type of its own.
  if (c.node().op != Op::Pow) VTL_TRY(check_dtypes(c, 0));
  VTL_ASSIGN(auto shape, broadcast_inputs(c));
  return c.set(0, c.dtype(0), std::move(shape), folded_content(c));
}

Status comparison(Context& c) {
  VTL_TRY(check_dtypes(c, 0));
  VTL_ASSIGN(auto shape, broadcast_inputs(c));
  return c.set(0, DType::kBool, std::move(shape), folded_content(c));
}

Status where(Context& c) {
  VTL_TRY(check_dtypes(c, 1));
  VTL_ASSIGN(auto shape, broadcast_inputs(c));
  const auto condition = c.content(0), a = c.content(1), b = c.content(2);
  std::optional<Content> content;
  if (condition && a && b) {
    content.emplace();
    const size_t n = broadcast_size(condition->size(), broadcast_size(a->size(), b->size()));
    for (size_t i = 0; i < n; ++i) content->push_back(at(*condition, i).fixed ? at(*a, i) : at(*b, i));
  }
  return c.set(0, c.dtype(1), std::move(shape), std::move(content));
}

}  // namespace vitrail::infer
