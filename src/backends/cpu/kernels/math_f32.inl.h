// SPDX-License-Identifier: Apache-2.0
// Elementary functions on Vec. Bounds are of the test in tests/cpu/kernel_math_test.cpp.

// P(t) for coefficients from the highest power down.
template <size_t N>
inline Vec polynomial(Vec t, const float (&c)[N]) {
  Vec sum = broadcast(c[0]);
  for (size_t i = 1; i < N; ++i) sum = fma(sum, t, broadcast(c[i]));
  return sum;
}

// e^x within 2 ulp: x = n ln 2 + r, |r| <= ln(2)/2, Taylor-like polynomial of e^r (Cephes expf), times 2^n.
inline Vec exp(Vec x) {
  static constexpr float kPoly[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                                    4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
  // Beyond these the result is 0 or infinity anyway.
  x = min(broadcast(89.0f), max(broadcast(-104.0f), x));
  const Vec n = round_small(x * broadcast(1.44269504f));
  Vec r = fma(n, broadcast(-0.693359375f), x);
  r = fma(n, broadcast(2.12194440e-4f), r);
  const Vec y = fma(polynomial(r, kPoly), r * r, r) + broadcast(1.0f);
  return scale_by_power(y, n);
}

// e^x for the weights of a softmax, x <= 0: exactly 0 from -69 down (1e-30), where masks put what they hide. Numbers too small for
// float32's normal range would make every product behind them many times slower.
struct SoftmaxWeight {
  static constexpr float kLeast = -69.0f;
  Vec least;
  SoftmaxWeight() : least(exp(broadcast(kLeast))) {}
  Vec operator()(Vec x) const { return exp(max(broadcast(kLeast), x)) - least; }
};

// erf within 7 ulp: x P(x^2) / Q(x^2), a minimax fit (relative error 1.9e-8) on |x| < 3.92, where erf rounds
// to 1.
inline Vec erf(Vec x) {
  static constexpr float kP[] = {2.0501031485743e-6f, 2.8488269890591e-4f, 3.7655825726688e-3f,
                                 5.2748616784811e-2f, 1.9040556252003e-1f, 1.1283791065216f};
  static constexpr float kQ[] = {3.8091879105195e-5f, 1.1625286424533e-3f, 1.4969145879149e-2f,
                                 1.1410874873400e-1f, 5.0207525491714e-1f, 1.0f};
  x = min(broadcast(3.92f), max(broadcast(-3.92f), x));
  const Vec t = x * x;
  const Vec y = x * polynomial(t, kP) / polynomial(t, kQ);
  return min(broadcast(1.0f), max(broadcast(-1.0f), y));
}

// tanh within 7 ulp, likewise (relative error 2.1e-8 on |x| < 9.01).
inline Vec tanh(Vec x) {
  static constexpr float kP[] = {1.3336814319587e-8f, 2.0596247850335e-5f, 3.4948093816638e-3f,
                                 1.3380369544029e-1f, 1.0f};
  static constexpr float kQ[] = {7.7692686772934e-7f, 3.2843605731614e-4f, 2.5874020531774e-2f,
                                 4.6713685989380e-1f, 1.0f};
  x = min(broadcast(9.01f), max(broadcast(-9.01f), x));
  const Vec t = x * x;
  const Vec y = x * polynomial(t, kP) / polynomial(t, kQ);
  return min(broadcast(1.0f), max(broadcast(-1.0f), y));
}

inline Vec sigmoid(Vec x) { return broadcast(1.0f) / (broadcast(1.0f) + exp(neg(x))); }

template <Activation kF>
inline Vec activate(Vec x) {
  if constexpr (kF == Activation::kRelu) return max(broadcast(0.0f), x);
  if constexpr (kF == Activation::kGeluErf) {
    const Vec half = x * broadcast(0.5f);
    return fma(half, erf(x * broadcast(0.70710678f)), half);
  }
  if constexpr (kF == Activation::kGeluTanh) {
    const Vec half = x * broadcast(0.5f);
    const Vec inner = fma(x * x, broadcast(0.044715f * 0.79788456f), broadcast(0.79788456f));
    return fma(half, tanh(x * inner), half);
  }
  if constexpr (kF == Activation::kGeluQuick) return x * sigmoid(x * broadcast(1.702f));
  if constexpr (kF == Activation::kSilu) return x * sigmoid(x);
  if constexpr (kF == Activation::kSigmoid) return sigmoid(x);
  if constexpr (kF == Activation::kTanh) return tanh(x);
  if constexpr (kF == Activation::kErf) return erf(x);
  if constexpr (kF == Activation::kExp) return exp(x);
  if constexpr (kF == Activation::kSqrt) return sqrt(x);
  if constexpr (kF == Activation::kAbs) return abs(x);
  if constexpr (kF == Activation::kNeg) return neg(x);
  if constexpr (kF == Activation::kReciprocal) return broadcast(1.0f) / x;
  return x;
}

// Calls body.template run<F>() for the activation `f`, so that the choice is made outside of the loop.
template <class Body>
inline void with_activation(Activation f, const Body& body) {
  switch (f) {
    case Activation::kNone:
      return body.template run<Activation::kNone>();
    case Activation::kRelu:
      return body.template run<Activation::kRelu>();
    case Activation::kGeluErf:
      return body.template run<Activation::kGeluErf>();
    case Activation::kGeluTanh:
      return body.template run<Activation::kGeluTanh>();
    case Activation::kGeluQuick:
      return body.template run<Activation::kGeluQuick>();
    case Activation::kSilu:
      return body.template run<Activation::kSilu>();
    case Activation::kSigmoid:
      return body.template run<Activation::kSigmoid>();
    case Activation::kTanh:
      return body.template run<Activation::kTanh>();
    case Activation::kErf:
      return body.template run<Activation::kErf>();
    case Activation::kExp:
      return body.template run<Activation::kExp>();
    case Activation::kSqrt:
      return body.template run<Activation::kSqrt>();
    case Activation::kAbs:
      return body.template run<Activation::kAbs>();
    case Activation::kNeg:
      return body.template run<Activation::kNeg>();
    case Activation::kReciprocal:
      return body.template run<Activation::kReciprocal>();
  }
}
