// SPDX-License-Identifier: Apache-2.0
#include "graph/dim.h"

#include <limits>
#include <utility>

namespace vitrail {

std::optional<Dim> multiply(Dim a, Dim b) {
  if (!a.is_fixed()) std::swap(a, b);
  if (!a.is_fixed()) return std::nullopt;
  Dim product;
  if (__builtin_mul_overflow(a.fixed, b.per_batch, &product.per_batch) ||
      __builtin_mul_overflow(a.fixed, b.fixed, &product.fixed))
    return std::nullopt;
  return product;
}

std::optional<Dim> divide(Dim a, Dim b) {
  if (a == b && a != Dim{}) return Dim::of(1);
  constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();  // kLeast / -1 overflows
  if (b == Dim{} || a.per_batch == kLeast || a.fixed == kLeast) return std::nullopt;
  if (!b.is_fixed()) {
    // (k*b) / b, for example N*196 / N.
    if (a.per_batch % b.per_batch != 0) return std::nullopt;
    const int64_t k = a.per_batch / b.per_batch;
    return multiply(Dim::of(k), b) == a ? std::optional(Dim::of(k)) : std::nullopt;
  }
  if (a.is_fixed()) return Dim::of(a.fixed / b.fixed);
  if (a.per_batch % b.fixed != 0 || a.fixed % b.fixed != 0) return std::nullopt;
  return Dim{a.per_batch / b.fixed, a.fixed / b.fixed};
}

std::optional<bool> equal_for_all_batches(Dim a, Dim b) {
  if (a.per_batch == b.per_batch) return a.fixed == b.fixed;
  int64_t slope, gap;  // a == b where slope * N == gap
  if (__builtin_sub_overflow(a.per_batch, b.per_batch, &slope) ||
      __builtin_sub_overflow(b.fixed, a.fixed, &gap) || gap == std::numeric_limits<int64_t>::min())
    return std::nullopt;
  if (gap % slope != 0 || gap / slope < 1) return false;
  return std::nullopt;
}

SymShape sym_shape(const Shape& shape) {
  SymShape s;
  for (int64_t d : shape) s.push_back(Dim::of(d));
  return s;
}

std::optional<Dim> element_count(const SymShape& shape) {
  Dim n = Dim::of(1);
  for (Dim d : shape) {
    auto product = multiply(n, d);
    if (!product) return std::nullopt;
    n = *product;
  }
  return n;
}

Shape at_batch(const SymShape& shape, int64_t batch) {
  Shape s;
  for (Dim d : shape) s.push_back(d.at(batch));
  return s;
}

bool is_fixed(const SymShape& shape) {
  for (Dim d : shape)
    if (!d.is_fixed()) return false;
  return true;
}

std::string to_string(Dim dim) {
  if (dim.is_fixed()) return std::to_string(dim.fixed);
  std::string s = dim.per_batch == 1 ? "N" : std::to_string(dim.per_batch) + "N";
  if (dim.fixed > 0) s += "+";
  if (dim.fixed != 0) s += std::to_string(dim.fixed);
  return s;
}

std::string to_string(const SymShape& shape) {
  std::string s = "[";
  for (size_t i = 0; i < shape.size(); ++i) s += (i ? "," : "") + to_string(shape[i]);
  return s + "]";
}

}  // namespace vitrail
