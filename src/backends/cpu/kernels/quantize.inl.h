// SPDX-License-Identifier: Apache-2.0
// From floats to bytes.

// saturate(round(y / scale) + zero), as ints in [0, 255]. Clamped before it is rounded, so that no float is
// beyond an int.
struct ByteScaler {
  Vec inverse, low, high;
  IVec zero;

  explicit ByteScaler(const ByteScale& s)
      : inverse(broadcast(1.0f / s.scale)),
        low(broadcast(static_cast<float>(-s.zero))),
        high(broadcast(static_cast<float>(255 - s.zero))),
        zero(broadcast_int(s.zero)) {}
  IVec operator()(Vec y) const { return of_quotient(y * inverse); }
  IVec of_quotient(Vec q) const { return to_ints(min(high, max(low, q))) + zero; }
};

// With a true division: ONNX's ties, to the bit.
inline void quantize(const float* x, int64_t count, const ByteScale& s, uint8_t* q) {
  const ByteScaler scaler(s);
  const Vec scale = broadcast(s.scale);
  for (int64_t i = 0; i < count; i += kWidth) {
    const int64_t n = count - i < kWidth ? count - i : kWidth;
    store_bytes(q + i, scaler.of_quotient(load_first(x + i, n) / scale), s.flip, n);
  }
}
