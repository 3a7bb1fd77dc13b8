// SPDX-License-Identifier: Apache-2.0
// What every instruction set provides, and the units of work that the drivers (gemm.cpp, attention.cpp, …)
// hand to it.
#pragma once

#include <cstdint>

#include "backends/cpu/kernels/kernels.h"

namespace vitrail::cpu {

// What happens to a finished tile of a product: c = f(acc + bias) * scale + residual. The pointers stand at
// the tile's first element.
struct Epilogue {
  const float* column_bias = nullptr;
  const float* row_bias = nullptr;
  const float* residual = nullptr;
  int64_t ldr = 0;
  float* c = nullptr;
  int64_t ldc = 0;
  Activation activation = Activation::kNone;
  float scale = 1.0f;
};

// A strip of adjacent columns (at most Kernels::strip) of a product for a chunk of rows.
struct StripArgs {
  const float* a;  // blocks of rows, [K][rows of the block] each (block_rows)
  int64_t rows, k;
  const float* b;  // panels [ceil(cols/16)][K][16]
  int64_t cols;
  Epilogue epilogue;
  float* partial;               // rows * strip floats; null when k <= kDepth
  const float* next = nullptr;  // what to prefetch meanwhile: the strip that this thread probably gets next
  int64_t next_floats = 0;
};

// How one axis of a convolution's outputs reads its input: output o of `outputs` and tap t of `taps` meet at
// input o * stride + offset + t * offset_step, and the output's place is out_first + o * out_step.
struct Axis {
  int64_t taps, outputs;
  int64_t stride, offset, offset_step;
  int64_t out_first, out_step;
};

// The columns [first, first + count) of the matrix [channels * taps][outputs] that makes a convolution a
// product, for one image x[channels][height][width]; outputs are numbered row by row.
struct TapArgs {
  const float* x;
  int64_t channels, height, width;
  Axis y, x_axis;
  int64_t first, count;  // count <= strip
  float* panels;         // [ceil(count/16)][channels * taps][16]
};

// As StripArgs, for bytes: y = f(sum * scale + bias) + residual, where the sum starts at `start`. y is floats
// (c) or bytes (q).
struct IntegerStripArgs {
  const uint8_t* a;     // blocks of rows, each as IntegerKernels::pack lays it out
  int64_t lda;          // or, where it is not 0, rows as they are, this far apart
  int64_t rows, depth;  // K, padded to whole IntegerKernels::step
  const uint8_t* b;     // panels [K/4][16][4] of int8
  int64_t b_panel;      // bytes from one to the next, for K is padded
  int64_t cols;
  const int32_t* start;
  const float* scale;
  const float* bias;
  const float* residual;
  int64_t ldr;
  float* c;
  uint8_t* q;
  int64_t ldc;
  ByteScale bytes;
  Activation activation;
  const uint8_t* next = nullptr;  // what to prefetch meanwhile
  int64_t next_bytes = 0;
};

// What VNNI and AMX make faster; apart, since they stand beside the floats of AVX2 or AVX-512.
struct IntegerKernels {
  int64_t block;      // most rows of a block of A
  int64_t strip;      // columns of a strip of B, a multiple of kPanel
  int64_t step;       // bytes of K that are multiplied at a time: 4, or 64 in tiles
  int64_t expansion;  // bytes of packed A for each of A
  int64_t chunk;      // bytes of A that stay in L2 beside two strips of B
  bool reads_rows;    // gemm_strip takes rows as they lie, of whole steps
  // a[rows][bytes] with stride lda to out[ceil(bytes/step)][rows][step * expansion], bytes exclusive or
  // `flip`, zeros past the end of a row.
  void (*pack)(const uint8_t* a, int64_t lda, int64_t rows, int64_t bytes, uint8_t flip, uint8_t* out);
  void (*gemm_strip)(const IntegerStripArgs& args);
  // Queries [first, last) of one batch entry and head.
  void (*attention_head)(const ByteAttentionArgs& args, int64_t b, int64_t h, int64_t first, int64_t last,
                         uint8_t* scratch);
  // Runs `rounds` rounds of a block's product that fits in L1; the operations done (2 × multiply-adds) come back in *ops.
  int32_t (*product_loop)(int64_t rounds, int64_t* ops);
};

// Where byte_attention_head keeps what it works on; a block is of at most kMostBlockRows queries.
constexpr int64_t kMostBlockRows = 32;
constexpr int64_t kMostExpansion = 2;
struct ByteAttentionScratch {
  int64_t key_columns, value_columns;  // whole panels
  int64_t key_depth, value_depth;      // d and sk in whole kDepthStep
  int64_t keys, values, key_starts, value_starts, scores, row, weights, packed, sums, bytes;  // offsets
  explicit ByteAttentionScratch(const ByteAttentionArgs& args);
};

// Beside two strips of B at k = 3072 it fits in 1 MiB of L2, and so do the 197 tokens of a ViT-B's MLP.
constexpr int64_t kChunkBytes = 640 << 10;
// Of the 2 MiB that processors with tiles have: they wait for weights, which all rows of a chunk share.
constexpr int64_t kTileChunkBytes = 1280 << 10;

struct Kernels {
  Isa isa;
  int (*probe_width)();
  int64_t block;  // most rows of a block of A
  int64_t strip;  // columns of a strip of B, a multiple of kPanel

  // a[rows][k] with stride lda, times factor, to out[k][step]; rows <= step; lanes past `rows` become 0.
  void (*pack_rows)(const float* a, int64_t lda, int64_t rows, int64_t k, float factor, int64_t step,
                    float* out);
  void (*gemm_strip)(const StripArgs& args);
  // Queries [first, last) of one batch entry and head.
  void (*attention_head)(const AttentionArgs& args, int64_t b, int64_t h, int64_t first, int64_t last,
                         float* scratch);
  void (*layer_norm)(const float* x, const float* gamma, const float* beta, float eps, int64_t rows,
                     int64_t cols, float* y);
  void (*softmax)(const float* x, int64_t rows, int64_t cols, float* y);
  void (*unary)(Activation f, const float* x, float* y, int64_t count);
  void (*binary_row)(Binary op, const float* a, int64_t a_col, const float* b, int64_t b_col, float* out,
                     int64_t count);
  void (*gather_taps)(const TapArgs& args);
  // out[i] = start + sum of weights[t] * from[t][i]
  void (*weighted_rows)(const float* const* from, const float* weights, int64_t taps, float start, float* out, int64_t count);
  // out = a + (b - a) * t
  void (*mix)(const float* a, const float* b, float t, float* out, int64_t count);
  // Runs `rounds` rounds of independent multiply-adds; the floating-point operations done come back in
  // *flops.
  float (*fma_loop)(int64_t rounds, int64_t* flops);
  void (*quantize)(const float* x, int64_t count, const ByteScale& scale, uint8_t* q);
  void (*layer_norm_bytes)(const float* x, const float* gamma, const float* beta, float eps, int64_t rows,
                           int64_t cols, const ByteScale& scale, uint8_t* q);
  IntegerKernels integers;
};

namespace scalar {
extern const Kernels kKernels;
}
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}
namespace avxvnni {
extern const IntegerKernels kIntegers;
}
namespace avx512vnni {
extern const IntegerKernels kIntegers;
}
namespace avx512amx {
extern const IntegerKernels kIntegers;
}

// Longest run of k that a strip is worked in: 32 columns of it (96 KiB) and their successor stay in L2.
constexpr int64_t kDepth = 768;

// Balanced cut of `rows` into the fewest blocks of at most `most`: 197 by 14 is 15 blocks of 13 or 14.
struct Blocks {
  int64_t count, base, extra;  // the first `extra` blocks have base + 1 rows
  Blocks(int64_t rows, int64_t most)
      : count((rows + most - 1) / most), base(count ? rows / count : 0), extra(count ? rows % count : 0) {}
  int64_t size(int64_t i) const { return base + (i < extra ? 1 : 0); }
  int64_t start(int64_t i) const { return i * base + (i < extra ? i : extra); }
};

constexpr int64_t kWidestStrip = 32;  // over all instruction sets

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Floats that attention_head needs.
inline int64_t attention_head_floats(const AttentionArgs& args) {
  return args.sk * (args.d + args.dv) + kWidestStrip * (args.d + args.sk + args.dv) + 5 * kPanel;
}

}  // namespace vitrail::cpu
