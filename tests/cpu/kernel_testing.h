// SPDX-License-Identifier: Apache-2.0
// What the kernel tests share: data, aligned storage, comparison with tolerances from theory.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "backends/cpu/kernels/kernels.h"

namespace vitrail::cpu {

constexpr float kEps = std::numeric_limits<float>::epsilon();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

inline std::vector<float> random_floats(size_t count, uint32_t seed, float low = -1.0f, float high = 1.0f) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> pick(low, high);
  std::vector<float> out(count);
  for (float& x : out) x = pick(engine);
  return out;
}

// Exactly `count` floats at an address that is a multiple of 64, filled with NaN so that stale reads show;
// the sanitizer sees any access past the end.
class Scratch {
 public:
  explicit Scratch(size_t count) : data_(new (std::align_val_t{64}) float[count + 1]), count_(count) {
    for (size_t i = 0; i < count; ++i) data_[i] = kNan;
    data_[count] = kGuard;
  }
  ~Scratch() {
    EXPECT_EQ(data_[count_], kGuard) << "written past " << count_ << " floats of scratch";
    operator delete[](data_, std::align_val_t{64});
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  float* get() { return data_; }

 private:
  static constexpr float kGuard = 12345.0f;
  float* data_;
  size_t count_;
};

// Fails with the worst place when any |got - want| exceeds its tolerance.
inline testing::AssertionResult near(const std::vector<float>& got, const std::vector<double>& want,
                                     const std::vector<double>& tolerance) {
  if (got.size() != want.size())
    return testing::AssertionFailure() << got.size() << " values, not " << want.size();
  double worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(want[i]) && std::isnan(got[i])) continue;
    if (static_cast<double>(got[i]) == want[i]) continue;
    const double ratio = std::abs(got[i] - want[i]) / tolerance[i];
    if (!(ratio <= worst)) worst = ratio, at = i;
    if (std::isnan(ratio)) break;
  }
  if (worst <= 1.0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "worst at " << at << ": " << got[at] << " instead of " << want[at]
                                     << ", tolerance " << tolerance[at] << ", " << worst << " times over";
}

inline bool same_bits(const float* a, const float* b, size_t count) {
  return std::memcmp(a, b, count * sizeof(float)) == 0;
}

inline double exact_activation(Activation f, double x) {
  switch (f) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return std::isnan(x) ? x : std::fmax(x, 0.0);
    case Activation::kGeluErf:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kGeluQuick:
      return x / (1 + std::exp(-1.702 * x));
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kErf:
      return std::erf(x);
    case Activation::kExp:
      return std::exp(x);
    case Activation::kSqrt:
      return std::sqrt(x);
    case Activation::kAbs:
      return std::fabs(x);
    case Activation::kNeg:
      return -x;
    case Activation::kReciprocal:
      return 1 / x;
  }
  return x;
}

constexpr Activation kGemmActivations[] = {
    Activation::kNone,      Activation::kRelu, Activation::kGeluErf, Activation::kGeluTanh,
    Activation::kGeluQuick, Activation::kSilu, Activation::kSigmoid, Activation::kTanh};

// Every test of a kernel runs on every instruction set of this machine.
class KernelTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!isa_supported(GetParam()))
      GTEST_SKIP() << isa_name(GetParam()) << " is not supported by this processor";
  }
  const Kernels& kernels() const { return kernels_for(GetParam()); }
};

inline std::string isa_test_name(const testing::TestParamInfo<Isa>& info) {
  return std::string(isa_name(info.param));
}

#define VTL_FOR_EVERY_ISA(Suite) \
  INSTANTIATE_TEST_SUITE_P(Isa, Suite, testing::ValuesIn(all_isas().begin(), all_isas().end()), isa_test_name)

}  // namespace vitrail::cpu
