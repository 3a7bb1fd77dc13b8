// SPDX-License-Identifier: Apache-2.0
// The product of bytes in the tiles of AMX: twin of gemm_u8s8.inl.h. A tile has up to 16 rows of 64 bytes;
// tdpbusd adds the products of 16 rows of A by 16 columns of B over 64 steps of k, 16 Ki multiply-adds in 16
// cycles. Two by two tiles of sums need one load for each such instruction. What becomes of a block's sums is
// worked out between the steps of the next one, in the shadow of its multiplications.

constexpr int64_t kTileRows = 16;
constexpr int64_t kTileBytes = kTileRows * kDepthStep;
constexpr int64_t kBlockRows = 2 * kTileRows;
constexpr int64_t kBlockStrip = 2 * kPanel;
constexpr int64_t kBlockStep = kDepthStep;
constexpr bool kReadsRows = true;
constexpr int64_t kBlockChunk = kTileChunkBytes;
constexpr int64_t kExpansion = 1;
// Steps of k for which two panels of B (24 KiB) stay in L1 beside what is read of A.
constexpr int64_t kPartSteps = 12;
constexpr int64_t kMostBlocks = ceil_div(kTileChunkBytes / ((kPartSteps + 1) * kDepthStep), kBlockRows) + 1;

inline void pack_block(const uint8_t* a, int64_t lda, int64_t rows, int64_t bytes, uint8_t flip,
                       uint8_t* out) {
  const __m512i flips = _mm512_set1_epi8(static_cast<char>(flip));
  for (int64_t k = 0; k < bytes; k += kDepthStep) {
    const int64_t n = bytes - k < kDepthStep ? bytes - k : kDepthStep;
    const __mmask64 mask = _bzhi_u64(~0ull, static_cast<unsigned>(n));
    for (int64_t r = 0; r < rows; ++r, out += kDepthStep) {
      const __m512i row = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, a + r * lda + k), flips);
      _mm512_store_si512(out, _mm512_maskz_mov_epi8(mask, row));
    }
  }
}

inline void store_quad(uint8_t* out, uint32_t quad) { std::memcpy(out, &quad, kQuad); }

// Keeps the compiler from moving what tiles read or write past it: its intrinsics do not say all of it.
inline void settle_memory() { __asm__ volatile("" ::: "memory"); }

// Rows of the tiles: 0 and 1 are sums of the upper rows by both panels, 2 and 3 of the lower ones, 4 and 5
// the rows of A, 6 and 7 the panels.
inline void shape_tiles(int64_t upper, int64_t lower) {
  struct alignas(64) {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t bytes[16] = {};
    uint8_t rows[16] = {};
  } config;
  const int64_t rows[8] = {upper, upper, lower, lower, upper, lower, kTileRows, kTileRows};
  for (int i = 0; i < 8; ++i) {
    config.bytes[i] = rows[i] ? kDepthStep : 0;
    config.rows[i] = static_cast<uint8_t>(rows[i]);
  }
  settle_memory();
  _tile_loadconfig(&config);
}

// Up to 32 rows of A and two panels of B.
struct TileWalk {
  const uint8_t *upper, *lower;  // rows of A at the first step
  int64_t row, step;             // from row to row, and from step to step
  const uint8_t *left, *right;   // panels of B
};

template <bool kLower, bool kRight>
inline void multiply_step(const TileWalk& w, int64_t i) {
  _tile_loadd(6, w.left + i * kTileBytes, kDepthStep);
  _tile_loadd(4, w.upper + i * w.step, w.row);
  _tile_dpbusd(0, 4, 6);
  if constexpr (kRight) {
    _tile_loadd(7, w.right + i * kTileBytes, kDepthStep);
    _tile_dpbusd(1, 4, 7);
  }
  if constexpr (kLower) {
    _tile_loadd(5, w.lower + i * w.step, w.row);
    _tile_dpbusd(2, 5, 6);
    if constexpr (kRight) _tile_dpbusd(3, 5, 7);
  }
}

// Sums from `from`, rows `row` ints apart; 0 repeats one row.
template <bool kLower, bool kRight>
inline void load_sums(const int32_t* from, int64_t row, int64_t upper) {
  const int64_t bytes = row * 4;
  _tile_loadd(0, from, bytes);
  if constexpr (kRight) _tile_loadd(1, from + kPanel, bytes);
  if constexpr (kLower) {
    _tile_loadd(2, from + upper * row, bytes);
    if constexpr (kRight) _tile_loadd(3, from + upper * row + kPanel, bytes);
  }
}

template <bool kLower, bool kRight>
inline void store_sums(int32_t* to, int64_t row, int64_t upper) {
  const int64_t bytes = row * 4;
  _tile_stored(0, to, bytes);
  if constexpr (kRight) _tile_stored(1, to + kPanel, bytes);
  if constexpr (kLower) {
    _tile_stored(2, to + upper * row, bytes);
    if constexpr (kRight) _tile_stored(3, to + upper * row + kPanel, bytes);
  }
}

// The sums of a block whose steps first … last go on from `from` to `to`; between(i) runs after the i-th of
// them.
template <class Between>
inline void multiply_tiles(const TileWalk& w, int64_t upper, bool lower, bool right, int64_t first,
                           int64_t last, const int32_t* from, int64_t from_row, int32_t* to, int64_t to_row,
                           const Between& between) {
  const auto work = [&]<bool kLower, bool kRight>() __attribute__((always_inline)) {
    settle_memory();
    load_sums<kLower, kRight>(from, from_row, upper);
    for (int64_t i = first; i < last; ++i) {
      multiply_step<kLower, kRight>(w, i);
      between(i - first);
    }
    store_sums<kLower, kRight>(to, to_row, upper);
  };
  if (lower) {
    if (right) return work.template operator()<true, true>();
    return work.template operator()<true, false>();
  }
  if (right) return work.template operator()<false, true>();
  work.template operator()<false, false>();
}

// Where the tiles of a block of rows begin and how they are cut.
struct TileBlock {
  int64_t rows, upper;
  explicit TileBlock(int64_t n) : rows(n), upper(n > kTileRows ? ceil_div(n, 2) : n) {}
  int64_t lower() const { return rows - upper; }
};

class BlockProduct {
 public:
  BlockProduct() = default;
  BlockProduct(const BlockProduct&) = delete;
  ~BlockProduct() {
    if (shaped_) _tile_release();
  }
  void operator()(int64_t rows, int64_t panels, int64_t depth, const uint8_t* a, const uint8_t* b,
                  int64_t b_panel, const int32_t* start, int32_t* sums, int64_t row) {
    const TileBlock block(rows);
    if (rows != shaped_) shape_tiles(block.upper, block.lower());
    shaped_ = rows;
    for (int64_t p = 0; p < panels; p += 2) {
      const uint8_t* left = b + p * b_panel;
      const TileWalk walk{
          a, a + block.upper * kDepthStep, kDepthStep, rows * kDepthStep, left, left + b_panel};
      multiply_tiles(walk, block.upper, block.lower() > 0, p + 1 < panels, 0, depth / kDepthStep,
                     start + p * kPanel, 0, sums + p * kPanel, row, [](int64_t) {});
    }
  }

 private:
  int64_t shaped_ = 0;
};

inline void gemm_u8s8_strip(const IntegerStripArgs& s) {
  constexpr int64_t kSums = kBlockRows * kBlockStrip;
  alignas(64) int32_t tiles[2][kSums];            // of the block under way and of the one before
  alignas(64) int32_t open[kMostBlocks * kSums];  // of all blocks, after a part of the steps
  const Blocks blocks(s.rows, kBlockRows);
  const Blocks parts(s.depth / kDepthStep, kPartSteps);
  const bool right = s.cols > kPanel;
  // Lines of the next strip for each step.
  const int64_t steps = s.depth / kDepthStep * blocks.count;
  const int64_t lines = ceil_div(s.next_bytes / 64, steps ? steps : 1);
  const uint8_t* next = s.next;
  const uint8_t* const end = s.next + s.next_bytes;
  int64_t shaped = 0;
  FinishSums before{nullptr, kBlockStrip, 0, s, 0};
  const auto finish = [&](int64_t from, int64_t to) {
    const int32_t* tile = before.tile + from * kBlockStrip;
    with_activation(s.activation, FinishSums{tile, kBlockStrip, to - from, s, before.first + from});
  };
  for (int64_t p = 0; p < parts.count; ++p) {
    const bool closes = p + 1 == parts.count;
    for (int64_t i = 0; i < blocks.count; ++i) {
      const TileBlock block(blocks.size(i));
      const int64_t row = blocks.start(i);
      if (block.rows != shaped) shape_tiles(block.upper, block.lower());
      shaped = block.rows;
      TileWalk walk;
      walk.row = s.lda ? s.lda : kDepthStep;
      walk.step = s.lda ? kDepthStep : block.rows * kDepthStep;
      walk.upper = s.a + row * (s.lda ? s.lda : s.depth);
      walk.lower = walk.upper + block.upper * walk.row;
      walk.left = s.b;
      walk.right = s.b + s.b_panel;
      int32_t* to = closes ? tiles[i % 2] : open + i * kSums;
      const int64_t count = parts.size(p);
      const auto between = [&](int64_t step) {
        for (int64_t l = 0; l < lines && next < end; ++l, next += 64) __builtin_prefetch(next, 0, 2);
        if (closes && before.rows) finish(before.rows * step / count, before.rows * (step + 1) / count);
      };
      multiply_tiles(walk, block.upper, block.lower() > 0, right, parts.start(p), parts.start(p) + count,
                     p == 0 ? s.start : open + i * kSums, p == 0 ? 0 : kBlockStrip, to, kBlockStrip, between);
      if (!closes) continue;
      before.tile = to;
      before.rows = block.rows;
      before.first = row;
    }
  }
  finish(0, before.rows);
  _tile_release();
}
