// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vitrail/tensor.h"

namespace vitrail {

// An extent that is affine in the batch size: per_batch * N + fixed, with N >= 1. Everything else about a
// model's shapes is a number by the time the passes run, so one fused graph serves every batch size.
struct Dim {
  int64_t per_batch = 0;
  int64_t fixed = 0;

  static Dim of(int64_t value) { return {0, value}; }
  static Dim batch() { return {1, 0}; }

  bool is_fixed() const { return per_batch == 0; }
  int64_t at(int64_t batch) const { return per_batch * batch + fixed; }
  bool operator==(const Dim&) const = default;
};

inline Dim operator+(Dim a, Dim b) { return {a.per_batch + b.per_batch, a.fixed + b.fixed}; }
inline Dim operator-(Dim a, Dim b) { return {a.per_batch - b.per_batch, a.fixed - b.fixed}; }

// Products and quotients leave the affine form when both sides depend on the batch or the division is not
// exact for every N: then there is no answer. Quotients of fixed numbers truncate towards zero, as ONNX
// integer Div does.
std::optional<Dim> multiply(Dim a, Dim b);
std::optional<Dim> divide(Dim a, Dim b);

// Whether a == b for every N >= 1 (true), for no N (false), or it depends on N (nullopt).
std::optional<bool> equal_for_all_batches(Dim a, Dim b);

using SymShape = std::vector<Dim>;

SymShape sym_shape(const Shape& shape);
std::optional<Dim> element_count(const SymShape& shape);
Shape at_batch(const SymShape& shape, int64_t batch);
bool is_fixed(const SymShape& shape);
std::string to_string(Dim dim);                // "N", "2N+1", "197"
std::string to_string(const SymShape& shape);  // "[N,197,768]"

}  // namespace vitrail
