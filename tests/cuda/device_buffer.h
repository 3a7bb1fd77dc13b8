// SPDX-License-Identifier: Apache-2.0
// Buffers on the device whose content the host knows exactly, and comparison with what a type can hold.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "backends/cuda/kernels/types.h"
#include "core/half.h"

namespace vitrail::cuda {

// Skips every test of a machine without a GPU.
class CudaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int devices = 0;
    cudaError_t e = cudaGetDeviceCount(&devices);
    if (e == cudaSuccess && devices == 0) e = cudaErrorNoDevice;
    if (e == cudaSuccess) e = cudaSetDevice(0);
    if (e != cudaSuccess) GTEST_SKIP() << "no CUDA device: " << cudaGetErrorString(e);
    ASSERT_EQ(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, 0), cudaSuccess);
    ASSERT_EQ(cudaDeviceGetAttribute(&major_, cudaDevAttrComputeCapabilityMajor, 0), cudaSuccess);
  }
  int multiprocessors_ = 0, major_ = 0;
};

inline double e4m3_to_double(uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  if ((bits & 127) == 127) return NAN;
  const double v = exponent ? std::ldexp(8 + mantissa, exponent - 10) : std::ldexp(mantissa, -9);
  return bits & 128 ? -v : v;
}

inline uint8_t double_to_e4m3(double v) {  // nearest; for inputs only, where ties do not matter
  int best = 0;
  for (int i = 0; i < 127; ++i)
    if (std::fabs(e4m3_to_double(static_cast<uint8_t>(i)) - std::fabs(v)) <
        std::fabs(e4m3_to_double(static_cast<uint8_t>(best)) - std::fabs(v)))
      best = i;
  return static_cast<uint8_t>(best | (v < 0 ? 128 : 0));
}

inline double lowest(Type t) {
  return t == Type::kE4M3 ? -448 : t == Type::kS8 ? -128 : t == Type::kU8 ? 0 : -INFINITY;
}
inline double highest(Type t) {
  return t == Type::kE4M3 ? 448 : t == Type::kS8 ? 127 : t == Type::kU8 ? 255 : INFINITY;
}

inline void encode(Type type, double v, uint8_t* to) {
  const auto f = static_cast<float>(v);
  auto put = [&](auto bits) { std::memcpy(to, &bits, sizeof(bits)); };
  switch (type) {
    case Type::kF32:
      return put(f);
    case Type::kF16:
      return put(float_to_half(f));
    case Type::kBF16:
      return put(float_to_bfloat16(f));
    case Type::kE4M3:
      return put(double_to_e4m3(v));
    default:
      return put(static_cast<uint8_t>(
          static_cast<int>(std::fmin(std::fmax(std::nearbyint(v), lowest(type)), highest(type)))));
  }
}

inline double decode(Type type, const uint8_t* from) {
  auto get = [&](auto bits) {
    std::memcpy(&bits, from, sizeof(bits));
    return bits;
  };
  switch (type) {
    case Type::kF32:
      return static_cast<double>(get(float{}));
    case Type::kF16:
      return static_cast<double>(half_to_float(get(uint16_t{})));
    case Type::kBF16:
      return static_cast<double>(bfloat16_to_float(get(uint16_t{})));
    case Type::kE4M3:
      return e4m3_to_double(*from);
    case Type::kS8:
      return static_cast<int8_t>(*from);
    default:
      return *from;
  }
}

// Memory of the device, filled with 0xCD so that what a kernel leaves out is seen, and with a guard behind
// its end.
class DeviceBuffer {
 public:
  explicit DeviceBuffer(size_t bytes) : bytes_(bytes) {
    EXPECT_EQ(cudaMalloc(&data_, bytes + kGuard), cudaSuccess);
    EXPECT_EQ(cudaMemset(data_, 0xCD, bytes + kGuard), cudaSuccess);
  }
  explicit DeviceBuffer(const std::vector<uint8_t>& content) : DeviceBuffer(content.size()) {
    EXPECT_EQ(cudaMemcpy(data_, content.data(), content.size(), cudaMemcpyHostToDevice), cudaSuccess);
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  DeviceBuffer& operator=(DeviceBuffer&&) = delete;
  ~DeviceBuffer() { cudaFree(data_); }

  template <class T = void>
  T* get() const {
    return static_cast<T*>(data_);
  }
  // Waits for the device and checks the guard.
  std::vector<uint8_t> download() const {
    std::vector<uint8_t> content(bytes_ + kGuard);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(content.data(), data_, content.size(), cudaMemcpyDeviceToHost), cudaSuccess);
    for (size_t i = bytes_; i < content.size(); ++i) EXPECT_EQ(content[i], 0xCD) << "written behind the end";
    content.resize(bytes_);
    return content;
  }

 private:
  static constexpr size_t kGuard = 64;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// Elements of a type: on the device, and as the numbers that they are there.
struct DeviceTensor {
  Type type;
  std::vector<double> values;
  DeviceBuffer buffer;
  size_t offset;  // bytes: an address that is not aligned

  DeviceTensor(Type t, const std::vector<double>& wanted, size_t offset_elements = 0)
      : type(t),
        values(wanted),
        buffer(encoded(t, values, offset_elements * static_cast<size_t>(type_size(t)))),
        offset(offset_elements * static_cast<size_t>(type_size(t))) {}
  // Space for a result.
  DeviceTensor(Type t, int64_t count, size_t offset_elements = 0)
      : type(t),
        values(static_cast<size_t>(count)),
        buffer((static_cast<size_t>(count) + offset_elements) * static_cast<size_t>(type_size(t))),
        offset(offset_elements * static_cast<size_t>(type_size(t))) {}

  void* get() const { return buffer.get<uint8_t>() + offset; }
  const float* floats() const { return reinterpret_cast<const float*>(buffer.get<uint8_t>() + offset); }
  float* floats() { return reinterpret_cast<float*>(buffer.get<uint8_t>() + offset); }
  std::vector<uint8_t> bytes() const {
    std::vector<uint8_t> all = buffer.download();
    all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(offset));
    return all;
  }
  const std::vector<double>& download() {
    const std::vector<uint8_t> all = bytes();
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = decode(type, all.data() + i * static_cast<size_t>(type_size(type)));
    return values;
  }

 private:
  static std::vector<uint8_t> encoded(Type t, std::vector<double>& values, size_t offset) {
    const auto size = static_cast<size_t>(type_size(t));
    std::vector<uint8_t> bytes(offset + values.size() * size);
    for (size_t i = 0; i < values.size(); ++i) {
      encode(t, values[i], bytes.data() + offset + i * size);
      values[i] = decode(t, bytes.data() + offset + i * size);
    }
    return bytes;
  }
};

// Normal numbers of this deviation; every 97th is an outlier ten times as large.
inline std::vector<double> random_values(int64_t count, unsigned seed, double deviation = 1,
                                         double mean = 0) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, deviation);
  std::vector<double> v(static_cast<size_t>(count));
  for (size_t i = 0; i < v.size(); ++i) v[i] = mean + normal(random) * (i % 97 == 31 ? 10 : 1);
  return v;
}

// The most that rounding to a type moves a value: half a unit in the last place.
inline double half_step(Type t, double v) {
  switch (t) {
    case Type::kF32:
      return std::fabs(v) * 0x1p-24;
    case Type::kF16:
      return std::fabs(v) * 0x1p-11 + 0x1p-25;
    case Type::kBF16:
      return std::fabs(v) * 0x1p-8;
    case Type::kE4M3:
      return std::fabs(v) * 0x1p-4 + 0x1p-10;
    default:
      return 0.5;
  }
}

// |got − want| ≤ rounding + relative·|want| + absolute (+ own_i) for every element, after saturation to the
// type; NaN matches NaN only. One message, about the worst.
inline void expect_close(Type type, const std::vector<double>& got, const std::vector<double>& want,
                         double relative, double absolute, const std::string& what = "",
                         const std::vector<double>& own = {}) {
  ASSERT_EQ(got.size(), want.size()) << what;
  double worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    double goal = std::isnan(want[i]) ? want[i] : std::fmin(std::fmax(want[i], lowest(type)), highest(type));
    if (type == Type::kF16 && std::fabs(goal) >= 65520) goal = std::copysign(INFINITY, goal);
    if ((std::isnan(goal) && std::isnan(got[i])) || goal == got[i]) continue;
    const double allowed =
        half_step(type, goal) * 1.01 + relative * std::fabs(want[i]) + absolute + (own.empty() ? 0 : own[i]);
    double excess = std::fabs(got[i] - goal) / (allowed + 1e-300);
    if (std::isnan(excess)) excess = INFINITY;
    if (excess > worst) worst = excess, at = i;
  }
  EXPECT_LE(worst, 1.0) << what << " element " << at << " of " << got.size() << ": " << got[at]
                        << " instead of " << want[at];
}

}  // namespace vitrail::cuda
