// SPDX-License-Identifier: Apache-2.0
// Kernels that work on rows or on plain arrays.

// Sum of f(x) over the row in four vector chains; f sees zeros past the end when the row ends inside a
// vector, so the tail is handled apart with a mask.
template <class F>
inline float sum_over(const float* x, int64_t cols, const F& f) {
  constexpr int kChains = 4;
  Vec sum[kChains];
  for (int i = 0; i < kChains; ++i) sum[i] = broadcast(0.0f);
  int64_t c = 0;
  for (; c + kChains * kWidth <= cols; c += kChains * kWidth) {
    for (int i = 0; i < kChains; ++i) sum[i] = sum[i] + f(load(x + c + i * kWidth));
  }
  for (; c + kWidth <= cols; c += kWidth) sum[0] = sum[0] + f(load(x + c));
  float total = sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
  if (c < cols) {
    alignas(64) float tail[kWidth];
    store(tail, f(load_first(x + c, cols - c)));
    for (int64_t i = 0; i < cols - c; ++i) total += tail[i];
  }
  return total;
}

// Two passes: the variance is a sum of squares of differences, never a difference of large squares. out(c, v,
// n) takes the n values from column c on.
template <class Out>
inline void normalize_row(const float* x, const float* gamma, const float* beta, float eps, int64_t cols,
                          const Out& out) {
  const float count = static_cast<float>(cols);
  const Vec mean = broadcast(sum_over(x, cols, [](Vec v) { return v; }) / count);
  const float squares = sum_over(x, cols, [mean](Vec v) { return (v - mean) * (v - mean); });
  const Vec inverse = broadcast(1.0f / __builtin_sqrtf(squares / count + eps));
  for (int64_t c = 0; c < cols; c += kWidth) {
    const int64_t n = cols - c < kWidth ? cols - c : kWidth;
    Vec v = (load_first(x + c, n) - mean) * inverse;
    if (gamma) v = v * load_first(gamma + c, n);
    if (beta) v = v + load_first(beta + c, n);
    out(c, v, n);
  }
}

inline void layer_norm(const float* x, const float* gamma, const float* beta, float eps, int64_t rows,
                       int64_t cols, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
    normalize_row(x, gamma, beta, eps, cols, [y](int64_t c, Vec v, int64_t n) { store_first(y + c, v, n); });
  }
}

inline void layer_norm_bytes(const float* x, const float* gamma, const float* beta, float eps, int64_t rows,
                             int64_t cols, const ByteScale& scale, uint8_t* q) {
  const ByteScaler scaler(scale);
  for (int64_t r = 0; r < rows; ++r, x += cols, q += cols) {
    normalize_row(x, gamma, beta, eps, cols,
                  [&](int64_t c, Vec v, int64_t n) { store_bytes(q + c, scaler(v), scale.flip, n); });
  }
}

inline void softmax(const float* x, int64_t rows, int64_t cols, float* y) {
  const SoftmaxWeight weight;
  for (int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
    Vec top = broadcast(x[0]);
    int64_t c = 0;
    for (; c + kWidth <= cols; c += kWidth) top = max(top, load(x + c));
    float highest = max_lanes(top);
    for (; c < cols; ++c) highest = x[c] > highest ? x[c] : highest;
    for (c = 0; c < cols; c += kWidth) {
      const int64_t n = cols - c < kWidth ? cols - c : kWidth;
      store_first(y + c, weight(load_first(x + c, n) - broadcast(highest)), n);
    }
    const Vec inverse = broadcast(1.0f / sum_over(y, cols, [](Vec v) { return v; }));
    for (c = 0; c < cols; c += kWidth) {
      const int64_t n = cols - c < kWidth ? cols - c : kWidth;
      store_first(y + c, load_first(y + c, n) * inverse, n);
    }
  }
}

// out[i] = start + Σ weights[t] · from[t][i], in the order of the taps.
inline void weighted_rows(const float* const* from, const float* weights, int64_t taps, float start, float* out, int64_t count) {
  constexpr int kChains = 4;
  int64_t i = 0;
  for (; i + kChains * kWidth <= count; i += kChains * kWidth) {
    Vec sum[kChains];
    for (int c = 0; c < kChains; ++c) sum[c] = broadcast(start);
    for (int64_t t = 0; t < taps; ++t) {
      const Vec w = broadcast(weights[t]);
      for (int c = 0; c < kChains; ++c) sum[c] = fma(w, load(from[t] + i + c * kWidth), sum[c]);
    }
    for (int c = 0; c < kChains; ++c) store(out + i + c * kWidth, sum[c]);
  }
  for (; i < count; i += kWidth) {
    const int64_t n = count - i < kWidth ? count - i : kWidth;
    Vec sum = broadcast(start);
    for (int64_t t = 0; t < taps; ++t) sum = fma(broadcast(weights[t]), load_first(from[t] + i, n), sum);
    store_first(out + i, sum, n);
  }
}

struct UnaryBody {
  const float* x;
  float* y;
  int64_t count;

  template <Activation kF>
  void run() const {
    int64_t i = 0;
    for (; i + kWidth <= count; i += kWidth) store(y + i, activate<kF>(load(x + i)));
    if (i < count) store_first(y + i, activate<kF>(load_first(x + i, count - i)), count - i);
  }
};
inline void unary(Activation f, const float* x, float* y, int64_t count) {
  with_activation(f, UnaryBody{x, y, count});
}

template <Binary kOp>
inline Vec combine(Vec a, Vec b) {
  if constexpr (kOp == Binary::kAdd) return a + b;
  if constexpr (kOp == Binary::kSub) return a - b;
  if constexpr (kOp == Binary::kMul) return a * b;
  return a / b;
}

template <Binary kOp>
inline void binary_as(const float* a, int64_t a_col, const float* b, int64_t b_col, float* out,
                      int64_t count) {
  const auto read = [](const float* p, int64_t col, int64_t at, int64_t n) {
    if (col == 0) return broadcast(*p);
    return n == kWidth ? load(p + at) : load_first(p + at, n);
  };
  for (int64_t i = 0; i < count; i += kWidth) {
    const int64_t n = count - i < kWidth ? count - i : kWidth;
    store_first(out + i, combine<kOp>(read(a, a_col, i, n), read(b, b_col, i, n)), n);
  }
}

inline void binary_row(Binary op, const float* a, int64_t a_col, const float* b, int64_t b_col, float* out,
                       int64_t count) {
  switch (op) {
    case Binary::kAdd:
      return binary_as<Binary::kAdd>(a, a_col, b, b_col, out, count);
    case Binary::kSub:
      return binary_as<Binary::kSub>(a, a_col, b, b_col, out, count);
    case Binary::kMul:
      return binary_as<Binary::kMul>(a, a_col, b, b_col, out, count);
    case Binary::kDiv:
      return binary_as<Binary::kDiv>(a, a_col, b, b_col, out, count);
  }
}

inline void mix(const float* a, const float* b, float t, float* out, int64_t count) {
  const Vec weight = broadcast(t);
  for (int64_t i = 0; i < count; i += kWidth) {
    const int64_t n = count - i < kWidth ? count - i : kWidth;
    const Vec from = load_first(a + i, n);
    store_first(out + i, fma(load_first(b + i, n) - from, weight, from), n);
  }
}
