// SPDX-License-Identifier: Apache-2.0
// Calls one operator of the reference backend from a test.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "backends/reference/evaluate.h"

namespace vitrail {

using Attributes = std::map<std::string, Attribute, std::less<>>;

// A default Tensor among the inputs stands for an optional one that is absent.
inline Result<std::vector<Tensor>> evaluate(Op op, const std::vector<Tensor>& inputs,
                                            const Attributes& attributes = {}, size_t outputs = 1) {
  Node node{op, "the_layer", {}, {}, attributes, ""};
  for (size_t i = 0; i < outputs; ++i) node.outputs.push_back(static_cast<ValueId>(i));
  std::vector<const Tensor*> pointers;
  for (const Tensor& t : inputs) pointers.push_back(t.dtype() == DType::kUndefined ? nullptr : &t);
  return evaluate_node(node, pointers);
}

inline Tensor run(Op op, const std::vector<Tensor>& inputs, const Attributes& attributes = {}) {
  auto result = evaluate(op, inputs, attributes);
  EXPECT_TRUE(result.ok()) << result.status().message();
  return result.ok() ? (*result)[0] : Tensor(DType::kF32, {0});
}

// The message of a call that must fail and name its layer.
inline std::string failure(Op op, const std::vector<Tensor>& inputs, const Attributes& attributes = {}) {
  auto result = evaluate(op, inputs, attributes);
  EXPECT_FALSE(result.ok());
  EXPECT_THAT(result.status().message(), testing::HasSubstr("the_layer"));
  return result.status().message();
}

inline std::vector<int64_t> ints(std::initializer_list<int64_t> v) { return v; }
inline Tensor vec(const std::vector<int64_t>& v) { return Tensor::i64({static_cast<int64_t>(v.size())}, v); }
inline Tensor bools(Shape shape, const std::vector<uint8_t>& v) {
  return Tensor::from<uint8_t>(DType::kBool, std::move(shape), v);
}

// Uniform in [-1, 1), the same for the same seed.
inline Tensor random_f32(const Shape& shape, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  Tensor t(DType::kF32, shape);
  for (float& v : t.as_mutable<float>()) v = uniform(engine);
  return t;
}

inline void expect_f32(const Tensor& got, const Shape& shape, const std::vector<float>& want,
                       float tolerance = 1e-6f) {
  ASSERT_EQ(got.dtype(), DType::kF32);
  ASSERT_EQ(got.shape(), shape);
  const auto v = got.as<float>();
  ASSERT_EQ(v.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i)
    if (std::isnan(want[i]))
      EXPECT_TRUE(std::isnan(v[i])) << "at " << i;
    else if (std::isinf(want[i]))
      EXPECT_EQ(v[i], want[i]) << "at " << i;
    else
      EXPECT_NEAR(v[i], want[i], tolerance * (1 + std::abs(want[i]))) << "at " << i;
}

inline void expect_i64(const Tensor& got, const Shape& shape, const std::vector<int64_t>& want) {
  ASSERT_EQ(got.dtype(), DType::kI64);
  EXPECT_EQ(got.shape(), shape);
  const auto v = got.as<int64_t>();
  EXPECT_EQ(std::vector<int64_t>(v.begin(), v.end()), want);
}

}  // namespace vitrail
