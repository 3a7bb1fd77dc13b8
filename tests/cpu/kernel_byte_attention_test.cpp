// SPDX-License-Identifier: Apache-2.0
// Attention in bytes against exact sums and a softmax in double.
#include <algorithm>

#include "cpu/kernel_testing.h"

namespace vitrail::cpu {
namespace {

class KernelByteAttentionTest : public KernelTest {};
VTL_FOR_EVERY_ISA(KernelByteAttentionTest);

struct Problem {
  int64_t batch = 2, heads = 2, sq = 5, sk = 5, d = 8, dv = 8;
  int q_zero = 120, v_zero = 131, weights_zero = 0;
  float scale = 1e-4f, weights_scale = 1.0f / 255;
  ByteScale bytes{0, 0, 0};  // scale 0: floats come out
  int threads = 2;
  int q_all = -1, v_all = 0;  // every byte the same, when q_all >= 0
};

std::vector<uint8_t> random_bytes(int64_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<uint8_t> out(static_cast<size_t>(count));
  for (uint8_t& x : out) x = static_cast<uint8_t>(engine() >> 8);
  return out;
}

struct Output {
  std::vector<float> y;
  std::vector<uint8_t> q;
};

// q, k and v are columns of one array, as a ViT's product makes them.
struct Data {
  int64_t row;
  std::vector<uint8_t> queries, keys;
  explicit Data(const Problem& p) : row(p.heads * (2 * p.d + p.dv) + 3) {
    queries = random_bytes(p.batch * p.sq * row, 1);
    keys = random_bytes(p.batch * p.sk * row, 2);
    if (p.q_all >= 0) {
      std::ranges::fill(queries, static_cast<uint8_t>(p.q_all));
      std::ranges::fill(keys, static_cast<uint8_t>(p.v_all));
    }
  }
};

Output run(const Kernels& kernels, const Problem& p, const Data& data) {
  Output out;
  ByteAttentionArgs args{};
  args.q = data.queries.data();
  args.k = data.keys.data() + p.heads * p.d;
  args.v = data.keys.data() + 2 * p.heads * p.d;
  args.q_row = args.k_row = args.v_row = data.row;
  args.q_batch = p.sq * data.row, args.k_batch = args.v_batch = p.sk * data.row;
  args.q_zero = p.q_zero, args.v_zero = p.v_zero;
  args.scale = p.scale;
  args.weights = {p.weights_scale, p.weights_zero, 0};
  args.out_scale = p.weights_scale * 0.5f;
  args.out_row = p.heads * p.dv + 2, args.out_batch = p.sq * args.out_row;
  args.batch = p.batch, args.heads = p.heads, args.sq = p.sq, args.sk = p.sk, args.d = p.d, args.dv = p.dv;
  out.y.assign(static_cast<size_t>(p.batch * args.out_batch), kNan);
  out.q.assign(out.y.size(), 77);
  args.out = out.y.data();
  if (p.bytes.scale != 0) args.out_bytes = out.q.data(), args.bytes = p.bytes;
  Scratch scratch((byte_attention_scratch_bytes(args, p.threads) + 3) / 4);
  ThreadPool pool(p.threads);
  byte_attention(kernels, pool, args, reinterpret_cast<uint8_t*>(scratch.get()));
  return out;
}

// What one element should be, and by how much weights next to a tie may move it.
struct Wanted {
  double y = 0, tolerance = 0;
};

Wanted wanted(const Problem& p, const Data& data, int64_t b, int64_t h, int64_t query, int64_t column) {
  const uint8_t* q = data.queries.data() + (b * p.sq + query) * data.row + h * p.d;
  const uint8_t* k = data.keys.data() + b * p.sk * data.row + p.heads * p.d + h * p.d;
  const uint8_t* v = data.keys.data() + b * p.sk * data.row + 2 * p.heads * p.d + h * p.dv + column;
  std::vector<double> scores;
  for (int64_t key = 0; key < p.sk; ++key) {
    int64_t sum = 0;  // of k around any zero point: 40 here
    for (int64_t i = 0; i < p.d; ++i) sum += (q[i] - p.q_zero) * (k[key * data.row + i] - 40);
    scores.push_back(static_cast<double>(sum) * p.scale);
  }
  const double top = *std::ranges::max_element(scores);
  double all = 0;
  for (double& s : scores) all += s = std::exp(s - top);
  Wanted w;
  for (int64_t key = 0; key < p.sk; ++key) {
    const double quotient = scores[static_cast<size_t>(key)] / all / p.weights_scale;
    const double number = std::clamp(std::nearbyint(quotient), 0.0 - p.weights_zero, 255.0 - p.weights_zero);
    const double value = (v[key * data.row] - p.v_zero) * static_cast<double>(p.weights_scale) * 0.5;
    w.y += number * value;
    w.tolerance += kEps * 4 * std::abs(number * value);
    if (std::abs(quotient - std::floor(quotient) - 0.5) < 1e-3) w.tolerance += std::abs(value);
  }
  w.tolerance += 1e-6;
  return w;
}

void expect_exact(const Kernels& kernels, const Problem& p) {
  SCOPED_TRACE(testing::Message() << "sq " << p.sq << " sk " << p.sk << " d " << p.d << " dv " << p.dv
                                  << " zeros " << p.q_zero << ' ' << p.v_zero << ' ' << p.weights_zero);
  const Data data(p);
  const Output out = run(kernels, p, data);
  const int64_t row = p.heads * p.dv + 2;
  for (int64_t i = 0; i < p.batch * p.sq; ++i) {
    for (int64_t c = 0; c < row; ++c) {
      const float got = out.y[static_cast<size_t>(i * row + c)];
      if (c >= p.heads * p.dv) {
        ASSERT_TRUE(std::isnan(got)) << "written beside row " << i;
        continue;
      }
      const Wanted want = wanted(p, data, i / p.sq, c / p.dv, i % p.sq, c % p.dv);
      ASSERT_NEAR(got, want.y, want.tolerance) << i << ' ' << c;
    }
  }
}

TEST_P(KernelByteAttentionTest, EveryNumberOfTokens) {
  for (int64_t tokens = 1; tokens <= 40; ++tokens) expect_exact(kernels(), {.sq = tokens, .sk = tokens});
  expect_exact(kernels(), {.batch = 1, .sq = 197, .sk = 197, .d = 64, .dv = 64, .scale = 2e-5f});
  expect_exact(kernels(), {.batch = 1, .sq = 3, .sk = 261, .d = 64, .dv = 64, .scale = 2e-5f});
}

TEST_P(KernelByteAttentionTest, OddWidthsOfHeads) {
  for (const int64_t d : {1, 4, 5, 16, 63, 64, 65, 80})
    for (const int64_t dv : {1, 15, 17, 48, 80})
      expect_exact(kernels(), {.sq = 4, .sk = 21, .d = d, .dv = dv});
}

TEST_P(KernelByteAttentionTest, ZeroPointsAtTheirEdges) {
  for (const int zero : {0, 1, 127, 128, 255}) {
    expect_exact(kernels(), {.sk = 19, .q_zero = zero});
    expect_exact(kernels(), {.sk = 19, .v_zero = zero});
    expect_exact(kernels(), {.sk = 19, .weights_zero = zero});
    expect_exact(kernels(), {.sk = 19, .q_zero = zero, .v_zero = 255 - zero, .weights_zero = 3});
  }
}

// All scores alike, and weights whose numbers saturate.
TEST_P(KernelByteAttentionTest, TheLargestSumsDoNotSaturate) {
  for (const int q : {0, 255})
    for (const int v : {0, 255})
      expect_exact(kernels(), {.sk = 130,
                               .d = 80,
                               .q_zero = 255 - q,
                               .v_zero = 255 - v,
                               .scale = 1e-7f,
                               .weights_scale = 1e-5f,
                               .q_all = q,
                               .v_all = v});
}

TEST_P(KernelByteAttentionTest, BytesAreTheFloatsQuantized) {
  for (const ByteScale bytes :
       {ByteScale{0.5f, 128, 0}, ByteScale{0.25f, 100, 128}, ByteScale{8.0f, 255, 0}}) {
    Problem p{.sq = 33, .sk = 33, .d = 16, .dv = 24};
    const Data data(p);
    const Output floats = run(kernels(), p, data);
    p.bytes = bytes;
    const Output out = run(kernels(), p, data);
    for (size_t i = 0; i < out.q.size(); ++i) {
      if (std::isnan(floats.y[i])) {
        ASSERT_EQ(out.q[i], 77);
        continue;
      }
      const float number = std::nearbyint(floats.y[i] / bytes.scale) + static_cast<float>(bytes.zero);
      ASSERT_EQ(out.q[i] ^ bytes.flip, static_cast<int>(std::clamp(number, 0.0f, 255.0f))) << i;
    }
  }
}

TEST_P(KernelByteAttentionTest, RowsHaveTheSameBitsWhateverTheThreads) {
  Problem p{.batch = 1, .heads = 3, .sq = 77, .sk = 77, .d = 32, .dv = 32, .threads = 1};
  const Data data(p);
  const Output want = run(kernels(), p, data);
  for (const int threads : {2, 4}) {
    p.threads = threads;
    const Output got = run(kernels(), p, data);
    EXPECT_EQ(std::memcmp(got.y.data(), want.y.data(), want.y.size() * sizeof(float)), 0) << threads;
  }
}

}  // namespace
}  // namespace vitrail::cpu
