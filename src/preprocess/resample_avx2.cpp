// SPDX-License-Identifier: Apache-2.0
// Everything that is included comes before the target region: an inline function of a standard header compiled inside
// of it would need these instructions in every program that links it.
#include "preprocess/resample.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
namespace vitrail::resample {
namespace avx2 {
namespace {
// clang-format off: in the order of use.
#include "preprocess/simd_avx2.inl.h"
#include "preprocess/resample.inl.h"
// clang-format on
}  // namespace
}  // namespace avx2
}  // namespace vitrail::resample
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace vitrail::resample {
const Kernels* avx2_kernels() {
  static constexpr Kernels kKernels{"avx2", avx2::horizontal, avx2::vertical};
  return &kKernels;
}
}  // namespace vitrail::resample
#else
namespace vitrail::resample {
const Kernels* avx2_kernels() { return nullptr; }
}  // namespace vitrail::resample
#endif
