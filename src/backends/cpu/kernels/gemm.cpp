// SPDX-License-Identifier: Apache-2.0
// Cuts a matrix product into units of work: chunks of rows whose packed A stays in L2, times strips of
// columns.
#include <algorithm>
#include <cstring>

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/table.h"

namespace vitrail::cpu {
namespace {

// Rows of a chunk: 16 blocks of 14 make 672 KiB of A at k = 768, and a ViT's 197 tokens fit in one. Twice as
// many when k is half as deep.
constexpr int64_t kChunk = 224;
constexpr int64_t chunk_rows(int64_t k) { return 2 * k <= kDepth ? 2 * kChunk : kChunk; }
// Strips for each thread between two barriers: enough to even out threads that are disturbed.
constexpr int64_t kStripsPerThread = 8;

struct Plan {
  int64_t strips;       // of columns
  Blocks chunks;        // of rows
  int64_t chunks_live;  // packed at a time
  Plan(int64_t m, int64_t n, int64_t k, int64_t strip, int threads)
      : strips(ceil_div(n, strip)),
        chunks(m, chunk_rows(k)),
        chunks_live(
            std::min(chunks.count, ceil_div(kStripsPerThread * threads, std::max<int64_t>(strips, 1)))) {}
  int64_t rows_live() const { return std::min(chunks_live * (chunks.base + 1), chunks.start(chunks.count)); }
};

}  // namespace

size_t packed_floats(int64_t k, int64_t n) { return static_cast<size_t>(round_up(n, kPanel) * k); }

void pack_b(const float* w, int64_t k, int64_t n, int64_t ld, float* packed) {
  for (int64_t n0 = 0; n0 < n; n0 += kPanel) {
    const int64_t cols = std::min(kPanel, n - n0);
    for (int64_t i = 0; i < k; ++i, packed += kPanel) {
      std::copy_n(w + i * ld + n0, cols, packed);
      std::fill(packed + cols, packed + kPanel, 0.0f);
    }
  }
}

void pack_b_transposed(const float* w, int64_t k, int64_t n, int64_t ld, float* packed) {
  for (int64_t n0 = 0; n0 < n; n0 += kPanel) {
    for (int64_t i = 0; i < k; ++i, packed += kPanel) {
      for (int64_t c = 0; c < kPanel; ++c) packed[c] = n0 + c < n ? w[(n0 + c) * ld + i] : 0.0f;
    }
  }
}

size_t gemm_scratch_floats(int64_t m, int64_t n, int64_t k, int threads) {
  // Wide strips are fewer, hence the most chunks at a time.
  const Plan plan(m, n, k, kWidestStrip, threads);
  const int64_t partial = k > kDepth ? threads * (plan.chunks.base + 1) * kWidestStrip : 0;
  return static_cast<size_t>(round_up(plan.rows_live() * k, kPanel) + partial);
}

void gemm(const Kernels& kernels, ThreadPool& pool, const GemmArgs& args, float* scratch) {
  const int threads = pool.threads();
  const Plan plan(args.m, args.n, args.k, kernels.strip, threads);
  const Blocks& chunks = plan.chunks;
  float* partials = scratch + round_up(plan.rows_live() * args.k, kPanel);
  const int64_t partial_floats = (chunks.base + 1) * kernels.strip;

  for (int64_t first = 0; first < chunks.count; first += plan.chunks_live) {
    const int64_t live = std::min(plan.chunks_live, chunks.count - first);
    const int64_t top = chunks.start(first);
    // One task packs one block of one chunk; a chunk has at most as many blocks as its largest.
    const int64_t blocks = ceil_div(chunks.base + 1, kernels.block);
    pool.parallel_for(live * blocks, [&](int64_t task, int) {
      const int64_t chunk = first + task / blocks;
      const Blocks cut(chunks.size(chunk), kernels.block);
      const int64_t i = task % blocks;
      if (i >= cut.count) return;
      const int64_t row = chunks.start(chunk) + cut.start(i);
      kernels.pack_rows(args.a + row * args.lda, args.lda, cut.size(i), args.k, 1.0f, cut.size(i),
                        scratch + (row - top) * args.k);
    });
    pool.parallel_for(live * plan.strips, [&](int64_t task, int thread) {
      const int64_t row = chunks.start(first + task / plan.strips);
      const int64_t strip = task % plan.strips;
      const int64_t col = strip * kernels.strip;
      StripArgs s;
      s.a = scratch + (row - top) * args.k;
      s.rows = chunks.size(first + task / plan.strips);
      s.k = args.k;
      s.cols = std::min(kernels.strip, args.n - col);
      s.b = args.b_packed + col * args.k;
      s.partial = partials + thread * partial_floats;
      // With equal progress a thread's next strip is `threads` further on.
      const int64_t next_col = (strip + threads) * kernels.strip;
      if (next_col < args.n) {
        s.next = args.b_packed + next_col * args.k;
        s.next_floats = std::min(kernels.strip, round_up(args.n - next_col, kPanel)) * args.k;
      }
      s.epilogue.column_bias = args.bias ? args.bias + col : nullptr;
      s.epilogue.residual = args.residual ? args.residual + row * args.ldr + col : nullptr;
      s.epilogue.ldr = args.ldr;
      s.epilogue.c = args.c + row * args.ldc + col;
      s.epilogue.ldc = args.ldc;
      s.epilogue.activation = args.activation;
      s.epilogue.scale = args.scale;
      kernels.gemm_strip(s);
    });
  }
}

}  // namespace vitrail::cpu
