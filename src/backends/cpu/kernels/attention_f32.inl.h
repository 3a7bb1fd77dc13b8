// SPDX-License-Identifier: Apache-2.0
// Attention of one head, computed transposed: scores^T = K Q^T for a strip of queries, so that a query is a
// lane. Maximum, exponential and sum then run down the lanes without any horizontal step, the scores come out
// in just the panels that out^T = V^T scores^T wants to read, and V is used as it lies.

// Adds mask[q][key] to the panel scores[key][16]; `queries` lanes are real.
inline void add_mask(const float* mask, int64_t mask_q, int64_t queries, int64_t sk, float* scores) {
  for (int64_t k0 = 0; k0 < sk; k0 += kWidth) {
    const int64_t depth = sk - k0 < kWidth ? sk - k0 : kWidth;
    for (int64_t q0 = 0; q0 < kPanel; q0 += kWidth) {
      Vec m[kWidth];
      for (int64_t i = 0; i < kWidth; ++i) {
        m[i] = q0 + i < queries ? load_first(mask + (q0 + i) * mask_q + k0, depth) : broadcast(0.0f);
      }
      transpose(m);
      for (int64_t i = 0; i < depth; ++i) {
        float* at = scores + (k0 + i) * kPanel + q0;
        store(at, load(at) + m[i]);
      }
    }
  }
}

// scores[key][lane] = exp(scores - max over keys); returns the reciprocal of the sum over keys. Four chains
// each, so that the latency of max and add is hidden and the error of the sum stays small.
inline Vec exponentials(float* scores, int64_t sk) {
  constexpr int kChains = 4;
  Vec top[kChains];
  Vec sum[kChains];
  for (int i = 0; i < kChains; ++i) {
    top[i] = load(scores);
    sum[i] = broadcast(0.0f);
  }
  int64_t key = 0;
  for (; key + kChains <= sk; key += kChains) {
    for (int i = 0; i < kChains; ++i) top[i] = max(top[i], load(scores + (key + i) * kPanel));
  }
  for (; key < sk; ++key) top[0] = max(top[0], load(scores + key * kPanel));
  const Vec highest = max(max(top[0], top[1]), max(top[2], top[3]));
  const SoftmaxWeight weight;
  for (key = 0; key + kChains <= sk; key += kChains) {
    for (int i = 0; i < kChains; ++i) {
      float* at = scores + (key + i) * kPanel;
      const Vec e = weight(load(at) - highest);
      store(at, e);
      sum[i] = sum[i] + e;
    }
  }
  for (; key < sk; ++key) {
    float* at = scores + key * kPanel;
    const Vec e = weight(load(at) - highest);
    store(at, e);
    sum[0] = sum[0] + e;
  }
  return broadcast(1.0f) / ((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

// out[q][c] = x[c][q] for a panel x[cols][16] of which `queries` lanes are real, and out[0][0] is at element
// `at` of the output.
inline void store_transposed(const float* x, int64_t cols, int64_t queries, const AttentionArgs& args,
                             int64_t at) {
  const ByteScaler scaler(args.bytes);
  for (int64_t c0 = 0; c0 < cols; c0 += kWidth) {
    const int64_t width = cols - c0 < kWidth ? cols - c0 : kWidth;
    for (int64_t q0 = 0; q0 < queries; q0 += kWidth) {
      Vec t[kWidth];
      for (int64_t i = 0; i < kWidth; ++i)
        t[i] = i < width ? load(x + (c0 + i) * kPanel + q0) : broadcast(0.0f);
      transpose(t);
      for (int64_t i = 0; i < kWidth && q0 + i < queries; ++i) {
        const int64_t to = at + (q0 + i) * args.out_row + c0;
        if (args.out_bytes) {
          store_bytes(args.out_bytes + to, scaler(t[i]), args.bytes.flip, width);
        } else {
          store_first(args.out + to, t[i], width);
        }
      }
    }
  }
}

inline void attention_head(const AttentionArgs& args, int64_t b, int64_t h, int64_t first, int64_t last,
                           float* scratch) {
  const int64_t sk = args.sk;
  const int64_t d = args.d;
  const int64_t dv = args.dv;
  const float* q = args.q + b * args.q_batch + h * d;
  const float* k = args.k + b * args.k_batch + h * d;
  const float* v = args.v + b * args.v_batch + h * dv;
  const Blocks keys(sk, kBlock);
  const Blocks values(dv, kBlock);

  float* queries = scratch;                               // [panels][d][16]
  float* scores = queries + kStrip * d;                   // [panels][sk][16]
  float* result = scores + kStrip * sk;                   // [panels][dv][16]
  float* k_packed = result + kStrip * dv;                 // blocks [d][rows]
  float* v_packed = k_packed + round_up(sk * d, kPanel);  // [sk][dv]
  for (int64_t i = 0; i < keys.count; ++i) {
    pack_rows(k + keys.start(i) * args.k_row, args.k_row, keys.size(i), d, 1.0f, keys.size(i),
              k_packed + keys.start(i) * d);
  }
  for (int64_t i = 0; i < sk; ++i) std::memcpy(v_packed + i * dv, v + i * args.v_row, sizeof(float) * dv);

  for (int64_t q0 = first; q0 < last; q0 += kStrip) {
    const int64_t cols = last - q0 < kStrip ? last - q0 : kStrip;
    const auto lanes = [&](int64_t panel) {
      return cols - panel * kPanel < kPanel ? cols - panel * kPanel : kPanel;
    };
    const int64_t panels = ceil_div(cols, kPanel);
    for (int64_t p = 0; p < panels; ++p) {
      pack_rows(q + (q0 + p * kPanel) * args.q_row, args.q_row, lanes(p), d, args.scale, kPanel,
                queries + p * kPanel * d);
    }
    for (int64_t i = 0; i < keys.count; ++i) {
      const int64_t start = keys.start(i);
      multiply_block(keys.size(i), cols, d, k_packed + start * d, keys.size(i), queries, d * kPanel,
                     {scores + start * kPanel, kPanel, sk * kPanel}, false, {queries, queries});
    }
    Vec inverse[kStrip / kWidth];
    for (int64_t p = 0; p < panels; ++p) {
      float* panel = scores + p * sk * kPanel;
      if (args.mask) {
        const float* mask = args.mask + b * args.mask_b + h * args.mask_h + (q0 + p * kPanel) * args.mask_q;
        add_mask(mask, args.mask_q, lanes(p), sk, panel);
      }
      for (int64_t c = 0; c < kPanel; c += kWidth) {
        inverse[(p * kPanel + c) / kWidth] = exponentials(panel + c, sk);
      }
    }
    for (int64_t i = 0; i < values.count; ++i) {
      const int64_t start = values.start(i);
      multiply_block(values.size(i), cols, sk, v_packed + start, dv, scores, sk * kPanel,
                     {result + start * kPanel, kPanel, dv * kPanel}, false, {scores, scores});
    }
    for (int64_t p = 0; p < panels; ++p) {
      float* panel = result + p * dv * kPanel;
      for (int64_t i = 0; i < dv * kPanel; i += kWidth) {
        store(panel + i, load(panel + i) * inverse[(p * kPanel + i % kPanel) / kWidth]);
      }
      store_transposed(panel, dv, lanes(p), args,
                       b * args.out_batch + h * dv + (q0 + p * kPanel) * args.out_row);
    }
  }
}
