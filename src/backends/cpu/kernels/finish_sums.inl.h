// SPDX-License-Identifier: Apache-2.0
// What happens to the sums of a product of bytes while they are still in L1.

// y = f(sum * scale + bias) + residual for some rows of sums, tile_row apart.
struct FinishSums {
  const int32_t* tile;
  int64_t tile_row;
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
        const Vec sum = to_floats(load_ints(tile + r * tile_row + c));
        const Vec x = fma(sum, scale, bias);
        Vec y = s.q ? activate_for_bytes<kF>(x) : activate<kF>(x);
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
