// SPDX-License-Identifier: Apache-2.0
// The matrix product of one strip of columns. B comes in panels of 16 columns, A in blocks of at most kBlock
// rows that lie k-major, so that both are read straight through.

inline void pack_rows(const float* a, int64_t lda, int64_t rows, int64_t k, float factor, int64_t step,
                      float* out) {
  const int64_t size = k * step;
  const Vec times = broadcast(factor);
  for (int64_t k0 = 0; k0 < k; k0 += kWidth) {
    const int64_t depth = k - k0 < kWidth ? k - k0 : kWidth;
    for (int64_t r0 = 0; r0 < step; r0 += kWidth) {
      Vec r[kWidth];
      for (int64_t i = 0; i < kWidth; ++i) {
        r[i] = r0 + i < rows ? load_first(a + (r0 + i) * lda + k0, depth) * times : broadcast(0.0f);
      }
      transpose(r);
      for (int64_t i = 0; i < depth; ++i) {
        // A full store may spill into the next k, which is written later, but not past the end of the block.
        const int64_t at = (k0 + i) * step + r0;
        if (r0 + kWidth >= step && at + kWidth <= size) {
          store(out + at, r[i]);
        } else {
          store_first(out + at, r[i], step - r0 < kWidth ? step - r0 : kWidth);
        }
      }
    }
  }
}

// Where a tile of accumulators lies: row r of panel p starts at at + r * row + p * panel.
struct Tile {
  float* at;
  int64_t row, panel;
};

// Lines to prefetch into L2 while a tile is worked, one every second k.
struct Ahead {
  const float* at;
  const float* end;
};

constexpr int64_t kLine = 16;  // floats in a cache line

// tile = (kResume ? tile : 0) + a b: kRows x kCols accumulators, a in steps of a_step, b in panels.
template <int kRows, int kCols, bool kResume>
void multiply_tile(int64_t k, const float* a, int64_t a_step, const float* b, int64_t b_panel, Tile tile,
                   Ahead ahead) {
  Vec acc[kRows][kCols];
  const auto place = [&](int r, int c) {
    const int64_t column = c * kWidth;
    return tile.at + r * tile.row + column / kPanel * tile.panel + column % kPanel;
  };
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kCols; ++c) acc[r][c] = kResume ? load(place(r, c)) : broadcast(0.0f);
  }
  const auto step = [&](const float* ak, const float* bk) __attribute__((always_inline)) {
    Vec row[kCols];
#pragma GCC unroll 4
    for (int c = 0; c < kCols; ++c) {
      const int64_t column = c * kWidth;
      row[c] = load(bk + column / kPanel * b_panel + column % kPanel);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Vec x = broadcast(ak[r]);
#pragma GCC unroll 4
      for (int c = 0; c < kCols; ++c) acc[r][c] = fma(x, row[c], acc[r][c]);
    }
  };
  int64_t i = 0;
  for (; i + 2 <= k; i += 2) {
    __builtin_prefetch(ahead.at, 0, 2);
    ahead.at = ahead.at + kLine < ahead.end ? ahead.at + kLine : ahead.at;
    step(a, b);
    step(a + a_step, b + kPanel);
    a += 2 * a_step;
    b += 2 * kPanel;
  }
  if (i < k) step(a, b);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kCols; ++c) store(place(r, c), acc[r][c]);
  }
}

using TileFunction = void (*)(int64_t, const float*, int64_t, const float*, int64_t, Tile, Ahead);

template <int kCols, bool kResume, int... kRows>
constexpr TileFunction tile_of_rows(int64_t rows, std::integer_sequence<int, kRows...>) {
  constexpr TileFunction kFunctions[] = {multiply_tile<kRows + 1, kCols, kResume>...};
  return kFunctions[rows - 1];
}

// The tile function for `rows` in [1, kBlock] and kCols vectors.
template <int kCols>
inline TileFunction tile_function(int64_t rows, bool resume) {
  constexpr auto kAll = std::make_integer_sequence<int, kBlock>();
  return resume ? tile_of_rows<kCols, true>(rows, kAll) : tile_of_rows<kCols, false>(rows, kAll);
}

// A block of rows times one strip, of which `cols` columns are wanted.
inline void multiply_block(int64_t rows, int64_t cols, int64_t k, const float* a, int64_t a_step,
                           const float* b, int64_t b_panel, Tile tile, bool resume, Ahead ahead) {
  constexpr int64_t kTile = kVectors * kWidth;
  constexpr int kNarrow = kTile > kPanel ? static_cast<int>(kPanel / kWidth) : kVectors;
  if (kTile > kPanel && cols <= kPanel) {
    return tile_function<kNarrow>(rows, resume)(k, a, a_step, b, b_panel, tile, ahead);
  }
  for (int64_t c = 0; c < kStrip; c += kTile) {
    tile_function<kVectors>(rows, resume)(k, a, a_step, b + c, b_panel, {tile.at + c, tile.row, tile.panel},
                                          ahead);
  }
}

struct FinishTile {
  const float* tile;
  int64_t rows, cols;
  const Epilogue& e;

  template <Activation kF>
  void run() const {
    const Vec scale = broadcast(e.scale);
    for (int64_t r = 0; r < rows; ++r) {
      const Vec row_bias = broadcast(e.row_bias ? e.row_bias[r] : 0.0f);
      for (int64_t c = 0; c < cols; c += kWidth) {
        const int64_t n = cols - c < kWidth ? cols - c : kWidth;
        Vec x = load(tile + r * kStrip + c) + row_bias;
        if (e.column_bias) x = x + load_first(e.column_bias + c, n);
        x = activate<kF>(x) * scale;
        if (e.residual) x = x + load_first(e.residual + r * e.ldr + c, n);
        store_first(e.c + r * e.ldc + c, x, n);
      }
    }
  }
};

inline Epilogue advance_rows(Epilogue e, int64_t rows) {
  if (e.row_bias) e.row_bias += rows;
  if (e.residual) e.residual += rows * e.ldr;
  e.c += rows * e.ldc;
  return e;
}

// Fetches where a tile will be written (and the residual) while it is computed: the rows are too far apart
// for the hardware to foresee.
inline void fetch_output(const Epilogue& e, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; c += kLine) {
      __builtin_prefetch(e.c + r * e.ldc + c, 1, 3);
      if (e.residual) __builtin_prefetch(e.residual + r * e.ldr + c, 0, 3);
    }
  }
}

inline void gemm_strip(const StripArgs& s) {
  alignas(64) float local[kBlock * kStrip];
  const Blocks blocks(s.rows, kBlock);
  const int64_t runs = s.k > 0 ? ceil_div(s.k, kDepth) : 1;
  const int64_t quota = round_up(ceil_div(s.next_floats, blocks.count * runs), kLine);
  const float* next = s.next;
  for (int64_t run = 0; run < runs; ++run) {
    const int64_t k0 = run * kDepth;
    const int64_t depth = s.k - k0 < kDepth ? s.k - k0 : kDepth;
    for (int64_t i = 0; i < blocks.count; ++i) {
      const int64_t rows = blocks.size(i);
      const int64_t start = blocks.start(i);
      float* out = runs > 1 ? s.partial + start * kStrip : local;
      const Epilogue e = advance_rows(s.epilogue, start);
      if (run + 1 == runs) fetch_output(e, rows, s.cols);
      const Ahead ahead = next ? Ahead{next, next + quota} : Ahead{s.b, s.b};
      multiply_block(rows, s.cols, depth, s.a + start * s.k + k0 * rows, rows, s.b + k0 * kPanel,
                     s.k * kPanel, {out, kStrip, kPanel}, run > 0, ahead);
      if (next) next += quota;
      if (run + 1 == runs) with_activation(e.activation, FinishTile{out, rows, s.cols, e});
    }
  }
}

// The most that the multiply-add units can do: kChains independent chains in registers.
inline float fma_loop(int64_t rounds, int64_t* flops) {
  constexpr int kChains = kWidth == 16 ? 24 : 12;
  Vec acc[kChains];
  for (int i = 0; i < kChains; ++i) acc[i] = broadcast(static_cast<float>(i) * 1e-3f);
  const Vec x = broadcast(0.999f);
  const Vec y = broadcast(1e-4f);
  for (int64_t n = 0; n < rounds; ++n) {
#pragma GCC unroll 24
    for (int i = 0; i < kChains; ++i) acc[i] = fma(acc[i], x, y);
  }
  Vec sum = acc[0];
  for (int i = 1; i < kChains; ++i) sum = sum + acc[i];
  *flops = rounds * kChains * kWidth * 2;
  return sum_lanes(sum);
}
