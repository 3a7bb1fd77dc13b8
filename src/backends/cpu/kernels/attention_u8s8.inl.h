// SPDX-License-Identifier: Apache-2.0
// Attention of one head in bytes: whole rows of scores for a block of queries, whose softmax becomes bytes
// again.

// starts[c] = -zero * (sum of column c) for panels of signed bytes.
inline void panel_starts(const uint8_t* panels, int64_t columns, int64_t depth, int32_t zero,
                         int32_t* starts) {
  alignas(8) uint8_t ones[kPackedQuad];
  store_quad(ones, 0x01010101);
  for (int64_t c = 0; c < columns; c += kWidth) {
    const uint8_t* at = panels + c / kPanel * kPanel * depth + c % kPanel * kQuad;
    IVec sum = broadcast_int(0);
    for (int64_t k = 0; zero != 0 && k < depth; k += kQuad, at += kPanelQuad)
      sum = Dot::add(sum, Dot::one(ones), Dot::lanes(at));
    store_ints(starts + c, sum * broadcast_int(-zero));
  }
}

// 2^x within 4e-6 of itself, for x <= 0 whose result becomes a byte; below 2^-120 it stays there.
inline Vec exp2_for_bytes(Vec x) {
  static constexpr float kPoly[] = {0.00966636837f, 0.0559219755f, 0.240223497f, 0.693121016f, 1.0f};
  x = max(broadcast(-120.0f), x);
  const Vec n = round_small(x);
  return scale_by_power(polynomial(x - n, kPoly), n);
}

// Bytes p of softmax(scores * scale) for one row; returns the sum of p - zero. `row` holds floats meanwhile.
// Both have room for whole vectors: what is read past `count` counts as a weight of 0.
inline int32_t softmax_bytes(const int32_t* scores, int64_t count, float scale, const ByteScale& bytes,
                             float* row, uint8_t* p) {
  const int64_t last = (count - 1) / kWidth * kWidth;
  const Vec factor = broadcast(scale * 1.44269504f);  // to powers of 2
  Vec top = broadcast(-__builtin_inff());
  for (int64_t c = 0; c < last; c += kWidth) {
    const Vec x = to_floats(load_ints(scores + c)) * factor;
    store(row + c, x);
    top = max(top, x);
  }
  const Vec end =
      keep_first(to_floats(load_ints(scores + last)) * factor, count - last, broadcast(-__builtin_inff()));
  store(row + last, end);
  const Vec highest = broadcast(max_lanes(max(top, end)));
  Vec sum = broadcast(0.0f);
  for (int64_t c = 0; c <= last; c += kWidth) {
    const Vec e = exp2_for_bytes(load(row + c) - highest);
    store(row + c, e);
    sum = sum + e;
  }
  // As ByteScaler, with the reciprocal of the sum in its factor; no weight is below 0.
  ByteScaler scaler(bytes);
  scaler.inverse = broadcast(1.0f / (sum_lanes(sum) * bytes.scale));
  IVec total = broadcast_int(0);
  const auto make = [&](int64_t c, int64_t n) {
    const IVec steps = to_ints(min(scaler.high, load(row + c) * scaler.inverse));
    total = total + steps;
    store_bytes(p + c, steps + scaler.zero, 0, n);
  };
  for (int64_t c = 0; c < last; c += kWidth) make(c, kWidth);
  make(last, count - last);
  return sum_lanes(total);
}

inline void byte_attention_head(const ByteAttentionArgs& args, int64_t b, int64_t h, int64_t first,
                                int64_t last, uint8_t* scratch) {
  const ByteAttentionScratch at(args);
  const uint8_t* q = args.q + b * args.q_batch + h * args.d;
  const uint8_t* k = args.k + b * args.k_batch + h * args.d;
  const uint8_t* v = args.v + b * args.v_batch + h * args.dv;
  uint8_t* keys = scratch + at.keys;
  uint8_t* values = scratch + at.values;
  uint8_t* weights = scratch + at.weights;
  uint8_t* packed = scratch + at.packed;
  auto* key_starts = reinterpret_cast<int32_t*>(scratch + at.key_starts);
  auto* value_starts = reinterpret_cast<int32_t*>(scratch + at.value_starts);
  auto* scores = reinterpret_cast<int32_t*>(scratch + at.scores);
  auto* row = reinterpret_cast<float*>(scratch + at.row);
  auto* sums = reinterpret_cast<int32_t*>(scratch + at.sums);
  constexpr uint8_t kSigned = 128;  // from uint8 to int8

  std::memset(keys, 0, static_cast<size_t>(at.key_columns * at.key_depth));
  for (int64_t key = 0; key < args.sk; key += kPanel) {
    const int64_t n = args.sk - key < kPanel ? args.sk - key : kPanel;
    pack_quads(k + key * args.k_row, args.k_row, n, args.d, kSigned, kPanel, keys + key * at.key_depth);
  }
  pack_panels(v, args.v_row, args.sk, args.dv, kSigned, at.value_depth, values);
  panel_starts(keys, at.key_columns, at.key_depth, args.q_zero, key_starts);
  panel_starts(values, at.value_columns, at.value_depth, args.weights.zero, value_starts);

  const int64_t value_step = round_up(args.sk, kBlockStep);
  const Blocks blocks(last - first, kBlockRows);
  const ByteScaler scaler(args.bytes);
  const Vec out_scale = broadcast(args.out_scale);
  BlockProduct product;
  for (int64_t i = 0; i < blocks.count; ++i) {
    const int64_t rows = blocks.size(i);
    const int64_t query = first + blocks.start(i);
    pack_block(q + query * args.q_row, args.q_row, rows, args.d, 0, packed);
    product(rows, at.key_columns / kPanel, round_up(args.d, kBlockStep), packed, keys, kPanel * at.key_depth,
            key_starts, scores, at.key_columns);
    int32_t shift[kBlockRows];
    for (int64_t r = 0; r < rows; ++r)
      shift[r] = (kSigned - args.v_zero) * softmax_bytes(scores + r * at.key_columns, args.sk, args.scale,
                                                         args.weights, row, weights + r * at.value_depth);
    pack_block(weights, at.value_depth, rows, args.sk, 0, packed);
    product(rows, at.value_columns / kPanel, value_step, packed, values, kPanel * at.value_depth,
            value_starts, sums, at.value_columns);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t to = b * args.out_batch + (query + r) * args.out_row + h * args.dv;
      const IVec moved = broadcast_int(shift[r]);
      for (int64_t c = 0; c < args.dv; c += kWidth) {
        const int64_t n = args.dv - c < kWidth ? args.dv - c : kWidth;
        const Vec y = to_floats(load_ints(sums + r * at.value_columns + c) + moved) * out_scale;
        if (args.out_bytes) {
          store_bytes(args.out_bytes + to + c, scaler(y), args.bytes.flip, n);
        } else {
          store_first(args.out + to + c, y, n);
        }
      }
    }
  }
}
