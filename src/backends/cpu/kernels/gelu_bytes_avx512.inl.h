// SPDX-License-Identifier: Apache-2.0
// Activations whose result becomes a byte. GELU is max(x, 0) - g(|x|) with g(t) = t (1 - Phi(t)), here
// sixteen cubics, each the interpolant in the Chebyshev nodes of its 5/16 of [0, 5]: within 6e-6, hundreds of
// times less than a step of bytes over GELU's least range of 0.17, and without a division.

template <Activation kF>
inline Vec activate_for_bytes(Vec x) {
  if constexpr (kF != Activation::kGeluErf) {
    return activate<kF>(x);
  } else {
    // From the highest power down.
    alignas(64) static constexpr float kCubics[4][16] = {
        {0.040580321f, 0.10503148f, 0.12922445f, 0.11180285f, 0.070345953f, 0.027471758f, -0.0019455065f,
         -0.014776904f, -0.015787086f, -0.011583022f, -0.0067988471f, -0.0033611977f, -0.0014338315f,
         -0.00053495693f, -0.00017604258f, -5.1387295e-05f},
        {-0.40678263f, -0.46495575f, -0.50712913f, -0.45565361f, -0.29933146f, -0.098935805f, 0.06533809f,
         0.14848426f, 0.15547176f, 0.11983372f, 0.075040162f, 0.039704539f, 0.018113663f, 0.0072117294f,
         0.0025257031f, 0.00078243116f},
        {0.50048763f, 0.51873952f, 0.54340005f, 0.49261504f, 0.29564321f, -0.017089961f, -0.32321483f,
         -0.50293761f, -0.51894957f, -0.41820067f, -0.27834472f, -0.15723234f, -0.076587789f, -0.032503206f,
         -0.012105498f, -0.0039777667f},
        {-4.7573285e-06f, -0.0019928913f, -0.0068360674f, 0.0098893754f, 0.092821874f, 0.25577193f,
         0.44614249f, 0.57573098f, 0.58787274f, 0.4928897f, 0.3472755f, 0.20885833f, 0.10842451f,
         0.048988469f, 0.01938642f, 0.006752898f}};
    const Vec t = min(abs(x), broadcast(4.99999f));
    const __m512i piece = _mm512_cvttps_epi32((t * broadcast(3.2f)).v);
    const auto power = [&](int i) { return Vec{_mm512_permutexvar_ps(piece, _mm512_load_ps(kCubics[i]))}; };
    const Vec g = fma(fma(fma(power(0), t, power(1)), t, power(2)), t, power(3));
    return max(x, broadcast(0.0f)) - g;
  }
}
