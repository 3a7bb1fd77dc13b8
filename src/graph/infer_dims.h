// SPDX-License-Identifier: Apache-2.0
// Exact arithmetic on numbers that are affine in the batch. No answer (nullopt) where the result is not
// affine, is not the same formula for every N >= 1, or overflows.
#pragma once

#include <optional>
#include <span>

#include "graph/dim.h"

namespace vitrail::infer {

std::optional<Dim> add(Dim a, Dim b);
std::optional<Dim> subtract(Dim a, Dim b);
std::optional<Dim> floor_divide(Dim a, int64_t b);  // rounds down; b >= 1
std::optional<Dim> modulo(Dim a, Dim b);            // sign of the divisor, as ONNX Mod with fmod = 0

// Whether a <= b for every N (true), for no N (false), or it depends on N.
std::optional<bool> at_most(Dim a, Dim b);
std::optional<Dim> smaller(Dim a, Dim b);
std::optional<Dim> larger(Dim a, Dim b);

std::optional<Dim> product(std::span<const Dim> dims);

// The extent that two broadcast extents have together; no answer where they are neither equal nor 1.
std::optional<Dim> broadcast(Dim a, Dim b);
std::optional<SymShape> broadcast(const SymShape& a, const SymShape& b);

}  // namespace vitrail::infer
