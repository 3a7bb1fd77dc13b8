// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "core/target.h"
#include "preprocess/resample.h"

#if defined(__x86_64__)
VTL_BEGIN_TARGET("avx2")
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
VTL_END_TARGET

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
