// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/kernels.h"

#include <algorithm>
#include <chrono>

#include "backends/cpu/kernels/table.h"

namespace vitrail::cpu {

namespace {

Kernels with_integers(Kernels kernels, Isa isa, const IntegerKernels& integers) {
  kernels.isa = isa;
  kernels.integers = integers;
  return kernels;
}

}  // namespace

const Kernels& kernels_for(Isa isa) {
#if defined(__x86_64__)
  static const Kernels avx512_amx = with_integers(avx512::kKernels, Isa::kAvx512Amx, avx512amx::kIntegers);
  static const Kernels avx512_vnni = with_integers(avx512::kKernels, Isa::kAvx512Vnni, avx512vnni::kIntegers);
  static const Kernels avx_vnni = with_integers(avx2::kKernels, Isa::kAvxVnni, avxvnni::kIntegers);
  if (isa == Isa::kAvx512Amx) return avx512_amx;
  if (isa == Isa::kAvx512Vnni) return avx512_vnni;
  if (isa == Isa::kAvxVnni) return avx_vnni;
  if (isa == Isa::kAvx512) return avx512::kKernels;
  if (isa == Isa::kAvx2) return avx2::kKernels;
#endif
  (void)isa;
  return scalar::kKernels;
}

Isa isa_of(const Kernels& kernels) { return kernels.isa; }
int probe_vector_width(const Kernels& kernels) { return kernels.probe_width(); }

double measure_fma_peak_gflops(int threads) {
  const Kernels& kernels = kernels_for(best_isa());
  ThreadPool pool(threads);
  using Clock = std::chrono::steady_clock;
  constexpr int kTrials = 8;
  constexpr double kSecondsPerTrial = 0.002;
  const auto run = [&](int64_t rounds) {
    int64_t flops = 0;
    const auto start = Clock::now();
    pool.parallel_for(pool.threads(), [&](int64_t i, int) {
      int64_t own = 0;
      volatile float sink = kernels.fma_loop(rounds, &own);
      (void)sink;
      if (i == 0) flops = own * pool.threads();
    });
    return static_cast<double>(flops) / std::chrono::duration<double>(Clock::now() - start).count() * 1e-9;
  };
  // Enough rounds for a trial to outlast the start of the threads; the best trial is the one nobody
  // disturbed.
  constexpr int64_t kFirst = 20000;
  int64_t one_round = 0;
  kernels.fma_loop(1, &one_round);
  const double first = run(kFirst);
  const double rounds = first * 1e9 * kSecondsPerTrial / static_cast<double>(one_round * pool.threads());
  double best = first;
  for (int i = 0; i < kTrials; ++i) best = std::max(best, run(static_cast<int64_t>(rounds) + kFirst));
  return best;
}

}  // namespace vitrail::cpu
