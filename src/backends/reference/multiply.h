// SPDX-License-Identifier: Apache-2.0
// The one matrix product behind MatMul, Gemm, Linear, Conv, ConvTranspose, PatchEmbed and attention.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "core/thread_pool.h"

namespace vitrail::reference {

inline constexpr int64_t kRows = 4;  // rows that one kernel call computes
inline constexpr int64_t kPanel =
    32;  // columns that it computes: 4 × 32 doubles fill half of AVX-512's registers
inline constexpr int64_t kBlock = 64;  // rows that share one packed panel of the right side

// sums[4][32] = a[4][depth] · panel[depth][32]. Each sum adds its products in the order of k, whatever the
// instruction set and the block it lies in; products of floats are exact in double, so that fusing them
// changes nothing either.
void multiply_panel(const double* a, const double* panel, int64_t depth, double* sums);

// Doubles of scratch that multiply() needs for each thread.
inline int64_t multiply_scratch(int64_t depth) { return (kBlock + kPanel) * depth; }

// C[m][n] = A[m][depth] · B[depth][n] without ever holding A, B or C as a whole:
//   load_row(row, double* out)                      writes A[row][0 … depth)
//   load_panel(column, width, double* out)          writes B[k][column + i] to out[k * kPanel + i], i < width
//   store(row, column, std::span<const double>)     takes C[row][column …]
// With a pool, blocks of rows run in parallel: the callbacks are then called from several threads.
template <class LoadRow, class LoadPanel, class Store>
void multiply(int64_t m, int64_t depth, int64_t n, const LoadRow& load_row, const LoadPanel& load_panel,
              const Store& store, ThreadPool* pool) {
  const int64_t blocks = (m + kBlock - 1) / kBlock, scratch = multiply_scratch(depth);
  std::vector<double> memory(static_cast<size_t>(scratch * (pool ? pool->threads() : 1)));
  auto run_block = [&](int64_t block, int thread) {
    double* a = memory.data() + thread * scratch;
    double* panel = a + kBlock * depth;
    const int64_t first = block * kBlock, rows = std::min(kBlock, m - first);
    for (int64_t r = 0; r < rows; ++r) load_row(first + r, a + r * depth);
    for (int64_t column = 0; column < n; column += kPanel) {
      const auto width = static_cast<size_t>(std::min(kPanel, n - column));
      load_panel(column, static_cast<int64_t>(width), panel);
      for (int64_t r = 0; r < rows; r += kRows) {
        double sums[kRows * kPanel];
        multiply_panel(a + r * depth, panel, depth, sums);
        for (int64_t i = 0; i < std::min(kRows, rows - r); ++i)
          store(first + r + i, column, std::span<const double>(sums + i * kPanel, width));
      }
    }
  };
  if (pool && blocks > 1)
    pool->parallel_for(blocks, run_block);
  else
    for (int64_t block = 0; block < blocks; ++block) run_block(block, 0);
}

}  // namespace vitrail::reference
