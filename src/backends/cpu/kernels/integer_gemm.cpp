// SPDX-License-Identifier: Apache-2.0
// Cuts a product of bytes into units of work, as gemm.cpp does: chunks of rows whose packed A stays in L2,
// times strips of columns.
#include <algorithm>

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/table.h"

namespace vitrail::cpu {
namespace {

constexpr int64_t kQuad = 4;
// Strips for each thread between two barriers: enough to even out threads that are disturbed.
constexpr int64_t kStripsPerThread = 8;

struct Plan {
  int64_t depth, strips;
  int64_t row_bytes;    // of packed A
  Blocks chunks;        // of rows
  int64_t chunks_live;  // packed at a time
  Plan(int64_t m, int64_t n, int64_t k, int64_t step, int64_t expansion, int64_t chunk, int64_t strip,
       int threads)
      : depth(round_up(k, step)),
        strips(ceil_div(n, strip)),
        row_bytes(depth * expansion),
        chunks(m, std::max<int64_t>(1, chunk / std::max<int64_t>(1, row_bytes))),
        chunks_live(
            std::min(chunks.count, ceil_div(kStripsPerThread * threads, std::max<int64_t>(strips, 1)))) {}
  int64_t rows_live() const { return std::min(chunks_live * (chunks.base + 1), chunks.start(chunks.count)); }
};

int64_t padded_depth(int64_t k) { return round_up(k, kDepthStep); }

}  // namespace

size_t packed_bytes(int64_t k, int64_t n) {
  return static_cast<size_t>(round_up(n, kPanel) * padded_depth(k));
}

void pack_s8(const int8_t* w, int64_t k, int64_t n, int8_t* packed) {
  for (int64_t n0 = 0; n0 < n; n0 += kPanel) {
    for (int64_t k0 = 0; k0 < padded_depth(k); k0 += kQuad) {
      for (int64_t c = n0; c < n0 + kPanel; ++c) {
        for (int64_t i = k0; i < k0 + kQuad; ++i) *packed++ = c < n && i < k ? w[i * n + c] : int8_t{0};
      }
    }
  }
}

void column_starts(const int8_t* w, int64_t k, int64_t n, int32_t zero, int32_t* starts) {
  std::fill_n(starts, round_up(n, kPanel), 0);
  for (int64_t i = 0; i < k; ++i) {
    for (int64_t c = 0; c < n; ++c) starts[c] -= zero * w[i * n + c];
  }
}

size_t integer_gemm_scratch_bytes(int64_t m, int64_t n, int64_t k, int threads) {
  // Wide strips are fewer, hence the most chunks at a time; deep steps make the longest rows, but may also
  // cut the chunks smaller.
  int64_t most = 0;
  struct Kind {
    int64_t step, expansion, chunk;
  };
  for (const Kind& kind : {Kind{kQuad, 1, kChunkBytes}, Kind{kQuad, kMostExpansion, kChunkBytes},
                           Kind{kDepthStep, 1, kTileChunkBytes}}) {
    const Plan plan(m, n, k, kind.step, kind.expansion, kind.chunk, kWidestStrip, threads);
    most = std::max(most, plan.rows_live() * plan.row_bytes);
  }
  return static_cast<size_t>(round_up(most, 64));
}

void integer_gemm(const Kernels& kernels, ThreadPool& pool, const IntegerGemmArgs& args, uint8_t* scratch) {
  const IntegerKernels& integers = kernels.integers;
  const Plan plan(args.m, args.n, args.k, integers.step, integers.expansion, integers.chunk, integers.strip,
                  pool.threads());
  const Blocks& chunks = plan.chunks;
  // Tiles are loaded from rows as they lie, unless these end inside of a step or are of the other sign.
  const bool in_place = integers.reads_rows && args.a_flip == 0 && args.k == plan.depth;
  const int64_t column_bytes = padded_depth(args.k);

  for (int64_t first = 0; first < chunks.count; first += plan.chunks_live) {
    const int64_t live = std::min(plan.chunks_live, chunks.count - first);
    const int64_t top = chunks.start(first);
    // One task packs one block of one chunk; a chunk has at most as many blocks as its largest.
    const int64_t blocks = ceil_div(chunks.base + 1, integers.block);
    const auto pack = [&](int64_t task, int) {
      const int64_t chunk = first + task / blocks;
      const Blocks cut(chunks.size(chunk), integers.block);
      const int64_t i = task % blocks;
      if (i >= cut.count) return;
      const int64_t row = chunks.start(chunk) + cut.start(i);
      integers.pack(args.a + row * args.lda, args.lda, cut.size(i), args.k, args.a_flip,
                    scratch + (row - top) * plan.row_bytes);
    };
    if (!in_place) pool.parallel_for(live * blocks, pack);
    pool.parallel_for(live * plan.strips, [&](int64_t task, int) {
      const int64_t row = chunks.start(first + task / plan.strips);
      const int64_t strip = task % plan.strips;
      const int64_t col = strip * integers.strip;
      const auto* b = reinterpret_cast<const uint8_t*>(args.b_packed);
      IntegerStripArgs s{};
      s.a = in_place ? args.a + row * args.lda : scratch + (row - top) * plan.row_bytes;
      s.lda = in_place ? args.lda : 0;
      s.rows = chunks.size(first + task / plan.strips);
      s.depth = plan.depth;
      s.b = b + col * column_bytes;
      s.b_panel = kPanel * column_bytes;
      s.cols = std::min(integers.strip, args.n - col);
      // With equal progress a thread's next strip is `threads` further on.
      const int64_t next_col = (strip + pool.threads()) * integers.strip;
      if (next_col < args.n) {
        s.next = b + next_col * column_bytes;
        s.next_bytes = std::min(integers.strip, round_up(args.n - next_col, kPanel)) * column_bytes;
      }
      s.start = args.start + col;
      s.scale = args.scale + col;
      s.bias = args.bias ? args.bias + col : nullptr;
      s.residual = args.residual ? args.residual + row * args.ldr + col : nullptr;
      s.ldr = args.ldr;
      s.c = args.c ? args.c + row * args.ldc + col : nullptr;
      s.q = args.q ? args.q + row * args.ldc + col : nullptr;
      s.ldc = args.ldc;
      s.bytes = args.bytes;
      s.activation = args.activation;
      integers.gemm_strip(s);
    });
  }
}

}  // namespace vitrail::cpu
