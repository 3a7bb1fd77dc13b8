// SPDX-License-Identifier: Apache-2.0
// Vitrail's own operators against their formulas, written as plain loops here, and against the ONNX operators
// that the passes replace.
#include "call.h"

namespace vitrail {
namespace {

double at(const Tensor& t, int64_t i) { return static_cast<double>(t.as<float>()[static_cast<size_t>(i)]); }

TEST(Linear, IsActivationOfProductPlusResidual) {
  const Tensor x = random_f32({2, 3, 5}, 1), w = random_f32({5, 40}, 2), b = random_f32({40}, 3),
               r = random_f32({2, 3, 40}, 4);
  const std::map<std::string, double (*)(double)> activations = {
      {"none", [](double v) { return v; }},
      {"relu", [](double v) { return std::max(v, 0.0); }},
      {"gelu", [](double v) { return v / 2 * (1 + std::erf(v / std::sqrt(2.0))); }},
      {"gelu_tanh",
       [](double v) { return v / 2 * (1 + std::tanh(0.7978845608028654 * (v + 0.044715 * v * v * v))); }},
      {"gelu_quick", [](double v) { return v / (1 + std::exp(-1.702 * v)); }},
      {"silu", [](double v) { return v / (1 + std::exp(-v)); }},
      {"sigmoid", [](double v) { return 1 / (1 + std::exp(-v)); }},
      {"tanh", [](double v) { return std::tanh(v); }}};
  for (const auto& [name, f] : activations) {
    const Attributes attributes{{"activation", name}};
    const Tensor full = run(Op::Linear, {x, w, b, r}, attributes), bare = run(Op::Linear, {x, w}, attributes);
    const Tensor no_bias = run(Op::Linear, {x, w, Tensor(), r}, attributes);
    ASSERT_EQ(full.shape(), (Shape{2, 3, 40}));
    for (int64_t i = 0; i < 6; ++i)
      for (int64_t j = 0; j < 40; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < 5; ++k) sum += at(x, i * 5 + k) * at(w, k * 40 + j);
        ASSERT_NEAR(at(full, i * 40 + j), f(sum + at(b, j)) + at(r, i * 40 + j), 1e-6) << name;
        ASSERT_NEAR(at(bare, i * 40 + j), f(sum), 1e-6) << name;
        ASSERT_NEAR(at(no_bias, i * 40 + j), f(sum) + at(r, i * 40 + j), 1e-6) << name;
      }
  }
}

TEST(Linear, MalformedCallsAreErrors) {
  const Tensor x = random_f32({2, 5}, 1), w = random_f32({5, 4}, 2);
  failure(Op::Linear, {x, random_f32({4, 4}, 1)});
  failure(Op::Linear, {x, random_f32({5}, 1)});
  failure(Op::Linear, {Tensor::f32({}, {1}), w});
  failure(Op::Linear, {x, w, random_f32({5}, 1)});
  failure(Op::Linear, {x, w, Tensor(), random_f32({1, 4}, 1)});
  failure(Op::Linear, {x, w, vec({1, 2, 3, 4})});
  EXPECT_THAT(failure(Op::Linear, {x, w}, {{"activation", std::string("swish2")}}),
              testing::HasSubstr("swish2"));
}

// q, k and v are columns of one packed source, as after a fused q·k·v product; more queries than one block
// has rows.
TEST(MultiHeadAttention, IsSoftmaxOfScaledProducts) {
  const int64_t batch = 2, seq = 70, heads = 3, dim = 4, v_dim = 5, columns = heads * (2 * dim + v_dim) + 1;
  const Tensor packed = random_f32({batch, seq, columns}, 1);
  const int64_t q0 = 1, k0 = 1 + heads * dim, v0 = 1 + 2 * heads * dim;
  const Attributes attributes{{"heads", heads}, {"head_dim", dim}, {"v_head_dim", v_dim}, {"q_offset", q0},
                              {"k_offset", k0}, {"v_offset", v0},  {"scale", 0.7f}};
  for (const Shape& mask_shape : {Shape{}, Shape{heads, seq, seq}, Shape{batch, 1, 1, seq}}) {
    const Tensor mask = random_f32(mask_shape, 2);
    const bool masked = !mask_shape.empty();
    const Tensor y =
        run(Op::MultiHeadAttention, {packed, packed, packed, masked ? mask : Tensor()}, attributes);
    ASSERT_EQ(y.shape(), (Shape{batch, seq, heads * v_dim}));
    const auto source = [&](int64_t b, int64_t row, int64_t column) {
      return at(packed, (b * seq + row) * columns + column);
    };
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t i = 0; i < seq; ++i) {
          std::vector<double> p(static_cast<size_t>(seq));
          double sum = 0;
          for (int64_t j = 0; j < seq; ++j) {
            double s = 0;
            for (int64_t d = 0; d < dim; ++d)
              s += source(b, i, q0 + h * dim + d) * source(b, j, k0 + h * dim + d);
            s *= static_cast<double>(0.7f);
            if (masked)
              s += mask_shape.size() == 3 ? at(mask, (h * seq + i) * seq + j) : at(mask, b * seq + j);
            sum += p[static_cast<size_t>(j)] = std::exp(s);
          }
          for (int64_t d = 0; d < v_dim; ++d) {
            double want = 0;
            for (int64_t j = 0; j < seq; ++j)
              want += p[static_cast<size_t>(j)] / sum * source(b, j, v0 + h * v_dim + d);
            ASSERT_NEAR(at(y, (b * seq + i) * heads * v_dim + h * v_dim + d), want, 1e-6);
          }
        }
  }
}

TEST(MultiHeadAttention, QueriesMayBeFewerThanKeys) {
  const Tensor q = random_f32({1, 1, 2}, 1), k = Tensor::f32({1, 2, 2}, {0, 0, 0, 0}),
               v = Tensor::f32({1, 2, 2}, {1, 2, 3, 4});
  expect_f32(run(Op::MultiHeadAttention, {q, k, v}, {{"heads", int64_t{1}}, {"head_dim", int64_t{2}}}),
             {1, 1, 2}, {2, 3});
}

TEST(MultiHeadAttention, MalformedCallsAreErrors) {
  const Tensor x = random_f32({1, 3, 8}, 1);
  const auto with = [](int64_t heads, int64_t dim, int64_t offset) {
    return Attributes{{"heads", heads}, {"head_dim", dim}, {"v_offset", offset}};
  };
  failure(Op::MultiHeadAttention, {x, x, x});
  failure(Op::MultiHeadAttention, {x, x, x}, with(3, 3, 0));
  failure(Op::MultiHeadAttention, {x, x, x}, with(2, 4, 1));
  failure(Op::MultiHeadAttention, {x, x, x}, with(2, 4, -1));
  failure(Op::MultiHeadAttention, {x, x, x}, with(INT64_MAX, 4, 0));
  failure(Op::MultiHeadAttention, {x, x, random_f32({1, 2, 8}, 1)}, with(2, 4, 0));
  failure(Op::MultiHeadAttention, {x, random_f32({2, 3, 8}, 1), x}, with(2, 4, 0));
  failure(Op::MultiHeadAttention, {x, x, x.reshaped({3, 8})}, with(2, 4, 0));
  failure(Op::MultiHeadAttention, {x, x, x, random_f32({2, 3}, 1)}, with(2, 4, 0));
}

// The fused operator must agree with the Conv → Reshape → Transpose → Concat → Add that it stands for.
TEST(PatchEmbed, IsConvThenTokensThenPositions) {
  const int64_t prefix = 2, oc = 6, rows = 3, columns = 2, patches = rows * columns;
  const Tensor x = random_f32({2, 3, rows * 4, columns * 5}, 1), w = random_f32({oc, 3, 4, 5}, 2),
               b = random_f32({oc}, 3);
  const Tensor table = random_f32({prefix + patches, oc}, 4);
  const Attributes strides{{"strides", ints({4, 5})}};
  const Tensor conv = run(Op::Conv, {x, w, b}, strides);
  Attributes attributes = strides;
  attributes["prefix"] = prefix;
  const Tensor y = run(Op::PatchEmbed, {x, w, b, table}, attributes);
  ASSERT_EQ(y.shape(), (Shape{2, prefix + patches, oc}));
  for (int64_t n = 0; n < 2; ++n)
    for (int64_t t = 0; t < prefix + patches; ++t)
      for (int64_t c = 0; c < oc; ++c) {
        const double patch = t < prefix ? 0 : at(conv, (n * oc + c) * patches + t - prefix);
        ASSERT_NEAR(at(y, (n * (prefix + patches) + t) * oc + c), patch + at(table, t * oc + c), 1e-6);
      }
  const Tensor bare = run(Op::PatchEmbed, {x, w}, strides);
  ASSERT_EQ(bare.shape(), (Shape{2, patches, oc}));
  EXPECT_NEAR(at(bare, 1), at(conv, patches) - at(b, 1), 1e-6);
}

TEST(PatchEmbed, LeavesOutWhatIsLessThanAPatch) {
  const Tensor x = Tensor::f32({1, 1, 1, 3}, {1, 2, 100}), w = Tensor::f32({1, 1, 1, 2}, {1, 10});
  expect_f32(run(Op::PatchEmbed, {x, w}, {{"strides", ints({1, 2})}}), {1, 1, 1}, {21});
}

TEST(PatchEmbed, MalformedCallsAreErrors) {
  const Tensor x = random_f32({1, 3, 8, 8}, 1), w = random_f32({5, 3, 4, 4}, 2);
  failure(Op::PatchEmbed, {x, random_f32({5, 2, 4, 4}, 2)});
  failure(Op::PatchEmbed, {x, random_f32({5, 3, 0, 4}, 2)});
  failure(Op::PatchEmbed, {x, w}, {{"strides", ints({2, 2})}});
  failure(Op::PatchEmbed, {x, w, random_f32({4}, 1)});
  failure(Op::PatchEmbed, {x, w, Tensor(), random_f32({5, 5}, 1)});
  failure(Op::PatchEmbed, {x, w}, {{"prefix", int64_t{-1}}});
}

}  // namespace
}  // namespace vitrail
