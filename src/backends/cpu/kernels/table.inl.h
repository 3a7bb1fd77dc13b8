// SPDX-License-Identifier: Apache-2.0
// The table of the instruction set whose region includes this.

// Adds one to every lane of a zero vector and counts: what the hardware does, not what a constant claims.
inline int probe_width() {
  alignas(64) float lanes[64] = {};
  store(lanes, load(lanes) + broadcast(1.0f));
  int width = 0;
  for (const float lane : lanes) width += lane == 1.0f;
  return width;
}

constexpr Kernels make_kernels(Isa isa) {
  return {isa,
          probe_width,
          kBlock,
          kStrip,
          pack_rows,
          gemm_strip,
          attention_head,
          layer_norm,
          softmax,
          unary,
          binary_row,
          gather_taps,
          weighted_rows,
          mix,
          fma_loop,
          quantize,
          layer_norm_bytes,
          make_integer_kernels()};
}
