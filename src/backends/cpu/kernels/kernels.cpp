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

// Giga-operations a second of loop(rounds, &operations) on all threads.
template <class Loop>
double measure_peak(int threads, Loop loop) {
  ThreadPool pool(threads);
  using Clock = std::chrono::steady_clock;
  constexpr int kTrials = 8;
  constexpr double kSecondsPerTrial = 0.002;
  const auto run = [&](int64_t rounds) {
    int64_t operations = 0;
    const auto start = Clock::now();
    pool.parallel_for(pool.threads(), [&](int64_t i, int) {
      int64_t own = 0;
      volatile auto sink = loop(rounds, &own);
      (void)sink;
      if (i == 0) operations = own * pool.threads();
    });
    return static_cast<double>(operations) / std::chrono::duration<double>(Clock::now() - start).count() * 1e-9;
  };
  // Enough rounds for a trial to outlast the start of the threads; the best trial is the one nobody
  // disturbed.
  constexpr double kFirstOperations = 1e7;
  int64_t one_round = 0;
  loop(1, &one_round);
  const auto few = static_cast<int64_t>(kFirstOperations / static_cast<double>(one_round)) + 1;
  const double first = run(few);
  const double rounds = first * 1e9 * kSecondsPerTrial / static_cast<double>(one_round * pool.threads());
  double best = first;
  for (int i = 0; i < kTrials; ++i) best = std::max(best, run(static_cast<int64_t>(rounds) + few));
  return best;
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

double measure_fma_peak_gflops(int threads) { return measure_peak(threads, kernels_for(best_isa()).fma_loop); }

double measure_byte_peak_gops(int threads) {
  return measure_peak(threads, kernels_for(best_isa()).integers.product_loop);
}

}  // namespace vitrail::cpu
