// SPDX-License-Identifier: Apache-2.0
// Host arithmetic that every launch_* shares.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backends/cuda/kernels/types.h"

namespace vitrail::cuda {

constexpr bool is_float(Type t) { return t == Type::kF32 || t == Type::kF16 || t == Type::kBF16; }

// Whether a vector of 16 bytes (of 8 for 8-bit types, that runs of 8 elements fill) may begin at p.
template <class... Pointers>
bool aligned16(Pointers... p) {
  return ((reinterpret_cast<uintptr_t>(p) % 16 == 0) && ...);
}

// Blocks that share `count` units, `each` a block. Kernels step by the grid, so a clamp loses nothing.
inline unsigned blocks_of(int64_t count, int64_t each) {
  return static_cast<unsigned>(std::min<int64_t>((count + each - 1) / each, INT32_MAX));
}

}  // namespace vitrail::cuda
