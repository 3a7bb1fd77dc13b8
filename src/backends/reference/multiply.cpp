// SPDX-License-Identifier: Apache-2.0
#include "backends/reference/multiply.h"

namespace vitrail::reference {
namespace {

// Constant trip counts, so that the compiler unrolls and vectorises whatever it is told to build for.
[[gnu::always_inline]] inline void multiply_loop(const double* a, const double* panel, int64_t depth,
                                                 double* sums) {
  double c[kRows][kPanel] = {};
  for (int64_t k = 0; k < depth; ++k)
    for (int64_t r = 0; r < kRows; ++r) {
      const double x = a[r * depth + k];
      for (int64_t j = 0; j < kPanel; ++j) c[r][j] += x * panel[k * kPanel + j];
    }
  for (int64_t r = 0; r < kRows; ++r)
    for (int64_t j = 0; j < kPanel; ++j) sums[r * kPanel + j] = c[r][j];
}

using Kernel = void (*)(const double*, const double*, int64_t, double*);

void multiply_base(const double* a, const double* panel, int64_t depth, double* sums) {
  multiply_loop(a, panel, depth, sums);
}

#if defined(__x86_64__)
[[gnu::target("avx2,fma")]] void multiply_avx2(const double* a, const double* panel, int64_t depth,
                                               double* sums) {
  multiply_loop(a, panel, depth, sums);
}
[[gnu::target("avx512f,prefer-vector-width=512")]] void multiply_avx512(const double* a, const double* panel,
                                                                        int64_t depth, double* sums) {
  multiply_loop(a, panel, depth, sums);
}

Kernel choose_kernel() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return multiply_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return multiply_avx2;
  return multiply_base;
}
#else
Kernel choose_kernel() { return multiply_base; }
#endif

}  // namespace

void multiply_panel(const double* a, const double* panel, int64_t depth, double* sums) {
  static const Kernel kernel = choose_kernel();
  kernel(a, panel, depth, sums);
}

}  // namespace vitrail::reference
