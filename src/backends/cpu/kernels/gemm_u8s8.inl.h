// SPDX-License-Identifier: Apache-2.0
// The product of bytes for one strip of columns. As in gemm_f32.inl.h, with four steps of k to a quad: B in
// panels [quads][16][4], A in blocks of at most kDotRows rows [quads][rows][4]. Sums start at what the zero
// point asks for, so it costs nothing, and leave through a tile in L1.

constexpr int64_t kBlockRows = kDotRows;
constexpr int64_t kBlockStep = kQuad;
constexpr bool kReadsRows = false;
constexpr int64_t kBlockChunk = kChunkBytes;
constexpr int64_t kExpansion = kPackedQuad / kQuad;
constexpr int64_t kBlockStrip = kDotVectors * kWidth > kPanel ? kDotVectors* kWidth : kPanel;

// A quad as Dot::one reads it.
inline void store_quad(uint8_t* out, uint32_t quad) {
  constexpr uint32_t kLow = 0x00ff00ff;
  const uint32_t words[] = {quad & kLow, quad >> 8 & kLow};
  std::memcpy(out, kPackedQuad == kQuad ? &quad : words, kPackedQuad);
}

// To [quads][rows][kPackedQuad].
inline void pack_block(const uint8_t* a, int64_t lda, int64_t rows, int64_t bytes, uint8_t flip,
                       uint8_t* out) {
  // Wider quads are made front to back of narrow ones at the end, which are read before they are overwritten.
  const int64_t count = rows * ceil_div(bytes, kQuad);
  uint8_t* quads = out + count * (kPackedQuad - kQuad);
  pack_quads(a, lda, rows, bytes, flip, rows, quads);
  for (int64_t i = 0; kPackedQuad != kQuad && i < count; ++i) {
    uint32_t quad;
    std::memcpy(&quad, quads + i * kQuad, kQuad);
    store_quad(out + i * kPackedQuad, quad);
  }
}

// Lines to prefetch into L2 while a tile is worked, one every fourth quad.
struct BytesAhead {
  const uint8_t* at;
  const uint8_t* end;
};

// tile[r][c] = start[c] + sum over the quads of a and b, for kRows x kCols vectors.
template <class D, int kRows, int kCols>
void dot_tile(int64_t quads, const uint8_t* a, int64_t a_step, const uint8_t* b, int64_t b_panel,
              const int32_t* start, int32_t* tile, int64_t tile_row, BytesAhead ahead) {
  IVec sum[kRows][kCols];
#pragma GCC unroll 4
  for (int c = 0; c < kCols; ++c) {
    const IVec first = start ? load_ints(start + c * kWidth) : broadcast_int(0);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) sum[r][c] = first;
  }
  const auto step = [&](const uint8_t* aq, const uint8_t* bq) __attribute__((always_inline)) {
    typename D::B column[kCols];
#pragma GCC unroll 4
    for (int c = 0; c < kCols; ++c) {
      const int64_t at = c * kWidth;
      column[c] = D::lanes(bq + at / kPanel * b_panel + at % kPanel * kQuad);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const typename D::A x = D::one(aq + r * kPackedQuad);
#pragma GCC unroll 4
      for (int c = 0; c < kCols; ++c) sum[r][c] = D::add(sum[r][c], x, column[c]);
    }
  };
  int64_t i = 0;
  for (; i + 4 <= quads; i += 4) {
    __builtin_prefetch(ahead.at, 0, 2);
    ahead.at = ahead.at + 64 < ahead.end ? ahead.at + 64 : ahead.at;
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) step(a + j * a_step, b + j * kPanelQuad);
    a += 4 * a_step;
    b += 4 * kPanelQuad;
  }
  for (; i < quads; ++i, a += a_step, b += kPanelQuad) step(a, b);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kCols; ++c) store_ints(tile + r * tile_row + c * kWidth, sum[r][c]);
  }
}

using DotFunction = void (*)(int64_t, const uint8_t*, int64_t, const uint8_t*, int64_t, const int32_t*,
                             int32_t*, int64_t, BytesAhead);

template <class D, int kCols, int... kRows>
constexpr DotFunction dot_of_rows(int64_t rows, std::integer_sequence<int, kRows...>) {
  constexpr DotFunction kFunctions[] = {dot_tile<D, kRows + 1, kCols>...};
  return kFunctions[rows - 1];
}

// A block of rows times one strip, of which `cols` columns are wanted; a row of the tile is tile_row apart.
// b_panel is the bytes of a panel, a_step those of a quad of the block.
template <class D>
inline void dot_block(int64_t rows, int64_t cols, int64_t quads, const uint8_t* a, int64_t a_step,
                      const uint8_t* b, int64_t b_panel, const int32_t* start, int32_t* tile,
                      int64_t tile_row, BytesAhead ahead) {
  constexpr int64_t kTile = kDotVectors * kWidth;
  constexpr int kNarrow = kTile > kPanel ? static_cast<int>(kPanel / kWidth) : kDotVectors;
  constexpr auto kAll = std::make_integer_sequence<int, kDotRows>();
  if (kTile > kPanel && cols <= kPanel) {
    return dot_of_rows<D, kNarrow>(rows, kAll)(quads, a, a_step, b, b_panel, start, tile, tile_row, ahead);
  }
  for (int64_t c = 0; c < kBlockStrip; c += kTile) {
    dot_of_rows<D, kDotVectors>(rows, kAll)(quads, a, a_step, b + c * kQuad, b_panel,
                                            start ? start + c : start, tile + c, tile_row, ahead);
  }
}

// Products of one block of rows (pack_block) at a time. sums[rows][16 * panels], rows `row` ints apart, begin
// at `start`; depth is K in whole kBlockStep, a panel b_panel bytes.
class BlockProduct {
 public:
  void operator()(int64_t rows, int64_t panels, int64_t depth, const uint8_t* a, const uint8_t* b,
                  int64_t b_panel, const int32_t* start, int32_t* sums, int64_t row) const {
    for (int64_t c = 0; c < panels * kPanel; c += kBlockStrip) {
      const uint8_t* strip = b + c / kPanel * b_panel;
      dot_block<Dot>(rows, panels * kPanel - c, depth / kQuad, a, rows * kPackedQuad, strip, b_panel,
                     start + c, sums + c, row, {strip, strip});
    }
  }
};

inline void gemm_u8s8_strip(const IntegerStripArgs& s) {
  alignas(64) int32_t tile[kBlockRows * kBlockStrip];
  const Blocks blocks(s.rows, kBlockRows);
  const int64_t quota = round_up(ceil_div(s.next_bytes, blocks.count ? blocks.count : 1), 64);
  const uint8_t* next = s.next;
  for (int64_t i = 0; i < blocks.count; ++i) {
    const int64_t rows = blocks.size(i);
    const int64_t first = blocks.start(i);
    fetch_output(s, first, rows);
    const BytesAhead ahead = next ? BytesAhead{next, next + quota} : BytesAhead{s.b, s.b};
    dot_block<Dot>(rows, s.cols, s.depth / kQuad, s.a + first * s.depth * kExpansion, rows * kPackedQuad, s.b,
                   s.b_panel, s.start, tile, kBlockStrip, ahead);
    if (next) next += quota;
    with_activation(s.activation, FinishSums{tile, kBlockStrip, rows, s, first});
  }
}
