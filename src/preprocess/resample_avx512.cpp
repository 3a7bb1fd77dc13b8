// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "core/target.h"
#include "preprocess/resample.h"

#if defined(__x86_64__)
VTL_BEGIN_TARGET("avx512f,avx512bw,avx2")
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
VTL_END_TARGET

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
