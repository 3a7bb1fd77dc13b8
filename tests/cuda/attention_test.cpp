// SPDX-License-Identifier: Apache-2.0
// The attention kernels against the definition in double precision.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "backends/cuda/kernels/attention.h"
#include "cuda/device_buffer.h"

namespace vitrail::cuda {
namespace {

enum class Mask { kNone, kKeys, kFull };

struct Case {
  Type type = Type::kF16;
  int64_t batch = 1;
  int heads = 2, sq = 50, sk = 50, d = 64, dv = 64;
  Mask mask = Mask::kNone;
  Type out = Type::kF16;
};

struct AttentionKernels : CudaTest {
  void check(const Case& c) {
    SCOPED_TRACE("type " + std::to_string(static_cast<int>(c.type)) + " batch " + std::to_string(c.batch) +
                 " sq " + std::to_string(c.sq) + " sk " + std::to_string(c.sk) + " d " + std::to_string(c.d) +
                 " dv " + std::to_string(c.dv) + " mask " + std::to_string(static_cast<int>(c.mask)));
    // q alone; k and v interleaved, as a joint projection leaves them.
    const int64_t kv_row = int64_t{c.heads} * (c.d + c.dv), q_row = int64_t{c.heads} * c.d;
    const DeviceTensor q(c.type, random_values(c.batch * c.sq * q_row, 1, 1.5)),
        kv(c.type, random_values(c.batch * c.sk * kv_row, 2));
    std::vector<double> mask_values = random_values(c.batch * c.heads * c.sq * c.sk, 3);
    for (size_t i = 0; i < mask_values.size(); i += 7) mask_values[i] = -INFINITY;
    const DeviceTensor mask(Type::kF32, mask_values);
    DeviceTensor out(c.out, c.batch * c.sq * c.heads * c.dv);
    AttentionArgs a{.q = q.get(), .k = kv.get(), .out = out.get(), .batch = c.batch};
    a.v = static_cast<const uint8_t*>(kv.get()) + int64_t{c.heads} * c.d * type_size(c.type);
    a.heads = c.heads, a.sq = c.sq, a.sk = c.sk, a.d = c.d, a.dv = c.dv;
    a.q_row = q_row, a.k_row = a.v_row = kv_row, a.out_row = int64_t{c.heads} * c.dv;
    a.scale = static_cast<float>(1 / std::sqrt(c.d));
    a.type = c.type, a.out_type = c.out;
    const bool bytes = type_size(c.out) == 1;
    if (bytes) a.out_scale = 25, a.out_zero = c.out == Type::kS8 ? 2 : 0;
    if (c.mask != Mask::kNone) a.mask = mask.floats(), a.mask_b = c.sk;  // one row an image
    if (c.mask == Mask::kFull) a.mask_q = c.sk, a.mask_h = c.sq * c.sk, a.mask_b = a.mask_h * c.heads;

    std::vector<double> want(out.values.size()), error(want.size()), p(static_cast<size_t>(c.sk));
    // The weights are rounded to the operands' type, so the error is a part of the weighted |v|, not of the
    // result.
    const double unit = 2e-5 + (c.type == Type::kF32 ? 0 : c.type == Type::kF16 ? 0x1p-11 : 0x1p-8);
    for (int64_t b = 0; b < c.batch; ++b)
      for (int h = 0; h < c.heads; ++h)
        for (int i = 0; i < c.sq; ++i) {
          const double* x = q.values.data() + (b * c.sq + i) * q_row + h * c.d;
          double top = -INFINITY, sum = 0;
          for (int j = 0; j < c.sk; ++j) {
            const double* y = kv.values.data() + (b * c.sk + j) * kv_row + h * c.d;
            double s = 0;
            for (int e = 0; e < c.d; ++e) s += x[e] * y[e];
            s *= double{a.scale};
            if (a.mask) s += mask.values[static_cast<size_t>(b * a.mask_b + h * a.mask_h + i * a.mask_q + j)];
            p[static_cast<size_t>(j)] = s;
            top = std::max(top, s);
          }
          for (double& s : p) sum += s = std::exp(s - top);
          const int64_t first = (b * c.sq + i) * c.heads * c.dv + h * c.dv;
          for (int j = 0; j < c.sk; ++j) {
            const double* y = kv.values.data() + (b * c.sk + j) * kv_row + c.heads * c.d + h * c.dv;
            for (int e = 0; e < c.dv; ++e) {
              const double part = p[static_cast<size_t>(j)] / sum * y[e];
              want[static_cast<size_t>(first + e)] += part;
              error[static_cast<size_t>(first + e)] += std::fabs(part) * unit;
            }
          }
        }
    if (bytes)
      for (size_t i = 0; i < want.size(); ++i) {
        want[i] = want[i] * double{a.out_scale} + double{a.out_zero};
        error[i] *= double{a.out_scale};
      }
    ASSERT_EQ(refuse_attention(a), "");
    // With Hopper's kernels, and as on other GPUs; as on a GPU that the batch fills, and as on one that it
    // does not.
    for (const bool hopper : {major_ == 9, false})
      for (const int multiprocessors : {multiprocessors_, 1}) {
        AttentionPlan plan;
        ASSERT_EQ(plan_attention(a, multiprocessors, hopper, &plan), cudaSuccess);
        ASSERT_EQ(launch_attention(plan, nullptr, false), cudaSuccess) << plan.name();
        expect_close(c.out, out.download(), want, 1e-5, bytes ? 1e-4 : 1e-6, plan.name(), error);
      }
  }
};

TEST_F(AttentionKernels, EveryLengthAndWidth) {
  for (Type type : {Type::kF32, Type::kF16, Type::kBF16})
    for (int tokens : {50, 64, 65, 197, 257, 577, 1025})
      for (int d : {32, 64, 80, 128}) {
        if (tokens > 257 && d != 64) continue;
        check({.type = type, .sq = tokens, .sk = tokens, .d = d, .dv = d, .out = type});
      }
}

// Batches that fill the machine choose other kernels.
TEST_F(AttentionKernels, LargeBatches) {
  for (Type type : {Type::kF16, Type::kBF16})
    for (int tokens : {50, 197})
      for (int d : {32, 64, 80})
        check({.type = type,
               .batch = tokens == 50 ? 150 : 48,
               .heads = 3,
               .sq = tokens,
               .sk = tokens,
               .d = d,
               .dv = d,
               .out = type});
  check({.type = Type::kF16, .batch = 9, .heads = 4, .sq = 577, .sk = 577});
  check({.type = Type::kF16, .batch = 2, .heads = 6, .sq = 1025, .sk = 1025});
}

TEST_F(AttentionKernels, Masks) {
  for (Type type : {Type::kF32, Type::kF16, Type::kBF16})
    for (Mask mask : {Mask::kKeys, Mask::kFull})
      for (int64_t batch : {1, 40}) {
        check({.type = type, .batch = batch, .heads = 4, .sq = 77, .sk = 77, .mask = mask, .out = type});
        check({.type = type,
               .batch = batch,
               .heads = 4,
               .sq = 50,
               .sk = 65,
               .d = 80,
               .dv = 80,
               .mask = mask,
               .out = type});
      }
}

TEST_F(AttentionKernels, OtherKeysThanQueries) {
  for (Type type : {Type::kF32, Type::kF16, Type::kBF16}) {
    check({.type = type, .sq = 1, .sk = 197, .out = type});
    check({.type = type, .batch = 200, .sq = 1, .sk = 197, .out = type});
    check({.type = type, .sq = 197, .sk = 1, .out = type});
    check({.type = type, .batch = 80, .sq = 130, .sk = 50, .out = type});
    check({.type = type, .batch = 80, .sq = 50, .sk = 260, .out = type});
    check({.type = type, .sq = 70, .sk = 90, .d = 32, .dv = 64, .out = type});
    check({.type = type, .sq = 70, .sk = 90, .d = 128, .dv = 48, .out = type});
  }
}

TEST_F(AttentionKernels, EightBitResults) {
  for (Type out : {Type::kE4M3, Type::kS8})
    for (int64_t batch : {1, 48})
      for (int d : {64, 80})
        check({.batch = batch, .heads = 3, .sq = 197, .sk = 197, .d = d, .dv = d, .out = out});
}

TEST(AttentionRefusals, NameTheReason) {
  AttentionArgs a{.batch = 1,
                  .heads = 1,
                  .sq = 4,
                  .sk = 4,
                  .d = 60,
                  .dv = 64,
                  .q_row = 64,
                  .k_row = 64,
                  .v_row = 64,
                  .out_row = 64};
  EXPECT_NE(refuse_attention(a), "");
  a.d = 136;
  EXPECT_NE(refuse_attention(a), "");
  a.d = 64;
  EXPECT_EQ(refuse_attention(a), "");
}

}  // namespace
}  // namespace vitrail::cuda
