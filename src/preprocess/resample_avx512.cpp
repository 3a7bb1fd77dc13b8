// SPDX-License-Identifier: Apache-2.0
// Everything that is included comes before the target region: an inline function of a standard header compiled inside
// of it would need these instructions in every program that links it.
#include "preprocess/resample.h"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of its own header's deliberately undefined registers (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <cstring>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx2")
#endif
namespace vitrail::resample {
namespace avx512 {
namespace {
// clang-format off: in the order of use.
#include "preprocess/simd_avx512.inl.h"
#include "preprocess/resample.inl.h"
// clang-format on
}  // namespace
}  // namespace avx512
}  // namespace vitrail::resample
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace vitrail::resample {
const Kernels* avx512_kernels() {
  static constexpr Kernels kKernels{"avx512", avx512::horizontal, avx512::vertical};
  return &kKernels;
}
}  // namespace vitrail::resample
#else
namespace vitrail::resample {
const Kernels* avx512_kernels() { return nullptr; }
}  // namespace vitrail::resample
#endif
