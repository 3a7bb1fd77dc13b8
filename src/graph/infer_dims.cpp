// SPDX-License-Identifier: Apache-2.0
#include "graph/infer_dims.h"

#include <algorithm>

namespace vitrail::infer {

std::optional<Dim> add(Dim a, Dim b) {
  Dim sum;
  if (__builtin_add_overflow(a.per_batch, b.per_batch, &sum.per_batch) ||
      __builtin_add_overflow(a.fixed, b.fixed, &sum.fixed))
    return std::nullopt;
  return sum;
}

std::optional<Dim> subtract(Dim a, Dim b) {
  Dim difference;
  if (__builtin_sub_overflow(a.per_batch, b.per_batch, &difference.per_batch) ||
      __builtin_sub_overflow(a.fixed, b.fixed, &difference.fixed))
    return std::nullopt;
  return difference;
}

std::optional<Dim> floor_divide(Dim a, int64_t b) {
  if (b < 1 || a.per_batch % b != 0) return std::nullopt;
  return Dim{a.per_batch / b, a.fixed / b - (a.fixed % b < 0)};
}

std::optional<Dim> modulo(Dim a, Dim b) {
  if (!b.is_fixed() || b.fixed == 0) return std::nullopt;
  if (b.fixed == -1) return Dim::of(0);
  if (a.per_batch % b.fixed != 0) return std::nullopt;
  const int64_t rest = a.fixed % b.fixed;
  return Dim::of(rest != 0 && (rest < 0) != (b.fixed < 0) ? rest + b.fixed : rest);
}

std::optional<bool> at_most(Dim a, Dim b) {
  if (a.per_batch == b.per_batch) return a.fixed <= b.fixed;
  const auto gap = subtract(b, a);
  int64_t least;  // of |gap| over all N >= 1, where its sign does not change
  if (!gap || __builtin_add_overflow(gap->per_batch, gap->fixed, &least)) return std::nullopt;
  if (gap->per_batch > 0 && least >= 0) return true;
  if (gap->per_batch < 0 && least < 0) return false;
  return std::nullopt;
}

std::optional<Dim> smaller(Dim a, Dim b) {
  if (at_most(a, b).value_or(false)) return a;
  if (at_most(b, a).value_or(false)) return b;
  return std::nullopt;
}

std::optional<Dim> larger(Dim a, Dim b) {
  if (at_most(a, b).value_or(false)) return b;
  if (at_most(b, a).value_or(false)) return a;
  return std::nullopt;
}

std::optional<Dim> product(std::span<const Dim> dims) {
  std::optional<Dim> n = Dim::of(1);
  for (Dim d : dims) {
    n = multiply(*n, d);
    if (!n) break;
  }
  return n;
}

std::optional<Dim> broadcast(Dim a, Dim b) {
  if (a == b || b == Dim::of(1)) return a;
  if (a == Dim::of(1)) return b;
  return std::nullopt;
}

std::optional<SymShape> broadcast(const SymShape& a, const SymShape& b) {
  const size_t rank = std::max(a.size(), b.size());
  SymShape out(rank);
  for (size_t i = 0; i < rank; ++i) {  // counted from the last axis
    const Dim da = i < a.size() ? a[a.size() - 1 - i] : Dim::of(1);
    const Dim db = i < b.size() ? b[b.size() - 1 - i] : Dim::of(1);
    const auto d = broadcast(da, db);
    if (!d) return std::nullopt;
    out[rank - 1 - i] = *d;
  }
  return out;
}

}  // namespace vitrail::infer
