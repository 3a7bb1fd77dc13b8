// SPDX-License-Identifier: Apache-2.0
// Expected values with a formula or from torch.nn.functional.interpolate in float64, as the comments say.
#include "call.h"

namespace vitrail {
namespace {

Tensor image() {
  Tensor t(DType::kF32, {1, 1, 4, 4});
  for (size_t i = 0; i < 16; ++i) t.as_mutable<float>()[i] = static_cast<float>(i + 1);
  return t;
}
Tensor line(const std::vector<float>& v) { return Tensor::f32({static_cast<int64_t>(v.size())}, v); }

Tensor to_size(const Tensor& x, const std::vector<int64_t>& size, Attributes attributes) {
  return run(Op::Resize, {x, Tensor(), Tensor(), vec(size)}, attributes);
}
Tensor scaled(const Tensor& x, float scale, Attributes attributes) {
  return run(Op::Resize, {x, Tensor(), line({scale})}, attributes);
}
Attributes mode(const char* name, const char* coordinates = "half_pixel") {
  return {{"mode", std::string(name)}, {"coordinate_transformation_mode", std::string(coordinates)}};
}

TEST(Resize, BicubicAsTorch) {
  expect_f32(to_size(image(), {1, 1, 3, 5}, mode("cubic")), {1, 1, 3, 5},
             {1.443879630f, 2.115379630f, 3.004629630f, 3.893879630f, 4.565379630f, 6.93925f, 7.61075f, 8.5f,
              9.38925f, 10.06075f, 12.43462037f, 13.10612037f, 13.99537037f, 14.88462037f, 15.55612037f});
}

TEST(Resize, BilinearAsTorch) {
  expect_f32(to_size(image(), {1, 1, 2, 7}, mode("linear", "pytorch_half_pixel")), {1, 1, 2, 7},
             {3, 3.357142857f, 3.928571429f, 4.5f, 5.071428571f, 5.642857143f, 6, 11, 11.357142857f,
              11.928571429f, 12.5f, 13.071428571f, 13.642857143f, 14});
  expect_f32(to_size(image(), {1, 1, 3, 5}, mode("linear", "align_corners")), {1, 1, 3, 5},
             {1, 1.75f, 2.5f, 3.25f, 4, 7, 7.75f, 8.5f, 9.25f, 10, 13, 13.75f, 14.5f, 15.25f, 16});
}

TEST(Resize, AntialiasAsTorch) {
  Attributes linear = mode("linear");
  linear["antialias"] = int64_t{1}, linear["exclude_outside"] = int64_t{1};
  expect_f32(to_size(image(), {1, 1, 2, 3}, linear), {1, 1, 2, 3},
             {4.157142857f, 5.357142857f, 6.557142857f, 10.442857143f, 11.642857143f, 12.842857143f});
  Attributes cubic = linear;
  cubic["mode"] = std::string("cubic"), cubic["cubic_coeff_a"] = -0.5f;  // torch antialiases with -0.5
  expect_f32(to_size(image(), {1, 1, 2, 3}, cubic), {1, 1, 2, 3},
             {3.537038788f, 4.847107438f, 6.157176088f, 10.842823912f, 12.152892562f, 13.462961212f});
}

// Output i of 5 → 2: half_pixel reads 0.75 and 3.25, asymmetric 0 and 2.5, align_corners 0 and 4.
TEST(Resize, NearestRoundsFourWays) {
  const Tensor x = line({0, 1, 2, 3, 4});
  const auto nearest = [&](const char* coordinates, const char* rounding) {
    Attributes attributes = mode("nearest", coordinates);
    attributes["nearest_mode"] = std::string(rounding);
    return to_size(x, {2}, attributes);
  };
  expect_f32(nearest("half_pixel", "round_prefer_floor"), {2}, {1, 3});
  expect_f32(nearest("half_pixel", "floor"), {2}, {0, 3});
  expect_f32(nearest("half_pixel", "ceil"), {2}, {1, 4});
  expect_f32(nearest("asymmetric", "round_prefer_floor"), {2}, {0, 2});
  expect_f32(nearest("asymmetric", "round_prefer_ceil"), {2}, {0, 3});
  expect_f32(nearest("align_corners", "floor"), {2}, {0, 4});
}

TEST(Resize, NearestMovesAnyType) {
  expect_i64(run(Op::Resize, {vec({5, 6}), Tensor(), line({2})}), {4}, {5, 5, 6, 6});
}

// 4 × 0.6 = 2.4 → 2 outputs. half_pixel reads (i + 0.5) / 0.6 - 0.5; the symmetric form shifts by 2 · (1 - 2
// / 2.4).
TEST(Resize, FractionalScales) {
  const Tensor x = line({0, 1, 2, 3});
  expect_f32(scaled(x, 0.6f, mode("linear")), {2}, {1.0f / 3, 2}, 1e-5f);
  expect_f32(scaled(x, 0.6f, mode("linear", "half_pixel_symmetric")), {2}, {2.0f / 3, 7.0f / 3}, 1e-5f);
}

TEST(Resize, ExcludeOutsideRenormalises) {
  Attributes attributes = mode("cubic");
  attributes["exclude_outside"] = int64_t{1};
  // Output 0 of 1 → 2 reads -0.25: the only tap inside gets the whole weight.
  expect_f32(scaled(line({3}), 2, attributes), {2}, {3, 3});
}

TEST(Resize, CropsAndExtrapolates) {
  Attributes attributes = mode("linear", "tf_crop_and_resize");
  attributes["extrapolation_value"] = -1.0f;
  const Tensor roi = line({0.5f, 1.5f});
  expect_f32(run(Op::Resize, {line({0, 1, 2, 3, 4}), roi, Tensor(), vec({3})}, attributes), {3}, {2, 4, -1});
}

TEST(Resize, AxesAndAspectRatio) {
  Attributes attributes = mode("nearest");
  attributes["axes"] = ints({-1, 2});
  attributes["keep_aspect_ratio_policy"] = std::string("not_larger");
  EXPECT_EQ(to_size(image(), {8, 6}, attributes).shape(), (Shape{1, 1, 6, 6}));
  attributes["keep_aspect_ratio_policy"] = std::string("not_smaller");
  EXPECT_EQ(to_size(image(), {8, 6}, attributes).shape(), (Shape{1, 1, 8, 8}));
}

TEST(Resize, MalformedCallsAreErrors) {
  const Tensor x = line({1, 2});
  failure(Op::Resize, {x});
  failure(Op::Resize, {x, Tensor(), line({2}), vec({4})});
  failure(Op::Resize, {x, Tensor(), line({2, 2})});
  failure(Op::Resize, {x, Tensor(), line({0})});
  failure(Op::Resize, {x, Tensor(), line({NAN})});
  failure(Op::Resize, {x, Tensor(), Tensor(), vec({-3})});
  failure(Op::Resize, {line({}), Tensor(), Tensor(), vec({3})});
  failure(Op::Resize, {x, Tensor(), Tensor(), vec({3})}, mode("lanczos"));
  failure(Op::Resize, {x, Tensor(), Tensor(), vec({3})}, mode("linear", "tf_crop_and_resize"));
}

}  // namespace
}  // namespace vitrail
