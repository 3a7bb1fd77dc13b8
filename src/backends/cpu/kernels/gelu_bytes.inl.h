// SPDX-License-Identifier: Apache-2.0
// Activations whose result becomes a byte: as they are. gelu_bytes_avx512.inl.h is a twin.

template <Activation kF>
inline Vec activate_for_bytes(Vec x) {
  return activate<kF>(x);
}
