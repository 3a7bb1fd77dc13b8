// SPDX-License-Identifier: Apache-2.0
// Convolutions and pools against the definition, written as loops over the output here.
#include "call.h"

namespace vitrail {
namespace {

struct Case {
  int64_t n, c, h, w, oc, kh, kw, group, stride, dilation;
  std::array<int64_t, 4> pads;
};

double at4(const Tensor& t, int64_t a, int64_t b, int64_t c, int64_t d) {
  return static_cast<double>(
      t.as<float>()[static_cast<size_t>(((a * t.dim(1) + b) * t.dim(2) + c) * t.dim(3) + d)]);
}

Attributes attributes_of(const Case& c) {
  return {{"group", c.group},
          {"strides", ints({c.stride, c.stride})},
          {"dilations", ints({c.dilation, c.dilation})},
          {"pads", std::vector<int64_t>(c.pads.begin(), c.pads.end())}};
}

const Case kCases[] = {{2, 3, 7, 6, 4, 3, 2, 1, 1, 1, {0, 0, 0, 0}},
                       {1, 4, 9, 9, 6, 3, 3, 2, 2, 1, {1, 0, 2, 1}},
                       {1, 6, 8, 10, 6, 2, 3, 6, 1, 2, {1, 2, 1, 2}},
                       {2, 2, 12, 12, 70, 4, 4, 1, 4, 1, {0, 0, 0, 0}}};

TEST(Window, ConvIsItsDefinition) {
  for (const Case& c : kCases) {
    const Tensor x = random_f32({c.n, c.c, c.h, c.w}, 1),
                 w = random_f32({c.oc, c.c / c.group, c.kh, c.kw}, 2);
    const Tensor b = random_f32({c.oc}, 3), y = run(Op::Conv, {x, w, b}, attributes_of(c));
    const int64_t oh = (c.h + c.pads[0] + c.pads[2] - (c.kh - 1) * c.dilation - 1) / c.stride + 1;
    const int64_t ow = (c.w + c.pads[1] + c.pads[3] - (c.kw - 1) * c.dilation - 1) / c.stride + 1;
    ASSERT_EQ(y.shape(), (Shape{c.n, c.oc, oh, ow}));
    for (int64_t n = 0; n < c.n; ++n)
      for (int64_t o = 0; o < c.oc; ++o)
        for (int64_t i = 0; i < oh; ++i)
          for (int64_t j = 0; j < ow; ++j) {
            double sum = static_cast<double>(b.as<float>()[static_cast<size_t>(o)]);
            const int64_t per_group = c.c / c.group, group = o / (c.oc / c.group);
            for (int64_t k = 0; k < per_group; ++k)
              for (int64_t p = 0; p < c.kh; ++p)
                for (int64_t q = 0; q < c.kw; ++q) {
                  const int64_t r = i * c.stride - c.pads[0] + p * c.dilation,
                                s = j * c.stride - c.pads[1] + q * c.dilation;
                  if (r >= 0 && r < c.h && s >= 0 && s < c.w)
                    sum += at4(x, n, group * per_group + k, r, s) * at4(w, o, k, p, q);
                }
            ASSERT_NEAR(at4(y, n, o, i, j), sum, 1e-5);
          }
  }
}

// <conv(x, W), y> == <x, conv_transpose(y, W)> for all x and y defines the transposed form.
TEST(Window, ConvTransposeIsTheAdjointOfConv) {
  for (const Case& c : kCases) {
    const Tensor x = random_f32({c.n, c.c, c.h, c.w}, 1),
                 w = random_f32({c.oc, c.c / c.group, c.kh, c.kw}, 2);
    const Tensor forward = run(Op::Conv, {x, w}, attributes_of(c)), y = random_f32(forward.shape(), 4);
    Attributes attributes = attributes_of(c);
    // What the stride leaves over at the end of x.
    const int64_t rest_h = (c.h + c.pads[0] + c.pads[2] - (c.kh - 1) * c.dilation - 1) % c.stride;
    const int64_t rest_w = (c.w + c.pads[1] + c.pads[3] - (c.kw - 1) * c.dilation - 1) % c.stride;
    attributes["output_padding"] = ints({rest_h, rest_w});
    const Tensor back = run(Op::ConvTranspose, {y, w}, attributes);
    ASSERT_EQ(back.shape(), x.shape());
    double left = 0, right = 0;
    for (size_t i = 0; i < static_cast<size_t>(y.count()); ++i)
      left += static_cast<double>(forward.as<float>()[i]) * static_cast<double>(y.as<float>()[i]);
    for (size_t i = 0; i < static_cast<size_t>(x.count()); ++i)
      right += static_cast<double>(back.as<float>()[i]) * static_cast<double>(x.as<float>()[i]);
    EXPECT_NEAR(left, right, 1e-4 * (1 + std::abs(left)));
  }
}

TEST(Window, ConvTransposeByHand) {
  const Tensor x = Tensor::f32({1, 1, 2}, {1, 2}), w = Tensor::f32({1, 1, 3}, {1, 10, 100}),
               b = Tensor::f32({1}, {1000});
  expect_f32(run(Op::ConvTranspose, {x, w, b}, {{"strides", ints({2})}}), {1, 1, 5},
             {1001, 1010, 1102, 1020, 1200});
  expect_f32(run(Op::ConvTranspose, {x, w},
                 {{"strides", ints({2})}, {"pads", ints({1, 0})}, {"output_padding", ints({1})}}),
             {1, 1, 5}, {10, 102, 20, 200, 0});
  expect_f32(
      run(Op::ConvTranspose, {x, w}, {{"strides", ints({2})}, {"auto_pad", std::string("SAME_UPPER")}}),
      {1, 1, 4}, {1, 10, 102, 20});
  expect_f32(run(Op::ConvTranspose, {x, w}, {{"strides", ints({2})}, {"output_shape", ints({7})}}), {1, 1, 7},
             {1, 10, 102, 20, 200, 0, 0});
}

TEST(Window, ConvInOneAndThreeDimensions) {
  const Tensor x = Tensor::f32({1, 1, 4}, {1, 2, 3, 4}), w = Tensor::f32({1, 1, 2}, {1, 10});
  expect_f32(run(Op::Conv, {x, w}), {1, 1, 3}, {21, 32, 43});
  expect_f32(run(Op::Conv, {x, w}, {{"auto_pad", std::string("SAME_LOWER")}}), {1, 1, 4}, {10, 21, 32, 43});
  expect_f32(run(Op::Conv, {x.reshaped({1, 1, 1, 2, 2}), Tensor::f32({1, 1, 1, 2, 2}, {1, 10, 100, 1000})}),
             {1, 1, 1, 1, 1}, {4321});
}

TEST(Window, MalformedConvolutionsAreErrors) {
  const Tensor x = random_f32({1, 4, 5, 5}, 1), w = random_f32({2, 4, 3, 3}, 2);
  failure(Op::Conv, {x, random_f32({2, 3, 3, 3}, 2)});
  failure(Op::Conv, {x, w}, {{"group", int64_t{3}}});
  failure(Op::Conv, {x, w}, {{"group", int64_t{0}}});
  failure(Op::Conv, {x, w}, {{"strides", ints({0, 1})}});
  failure(Op::Conv, {x, w}, {{"strides", ints({1})}});
  failure(Op::Conv, {x, w}, {{"pads", ints({-1, 0, 0, 0})}});
  failure(Op::Conv, {x, w}, {{"dilations", ints({1, 9})}});
  failure(Op::Conv, {x, w}, {{"dilations", ints({1, INT64_MAX})}});
  failure(Op::Conv, {x, w}, {{"kernel_shape", ints({2, 2})}});
  failure(Op::Conv, {x, w}, {{"auto_pad", std::string("SOME")}});
  failure(Op::Conv, {x, w, random_f32({3}, 1)});
  failure(Op::Conv, {x, random_f32({2, 4, 0, 3}, 2)});
  failure(Op::ConvTranspose, {x, w});
  failure(Op::ConvTranspose, {x, random_f32({4, 2, 1, 1}, 1)}, {{"pads", ints({9, 9, 9, 9})}});
  failure(Op::MaxPool, {x});
  failure(Op::MaxPool, {x}, {{"kernel_shape", ints({9, 9})}});
  failure(Op::AveragePool, {x}, {{"kernel_shape", ints({INT64_MAX, 1})}});
}

TEST(Window, Pools) {
  const Tensor x = Tensor::f32({1, 1, 5}, {1, 2, 3, 4, 5});
  const Attributes two{{"kernel_shape", ints({2})}, {"strides", ints({2})}};
  expect_f32(run(Op::MaxPool, {x}, two), {1, 1, 2}, {2, 4});
  Attributes ceil = two;
  ceil["ceil_mode"] = int64_t{1};
  expect_f32(run(Op::MaxPool, {x}, ceil), {1, 1, 3}, {2, 4, 5});
  ceil["count_include_pad"] = int64_t{1};  // beyond the padding nothing counts
  expect_f32(run(Op::AveragePool, {x}, ceil), {1, 1, 3}, {1.5f, 3.5f, 5});
  Attributes padded = two;
  padded["pads"] = ints({1, 0});
  expect_f32(run(Op::AveragePool, {x}, padded), {1, 1, 3}, {1, 2.5f, 4.5f});
  padded["count_include_pad"] = int64_t{1};
  expect_f32(run(Op::AveragePool, {x}, padded), {1, 1, 3}, {0.5f, 2.5f, 4.5f});
  expect_f32(run(Op::MaxPool, {Tensor::f32({1, 1, 3}, {-3, NAN, -1})}, {{"kernel_shape", ints({2})}}),
             {1, 1, 2}, {NAN, NAN});
  expect_f32(run(Op::GlobalAveragePool, {Tensor::f32({1, 2, 1, 2}, {1, 2, 3, 5})}), {1, 2, 1, 1}, {1.5f, 4});
}

}  // namespace
}  // namespace vitrail
