// SPDX-License-Identifier: Apache-2.0
// The two passes on vectors of kLanes 16-byte lanes; included inside target regions after one of simd_*.inl.h, which
// define Words (vectors of 16-bit and 32-bit integers) and what is done with them.
//
// Two pixels' bytes of a channel lie side by side as 16-bit integers, so that one multiply-add gives the sum of both
// with their weights. Weights are cut in two (WeightPair), as they have more than 16 bits: the products of each part
// are summed on their own, exactly, and joined in the end.

struct Sums {
  Words high, low;
};

inline void add_products(Sums& sums, Words pixels, const WeightPair& w) {
  sums.high = add(sums.high, multiply_add(pixels, broadcast(w.high)));
  sums.low = add(sums.low, multiply_add(pixels, broadcast(w.low)));
}

inline Words joined(const Sums& sums, int bits) {
  return shift_right(add(shift_left(sums.high, kLowBits), sums.low), bits);
}

// kLanes lines at once, a lane each.
void horizontal_group(const uint8_t* const (&lines)[kLanes], const Taps::View& taps, uint8_t* const (&out)[kLanes]) {
  const Words start = broadcast(1 << (taps.bits - 1));
  uint8_t pixel[kLanes][4];
  for (int x = 0; x < taps.count; ++x) {
    const Taps::Window& window = taps.windows[x];
    Sums sums{zero(), start};
    const WeightPair* w = &taps.pairs[window.pairs];
    size_t from = size_t{3} * static_cast<size_t>(window.first);
    int i = 0;
    for (; i + 2 < window.count; i += 4, from += 12, w += 2) {
      const Words pixels = load_lanes(lines, from);
      add_products(sums, first_pixel_pair(pixels), w[0]);
      add_products(sums, second_pixel_pair(pixels), w[1]);
    }
    if (i < window.count) add_products(sums, first_pixel_pair(load_lanes(lines, from)), w[0]);
    store_pixels(joined(sums, taps.bits), pixel);
    for (int lane = 0; lane < kLanes; ++lane) std::memcpy(out[lane] + size_t{3} * static_cast<size_t>(x), pixel[lane], 3);
  }
}

void horizontal(const uint8_t* in, size_t stride, int rows, const Taps::View& taps, uint8_t* out) {
  const size_t width = size_t{3} * static_cast<size_t>(taps.count);
  for (int y = 0; y < rows; y += kLanes) {
    const uint8_t* lines[kLanes];
    uint8_t* to[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) {
      const auto row = static_cast<size_t>(y + lane < rows ? y + lane : rows - 1);  // a last group repeats its last line
      lines[lane] = in + stride * row;
      to[lane] = out + width * row;
    }
    horizontal_group(lines, taps, to);
  }
}

inline void vertical_block(const uint8_t* in, size_t stride, const Taps::View& taps, const Taps::Window& window,
                           uint8_t* out) {
  const Words start = broadcast(1 << (taps.bits - 1));
  Sums sums[4] = {{zero(), start}, {zero(), start}, {zero(), start}, {zero(), start}};
  const WeightPair* w = &taps.pairs[window.pairs];
  for (int i = 0; i < window.count; i += 2, ++w) {
    const Words a = load(in + stride * static_cast<size_t>(i));
    const Words b = load(in + stride * static_cast<size_t>(i + 1 < window.count ? i + 1 : i));  // else its weight is 0
    const Words low = interleave_low(a, b), high = interleave_high(a, b);
    add_products(sums[0], interleave_low(low, zero()), *w);
    add_products(sums[1], interleave_high(low, zero()), *w);
    add_products(sums[2], interleave_low(high, zero()), *w);
    add_products(sums[3], interleave_high(high, zero()), *w);
  }
  store(out, to_bytes(joined(sums[0], taps.bits), joined(sums[1], taps.bits), joined(sums[2], taps.bits),
                      joined(sums[3], taps.bits)));
}

void vertical(const uint8_t* in, size_t stride, const Taps::View& taps, const Taps::Window& window, size_t bytes,
              uint8_t* out) {
  constexpr size_t kBlock = 16 * kLanes;
  if (bytes < kBlock) return kScalar.vertical(in, stride, taps, window, bytes, out);
  for (size_t x = 0; x < bytes; x += kBlock) {
    const size_t at = x + kBlock <= bytes ? x : bytes - kBlock;  // the last block overlaps the one before
    vertical_block(in + at, stride, taps, window, out + at);
  }
}
