// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/depthwise.h"
#include "cpu/kernel_testing.h"

namespace vitrail::cpu {
namespace {

class KernelConvTest : public KernelTest {};
VTL_FOR_EVERY_ISA(KernelConvTest);

struct Problem {
  int64_t batch = 1, in_channels = 3, out_channels = 5, groups = 1;
  int64_t height = 9, width = 11, kh = 3, kw = 3, sh = 1, sw = 1;
  int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0, dh = 1, dw = 1;
  int64_t extra_h = 0, extra_w = 0;  // output_padding of the transposed convolution
  Activation activation = Activation::kNone;
  bool bias = true;
  int threads = 2;
};

struct Case {
  ConvArgs args;
  std::vector<float> x, weights, bias, out;
};

Case make(const Problem& p, bool transposed) {
  Case c;
  c.x = random_floats(static_cast<size_t>(p.batch * p.in_channels * p.height * p.width), 1);
  c.weights = random_floats(static_cast<size_t>(p.in_channels * p.out_channels / p.groups * p.kh * p.kw), 2);
  c.bias = random_floats(static_cast<size_t>(p.out_channels), 3);
  ConvArgs& a = c.args;
  a = {};
  a.x = c.x.data();
  a.weights = c.weights.data();
  a.bias = p.bias ? c.bias.data() : nullptr;
  a.batch = p.batch, a.in_channels = p.in_channels, a.out_channels = p.out_channels, a.groups = p.groups;
  a.height = p.height, a.width = p.width, a.kh = p.kh, a.kw = p.kw, a.sh = p.sh, a.sw = p.sw;
  a.pad_top = p.pad_top, a.pad_left = p.pad_left, a.dh = p.dh, a.dw = p.dw;
  a.activation = p.activation;
  if (transposed) {
    a.out_height = (p.height - 1) * p.sh - p.pad_top - p.pad_bottom + p.dh * (p.kh - 1) + 1 + p.extra_h;
    a.out_width = (p.width - 1) * p.sw - p.pad_left - p.pad_right + p.dw * (p.kw - 1) + 1 + p.extra_w;
  } else {
    a.out_height = (p.height + p.pad_top + p.pad_bottom - p.dh * (p.kh - 1) - 1) / p.sh + 1;
    a.out_width = (p.width + p.pad_left + p.pad_right - p.dw * (p.kw - 1) - 1) / p.sw + 1;
  }
  c.out.assign(static_cast<size_t>(p.batch * p.out_channels * a.out_height * a.out_width), kNan);
  a.out = c.out.data();
  return c;
}

// Adds every product to the output that it belongs to, as both definitions say.
void check(const Kernels& kernels, const Problem& p, bool transposed) {
  SCOPED_TRACE(testing::Message() << (transposed ? "transposed " : "") << p.in_channels << "->"
                                  << p.out_channels << " groups " << p.groups << " " << p.height << 'x'
                                  << p.width << " kernel " << p.kh << 'x' << p.kw << " stride " << p.sh << ','
                                  << p.sw << " pad " << p.pad_top << ',' << p.pad_left << " dilation " << p.dh
                                  << ',' << p.dw);
  Case c = make(p, transposed);
  const ConvArgs& a = c.args;
  std::vector<double> sum(c.out.size(), 0.0);
  std::vector<double> magnitude(c.out.size(), 0.0);
  const int64_t cin = p.in_channels / p.groups;
  const int64_t cout = p.out_channels / p.groups;
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t g = 0; g < p.groups; ++g)
      for (int64_t m = 0; m < cout; ++m)
        for (int64_t ch = 0; ch < cin; ++ch)
          for (int64_t ky = 0; ky < p.kh; ++ky)
            for (int64_t kx = 0; kx < p.kw; ++kx) {
              const int64_t w = transposed ? (((g * cin + ch) * cout + m) * p.kh + ky) * p.kw + kx
                                           : (((g * cout + m) * cin + ch) * p.kh + ky) * p.kw + kx;
              for (int64_t y = 0; y < (transposed ? p.height : a.out_height); ++y)
                for (int64_t x = 0; x < (transposed ? p.width : a.out_width); ++x) {
                  const int64_t far_y = y * p.sh - p.pad_top + ky * p.dh;
                  const int64_t far_x = x * p.sw - p.pad_left + kx * p.dw;
                  const int64_t in_y = transposed ? y : far_y, in_x = transposed ? x : far_x;
                  const int64_t out_y = transposed ? far_y : y, out_x = transposed ? far_x : x;
                  if (in_y < 0 || in_y >= p.height || in_x < 0 || in_x >= p.width) continue;
                  if (out_y < 0 || out_y >= a.out_height || out_x < 0 || out_x >= a.out_width) continue;
                  const double product =
                      static_cast<double>(c.weights[static_cast<size_t>(w)]) *
                      c.x[static_cast<size_t>(
                          ((b * p.in_channels + g * cin + ch) * p.height + in_y) * p.width + in_x)];
                  const auto at = static_cast<size_t>(
                      ((b * p.out_channels + g * cout + m) * a.out_height + out_y) * a.out_width + out_x);
                  sum[at] += product;
                  magnitude[at] += std::abs(product);
                }
            }
  std::vector<double> tolerance(sum.size());
  for (size_t i = 0; i < sum.size(); ++i) {
    const auto m = static_cast<int64_t>(i) / (a.out_height * a.out_width) % p.out_channels;
    if (p.bias) sum[i] += c.bias[static_cast<size_t>(m)];
    tolerance[i] = kEps * (8 * magnitude[i] + 8 * std::abs(sum[i]) + 8);
    sum[i] = exact_activation(p.activation, sum[i]);
  }

  ThreadPool pool(p.threads);
  std::vector<float> arranged(c.weights.size(), kNan);
  if (transposed) {
    arrange_transposed(a, arranged.data());
    c.args.weights = arranged.data();
  }
  const auto run = [&] {
    Scratch scratch((transposed ? conv_transpose_scratch_floats : conv_scratch_floats)(a, p.threads));
    (transposed ? conv_transpose : conv)(kernels, pool, a, scratch.get());
  };
  run();
  EXPECT_TRUE(near(c.out, sum, tolerance));

  // With weights that were packed beforehand, the same bits.
  const std::vector<float> first = std::exchange(c.out, std::vector<float>(c.out.size(), kNan));
  std::vector<float> packed(c.weights.size(), kNan);
  (transposed ? pack_conv_transpose : pack_conv)(kernels, a, packed.data());
  c.args.packed = packed.data();
  c.args.weights = nullptr;
  if (!transposed && is_depthwise(a)) c.args.weights = c.weights.data();
  c.args.out = c.out.data();
  run();
  EXPECT_TRUE(same_bits(first.data(), c.out.data(), first.size()));
}

const Problem kProblems[] = {
    {},
    {.out_channels = 1, .height = 1, .width = 1, .kh = 1, .kw = 1},
    {.batch = 2,
     .in_channels = 4,
     .out_channels = 20,
     .height = 16,
     .width = 16,
     .pad_top = 1,
     .pad_left = 1,
     .pad_bottom = 1,
     .pad_right = 1},
    {.batch = 2,
     .in_channels = 4,
     .out_channels = 6,
     .groups = 2,
     .kh = 1,
     .kw = 5,
     .pad_left = 2,
     .pad_right = 2},
    {.in_channels = 6, .out_channels = 6, .groups = 6, .pad_top = 1, .pad_bottom = 1},
    {.height = 20,
     .width = 23,
     .kh = 4,
     .kw = 4,
     .sh = 2,
     .sw = 2,
     .pad_top = 1,
     .pad_left = 1,
     .pad_bottom = 1,
     .pad_right = 1},
    {.height = 32, .width = 32, .kh = 8, .kw = 8, .sh = 8, .sw = 8, .bias = false},
    {.height = 15,
     .width = 14,
     .kh = 3,
     .kw = 2,
     .sh = 3,
     .sw = 2,
     .pad_top = 2,
     .pad_left = 0,
     .pad_bottom = 1,
     .pad_right = 1},
    {.height = 12,
     .width = 40,
     .kh = 3,
     .kw = 3,
     .pad_top = 2,
     .pad_left = 2,
     .pad_bottom = 2,
     .pad_right = 2,
     .dh = 2,
     .dw = 2},
    {.in_channels = 100,
     .out_channels = 17,
     .height = 7,
     .width = 7,
     .pad_top = 1,
     .pad_left = 1,
     .pad_bottom = 1,
     .pad_right = 1,
     .activation = Activation::kRelu},
    {.height = 8,
     .width = 3,
     .pad_top = 1,
     .pad_left = 1,
     .pad_bottom = 1,
     .pad_right = 1,
     .activation = Activation::kGeluErf,
     .threads = 3},
};

TEST_P(KernelConvTest, Plain) {
  for (const Problem& p : kProblems) check(kernels(), p, false);
}

TEST_P(KernelConvTest, OneInputChannelToAGroup) {
  for (const int64_t multiplier : {1, 2})
    for (const auto& [stride, dilation] : {std::pair<int64_t, int64_t>{1, 1}, {2, 1}, {3, 1}, {1, 2}, {2, 3}})
      for (const int64_t pad : {0, 1, 4})
        for (const auto activation : {Activation::kNone, Activation::kRelu})
          check(kernels(),
                {.batch = 2,
                 .in_channels = 6,
                 .out_channels = 6 * multiplier,
                 .groups = 6,
                 .height = 11,
                 .width = 97,
                 .kw = 5,
                 .sh = stride,
                 .sw = stride,
                 .pad_top = pad,
                 .pad_left = pad,
                 .pad_bottom = 1,
                 .pad_right = pad,
                 .dh = dilation,
                 .dw = dilation,
                 .activation = activation,
                 .bias = pad != 1},
                false);
  check(kernels(), {.in_channels = 3, .out_channels = 3, .groups = 3, .height = 3, .width = 2, .pad_top = 5, .pad_left = 7, .pad_bottom = 1}, false);
}

TEST_P(KernelConvTest, Transposed) {
  for (const Problem& p : kProblems) check(kernels(), p, true);
}

TEST_P(KernelConvTest, TransposedWithStrideDilationAndOutputPadding) {
  check(kernels(),
        {.in_channels = 96,
         .out_channels = 33,
         .height = 16,
         .width = 16,
         .kh = 4,
         .kw = 4,
         .sh = 2,
         .sw = 2,
         .pad_top = 1,
         .pad_left = 1,
         .pad_bottom = 1,
         .pad_right = 1},
        true);
  check(kernels(),
        {.kh = 3, .kw = 3, .sh = 2, .sw = 3, .pad_top = 1, .pad_left = 1, .extra_h = 1, .extra_w = 2}, true);
  check(kernels(), {.kh = 3, .kw = 3, .sh = 2, .sw = 4, .dh = 2, .dw = 2}, true);
  check(kernels(), {.kh = 1, .kw = 1, .sh = 3, .sw = 2},
        true);  // phases that no tap meets hold the bias alone
  check(kernels(), {.kh = 2, .kw = 2, .sh = 2, .sw = 2, .bias = false}, true);
}

TEST_P(KernelConvTest, ImagesHaveTheSameBitsInEveryBatch) {
  const Problem whole{.batch = 3, .in_channels = 8, .out_channels = 19, .pad_top = 1, .pad_left = 1};
  Case all = make(whole, false);
  Problem part = whole;
  part.batch = 1;
  part.threads = 1;
  Case one = make(part, false);
  for (auto* c : {&all, &one}) {
    ThreadPool pool(c == &all ? 3 : 1);
    Scratch scratch(conv_scratch_floats(c->args, pool.threads()));
    conv(kernels(), pool, c->args, scratch.get());
  }
  EXPECT_TRUE(same_bits(one.out.data(), all.out.data(), one.out.size()));
}

TEST_P(KernelConvTest, ResizeBilinear) {
  for (const Coordinates mode : {Coordinates::kHalfPixel, Coordinates::kPytorchHalfPixel,
                                 Coordinates::kAlignCorners, Coordinates::kAsymmetric}) {
    for (const auto& [oh, ow] : {std::pair<int64_t, int64_t>{18, 22}, {27, 33}, {5, 4}, {1, 1}, {9, 11}}) {
      const int64_t planes = 3, h = 9, w = 11;
      const std::vector<float> x = random_floats(static_cast<size_t>(planes * h * w), 4);
      std::vector<float> out(static_cast<size_t>(planes * oh * ow), kNan);
      ResizeArgs args{x.data(), out.data(), planes, h, w, oh, ow, mode};
      ThreadPool pool(2);
      Scratch scratch(resize_scratch_floats(args, 2));
      resize_bilinear(kernels(), pool, args, scratch.get());
      const auto place = [mode = mode](int64_t o, int64_t in, int64_t n) {
        const double scale = static_cast<double>(n) / static_cast<double>(in);
        double at = static_cast<double>(o) / scale;
        if (mode == Coordinates::kHalfPixel) at = (static_cast<double>(o) + 0.5) / scale - 0.5;
        if (mode == Coordinates::kPytorchHalfPixel)
          at = n > 1 ? (static_cast<double>(o) + 0.5) / scale - 0.5 : 0;
        if (mode == Coordinates::kAlignCorners)
          at = n > 1 ? static_cast<double>(o) * static_cast<double>(in - 1) / static_cast<double>(n - 1) : 0;
        return std::min(std::max(at, 0.0), static_cast<double>(in - 1));
      };
      std::vector<double> want(out.size());
      for (size_t i = 0; i < out.size(); ++i) {
        const auto at = static_cast<int64_t>(i);
        const double y = place(at / ow % oh, h, oh);
        const double xx = place(at % ow, w, ow);
        const auto y0 = static_cast<int64_t>(y), x0 = static_cast<int64_t>(xx);
        const int64_t y1 = std::min(y0 + 1, h - 1), x1 = std::min(x0 + 1, w - 1);
        const float* plane = &x[static_cast<size_t>(at / (oh * ow) * h * w)];
        const double fy = y - static_cast<double>(y0), fx = xx - static_cast<double>(x0);
        want[i] = (plane[y0 * w + x0] * (1 - fx) + plane[y0 * w + x1] * fx) * (1 - fy) +
                  (plane[y1 * w + x0] * (1 - fx) + plane[y1 * w + x1] * fx) * fy;
      }
      EXPECT_TRUE(near(out, want, std::vector<double>(out.size(), 8 * kEps)))
          << static_cast<int>(mode) << ' ' << oh;
    }
  }
}

}  // namespace
}  // namespace vitrail::cpu
