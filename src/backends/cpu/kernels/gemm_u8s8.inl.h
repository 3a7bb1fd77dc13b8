// SPDX-License-Identifier: Apache-2.0
// The product of bytes for one strip of columns. As in gemm_f32.inl.h, with four steps of k to a quad: B in
// panels [quads][16][4], A in blocks of at most kDotRows rows [quads][rows][4]. Sums start at what the zero
// point asks for, so it costs nothing, and leave through a tile in L1.

constexpr int64_t kQuad = 4;
constexpr int64_t kPanelQuad = kPanel * kQuad;  // bytes of one quad of a panel
constexpr int64_t kDotStrip = kDotVectors * kWidth > kPanel ? kDotVectors* kWidth : kPanel;

// a[rows][bytes] with stride lda, each byte exclusive or `flip`, to out[quads][step][4]; bytes past the end
// of a row become 0.
inline void pack_quads(const uint8_t* a, int64_t lda, int64_t rows, int64_t bytes, uint8_t flip, int64_t step,
                       uint8_t* out) {
  const uint32_t flips = flip * 0x01010101u;
  const int64_t whole = bytes / kQuad;
  const auto move = [&](int64_t r, int64_t q, int64_t n) {
    uint32_t quad = 0;
    std::memcpy(&quad, a + r * lda + q * kQuad, static_cast<size_t>(n));
    quad ^= flips;
    std::memcpy(out + (q * step + r) * kQuad, &quad, kQuad);
  };
  int64_t q0 = 0;
  if constexpr (kWidth > 1) {
    const IVec mask = broadcast_int(static_cast<int32_t>(flips));
    for (; q0 + kWidth <= whole; q0 += kWidth) {
      for (int64_t r0 = 0; r0 < rows; r0 += kWidth) {
        const int64_t n = rows - r0 < kWidth ? rows - r0 : kWidth;
        Vec t[kWidth];
        for (int64_t i = 0; i < kWidth; ++i) {
          t[i] = i < n
                     ? flip_bits(load(reinterpret_cast<const float*>(a + (r0 + i) * lda + q0 * kQuad)), mask)
                     : broadcast(0.0f);
        }
        transpose(t);
        for (int64_t i = 0; i < kWidth; ++i)
          store_first(reinterpret_cast<float*>(out + ((q0 + i) * step + r0) * kQuad), t[i], n);
      }
    }
  }
  for (; q0 < whole; ++q0) {
    for (int64_t r = 0; r < rows; ++r) move(r, q0, kQuad);
  }
  if (whole * kQuad < bytes) {
    for (int64_t r = 0; r < rows; ++r) move(r, whole, bytes - whole * kQuad);
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
      const typename D::A x = D::one(aq + r * kQuad);
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

// A block of rows times one strip, of which `cols` columns are wanted; tile[rows][kDotStrip]. b_panel is the
// bytes of a panel, a_step those of a quad of the block.
template <class D>
inline void dot_block(int64_t rows, int64_t cols, int64_t quads, const uint8_t* a, int64_t a_step,
                      const uint8_t* b, int64_t b_panel, const int32_t* start, int32_t* tile,
                      BytesAhead ahead) {
  constexpr int64_t kTile = kDotVectors * kWidth;
  constexpr int kNarrow = kTile > kPanel ? static_cast<int>(kPanel / kWidth) : kDotVectors;
  constexpr auto kAll = std::make_integer_sequence<int, kDotRows>();
  if (kTile > kPanel && cols <= kPanel) {
    return dot_of_rows<D, kNarrow>(rows, kAll)(quads, a, a_step, b, b_panel, start, tile, kDotStrip, ahead);
  }
  for (int64_t c = 0; c < kDotStrip; c += kTile) {
    dot_of_rows<D, kDotVectors>(rows, kAll)(quads, a, a_step, b + c * kQuad, b_panel,
                                            start ? start + c : start, tile + c, kDotStrip, ahead);
  }
}

struct FinishSums {
  const int32_t* tile;
  int64_t rows;
  const IntegerStripArgs& s;
  int64_t first;  // row of the strip

  template <Activation kF>
  void run() const {
    const ByteScaler scaler(s.bytes);
    for (int64_t c = 0; c < s.cols; c += kWidth) {
      const int64_t n = s.cols - c < kWidth ? s.cols - c : kWidth;
      const Vec scale = load_first(s.scale + c, n);
      const Vec bias = s.bias ? load_first(s.bias + c, n) : broadcast(0.0f);
      for (int64_t r = 0; r < rows; ++r) {
        const Vec sum = to_floats(load_ints(tile + r * kDotStrip + c));
        Vec y = activate<kF>(fma(sum, scale, bias));
        if (s.residual) y = y + load_first(s.residual + (first + r) * s.ldr + c, n);
        if (s.q) {
          store_bytes(s.q + (first + r) * s.ldc + c, scaler(y), s.bytes.flip, n);
        } else {
          store_first(s.c + (first + r) * s.ldc + c, y, n);
        }
      }
    }
  }
};

// Fetches where a tile will be written (and the residual) while it is computed: the rows are too far apart
// for the hardware to foresee.
inline void fetch_output(const IntegerStripArgs& s, int64_t first, int64_t rows) {
  for (int64_t r = first; r < first + rows; ++r) {
    if (s.q) __builtin_prefetch(s.q + r * s.ldc, 1, 3);
    for (int64_t c = 0; !s.q && c < s.cols; c += kPanel) __builtin_prefetch(s.c + r * s.ldc + c, 1, 3);
    for (int64_t c = 0; s.residual && c < s.cols; c += kPanel)
      __builtin_prefetch(s.residual + r * s.ldr + c, 0, 3);
  }
}

inline void gemm_u8s8_strip(const IntegerStripArgs& s) {
  alignas(64) int32_t tile[kDotRows * kDotStrip];
  const Blocks blocks(s.rows, kDotRows);
  const int64_t quota = round_up(ceil_div(s.next_bytes, blocks.count ? blocks.count : 1), 64);
  const uint8_t* next = s.next;
  for (int64_t i = 0; i < blocks.count; ++i) {
    const int64_t rows = blocks.size(i);
    const int64_t first = blocks.start(i);
    fetch_output(s, first, rows);
    const BytesAhead ahead = next ? BytesAhead{next, next + quota} : BytesAhead{s.b, s.b};
    dot_block<UnsignedBySigned>(rows, s.cols, s.quads, s.a + first * s.quads * kQuad, rows * kQuad, s.b,
                                s.b_panel, s.start, tile, ahead);
    if (next) next += quota;
    with_activation(s.activation, FinishSums{tile, rows, s, first});
  }
}
