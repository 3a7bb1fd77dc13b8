// SPDX-License-Identifier: Apache-2.0
#include "cpu/kernel_testing.h"

namespace vitrail::cpu {
namespace {

class KernelAttentionTest : public KernelTest {};
VTL_FOR_EVERY_ISA(KernelAttentionTest);

enum class Mask { kNone, kFull, kPerHead, kKeysOnly };

struct Problem {
  int64_t batch, heads, sq, sk, d, dv;
  Mask mask = Mask::kNone;
  int threads = 2;
  float spread = 1.0f;  // of q and k; larger makes sharper rows
};

// q, k and v lie in one buffer, as a fused projection leaves them: rows of heads * (2 d + dv) + 3 floats.
struct Data {
  int64_t row, rows;
  std::vector<float> qkv, mask;
};

Data make(const Problem& p) {
  Data data;
  data.row = p.heads * (2 * p.d + p.dv) + 3;
  data.rows = std::max(p.sq, p.sk);
  data.qkv = random_floats(static_cast<size_t>(p.batch * data.rows * data.row), 11, -p.spread, p.spread);
  data.mask = random_floats(static_cast<size_t>(p.batch * p.heads * p.sq * p.sk), 12, -2.0f, 2.0f);
  for (size_t i = 0; i < data.mask.size(); i += 5) data.mask[i] = -kInf;
  for (size_t i = 0; i < data.mask.size(); i += static_cast<size_t>(p.sk))
    data.mask[i] = 0.5f;  // no row is all -inf
  return data;
}

AttentionArgs arguments(const Problem& p, const Data& data, float* out) {
  AttentionArgs a{};
  a.q = data.qkv.data();
  a.k = a.q + p.heads * p.d;
  a.v = a.k + p.heads * p.d;
  a.q_row = a.k_row = a.v_row = data.row;
  a.q_batch = a.k_batch = a.v_batch = data.rows * data.row;
  a.out = out;
  a.out_row = p.heads * p.dv;
  a.out_batch = p.sq * a.out_row;
  a.batch = p.batch, a.heads = p.heads, a.sq = p.sq, a.sk = p.sk, a.d = p.d, a.dv = p.dv;
  a.scale = 1.0f / std::sqrt(static_cast<float>(p.d));
  if (p.mask != Mask::kNone) a.mask = data.mask.data();
  if (p.mask == Mask::kFull) a.mask_b = p.heads * p.sq * p.sk, a.mask_h = p.sq * p.sk, a.mask_q = p.sk;
  if (p.mask == Mask::kPerHead) a.mask_h = p.sq * p.sk, a.mask_q = p.sk;
  if (p.mask == Mask::kKeysOnly) a.mask_b = p.heads * p.sq * p.sk;
  return a;
}

std::vector<float> run(const Kernels& kernels, const Problem& p, const Data& data) {
  ThreadPool pool(p.threads);
  std::vector<float> out(static_cast<size_t>(p.batch * p.sq * p.heads * p.dv), 99.0f);
  const AttentionArgs args = arguments(p, data, out.data());
  Scratch scratch(attention_scratch_floats(args, p.threads));
  attention(kernels, pool, args, scratch.get());
  return out;
}

void check(const Kernels& kernels, const Problem& p) {
  SCOPED_TRACE(testing::Message() << "batch " << p.batch << " heads " << p.heads << " sq " << p.sq << " sk "
                                  << p.sk << " d " << p.d << " dv " << p.dv << " mask "
                                  << static_cast<int>(p.mask));
  const Data data = make(p);
  const std::vector<float> got = run(kernels, p, data);
  std::vector<double> want(got.size());
  std::vector<double> tolerance(got.size());
  AttentionArgs a = arguments(p, data, nullptr);
  std::vector<double> weight(static_cast<size_t>(p.sk));
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t h = 0; h < p.heads; ++h) {
      for (int64_t i = 0; i < p.sq; ++i) {
        const float* q = a.q + b * a.q_batch + h * p.d + i * a.q_row;
        double top = -INFINITY;
        double score_error = 0;
        for (int64_t j = 0; j < p.sk; ++j) {
          const float* k = a.k + b * a.k_batch + h * p.d + j * a.k_row;
          double sum = 0;
          double magnitude = 0;
          for (int64_t l = 0; l < p.d; ++l) {
            sum += static_cast<double>(q[l]) * k[l];
            magnitude += std::abs(static_cast<double>(q[l]) * k[l]);
          }
          if (a.mask)
            sum = sum * a.scale + a.mask[b * a.mask_b + h * a.mask_h + i * a.mask_q + j];
          else
            sum *= a.scale;
          weight[static_cast<size_t>(j)] = sum;
          top = std::max(top, sum);
          score_error = std::max(
              score_error, kEps * (8 + std::sqrt(static_cast<double>(p.d))) * (magnitude * a.scale + 2));
        }
        double total = 0;
        for (double& w : weight) total += w = std::exp(w - top);
        for (int64_t c = 0; c < p.dv; ++c) {
          double sum = 0;
          double magnitude = 0;
          for (int64_t j = 0; j < p.sk; ++j) {
            const double v = a.v[b * a.v_batch + h * p.dv + j * a.v_row + c];
            sum += weight[static_cast<size_t>(j)] / total * v;
            magnitude += weight[static_cast<size_t>(j)] / total * std::abs(v);
          }
          const size_t at = static_cast<size_t>(b * a.out_batch + i * a.out_row + h * p.dv + c);
          want[at] = sum;
          // An absolute error of a score is a relative one of its weight, in the numerator and in the sum.
          tolerance[at] =
              magnitude * (2 * score_error + kEps * (8 + std::sqrt(static_cast<double>(p.sk)))) + 1e-30;
        }
      }
    }
  }
  EXPECT_TRUE(near(got, want, tolerance));
}

TEST_P(KernelAttentionTest, SequenceLengths) {
  for (const int64_t s : {1, 2, 15, 16, 17, 33, 50, 197, 257}) {
    check(kernels(), {.batch = 1, .heads = 2, .sq = s, .sk = s, .d = 64, .dv = 64});
  }
  check(kernels(), {.batch = 1, .heads = 1, .sq = 1025, .sk = 1025, .d = 32, .dv = 32});
}

TEST_P(KernelAttentionTest, HeadWidths) {
  for (const int64_t d : {1, 32, 64, 72, 80, 128}) {
    check(kernels(), {.batch = 2, .heads = 3, .sq = 21, .sk = 21, .d = d, .dv = d});
  }
  check(kernels(), {.batch = 2, .heads = 2, .sq = 10, .sk = 10, .d = 24, .dv = 40});
}

TEST_P(KernelAttentionTest, CrossAttention) {
  check(kernels(), {.batch = 2, .heads = 2, .sq = 1, .sk = 196, .d = 72, .dv = 72});
  check(kernels(), {.batch = 1, .heads = 2, .sq = 45, .sk = 3, .d = 16, .dv = 16});
}

TEST_P(KernelAttentionTest, Masks) {
  for (const Mask mask : {Mask::kFull, Mask::kPerHead, Mask::kKeysOnly}) {
    check(kernels(), {.batch = 2, .heads = 2, .sq = 37, .sk = 37, .d = 32, .dv = 32, .mask = mask});
    check(kernels(), {.batch = 2, .heads = 2, .sq = 5, .sk = 19, .d = 8, .dv = 8, .mask = mask});
  }
}

TEST_P(KernelAttentionTest, SharpRows) {
  check(kernels(), {.batch = 1, .heads = 1, .sq = 40, .sk = 40, .d = 64, .dv = 64, .spread = 12.0f});
}

TEST_P(KernelAttentionTest, AFullyMaskedRowIsNanAndAloneSo) {
  const Problem p{.batch = 1, .heads = 2, .sq = 20, .sk = 20, .d = 16, .dv = 16, .mask = Mask::kFull};
  Data data = make(p);
  for (int64_t j = 0; j < p.sk; ++j) data.mask[static_cast<size_t>(7 * p.sk + j)] = -kInf;  // head 0, query 7
  const std::vector<float> got = run(kernels(), p, data);
  for (int64_t i = 0; i < p.sq; ++i) {
    for (int64_t c = 0; c < 32; ++c) {
      EXPECT_EQ(std::isnan(got[static_cast<size_t>(i * 32 + c)]), i == 7 && c < 16) << i << ' ' << c;
    }
  }
}

TEST_P(KernelAttentionTest, BatchEntriesHaveTheSameBitsWhateverTheBatchAndThreads) {
  const Problem whole{.batch = 5, .heads = 3, .sq = 61, .sk = 61, .d = 32, .dv = 32, .threads = 1};
  const Data data = make(whole);
  const std::vector<float> want = run(kernels(), whole, data);
  for (const int threads : {1, 2, 3, 7}) {
    for (const int64_t batch : {1, 2, 5}) {
      Problem part = whole;
      part.batch = batch;
      part.threads = threads;
      const std::vector<float> got = run(kernels(), part, data);
      EXPECT_TRUE(same_bits(got.data(), want.data(), got.size()))
          << batch << " entries, " << threads << " threads";
    }
  }
}

}  // namespace
}  // namespace vitrail::cpu
