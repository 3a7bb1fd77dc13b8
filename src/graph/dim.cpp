// SPDX-License-Identifier: Apache-2.0
#include "graph/dim.h"

namespace vitrail {

std::optional<Dim> multiply(Dim a, Dim b) {
  if (a.is_fixed()) return Dim{a.fixed * b.per_batch, a.fixed * b.fixed};
  if (b.is_fixed()) return Dim{b.fixed * a.per_batch, b.fixed * a.fixed};
  return std::nullopt;
}

std::optional<Dim> divide(Dim a, Dim b) {
  if (a == b && a != Dim{}) return Dim::of(1);
  if (!b.is_fixed()) {
    // (k*b) / b, for example N*196 / N.
    if (b.per_batch == 0 || a.per_batch % b.per_batch != 0) return std::nullopt;
    const int64_t k = a.per_batch / b.per_batch;
    return a.fixed == k * b.fixed ? std::optional(Dim::of(k)) : std::nullopt;
  }
  if (b.fixed == 0) return std::nullopt;
  if (a.is_fixed()) return Dim::of(a.fixed / b.fixed);
  if (a.per_batch % b.fixed != 0 || a.fixed % b.fixed != 0) return std::nullopt;
  return Dim{a.per_batch / b.fixed, a.fixed / b.fixed};
}

std::optional<bool> equal_for_all_batches(Dim a, Dim b) {
  const Dim d = a - b;
  if (d.per_batch == 0) return d.fixed == 0;
  // d.per_batch * N + d.fixed == 0 needs N = -fixed/per_batch to be a whole number of at least 1.
  if (d.fixed % d.per_batch != 0 || -d.fixed / d.per_batch < 1) return false;
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
