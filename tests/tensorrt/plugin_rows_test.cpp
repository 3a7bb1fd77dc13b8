// SPDX-License-Identifier: Apache-2.0
// On a GPU: what the plugins compute of rows [R, columns, 1, 1] is, to the bit, what they compute of [B, S, columns], and GELU is
// GELU. The kernels themselves are held against the reference in tests/cuda.
#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <random>

#include "backends/cuda/device.h"
#include "backends/tensorrt/module/plugin_kinds.h"

namespace vitrail::tensorrt {
namespace {

constexpr int kBatch = 3, kTokens = 17, kColumns = 192;

// Floats on the GPU.
class Buffer {
 public:
  explicit Buffer(const std::vector<float>& host) : count_(host.size()) {
    EXPECT_EQ(cudaMalloc(&data_, count_ * sizeof(float)), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(data_, host.data(), count_ * sizeof(float), cudaMemcpyHostToDevice), cudaSuccess);
  }
  ~Buffer() { cudaFree(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  void* get() const { return data_; }
  std::vector<float> host() const {
    std::vector<float> out(count_);
    EXPECT_EQ(cudaMemcpy(out.data(), data_, count_ * sizeof(float), cudaMemcpyDeviceToHost), cudaSuccess);
    return out;
  }

 private:
  void* data_ = nullptr;
  size_t count_;
};

nv::PluginTensorDesc desc(std::initializer_list<int> extents) {
  nv::PluginTensorDesc d{};
  d.type = nv::DataType::kFLOAT;
  d.format = nv::TensorFormat::kLINEAR;
  for (int e : extents) d.dims.d[d.dims.nbDims++] = e;
  return d;
}
nv::PluginTensorDesc whole(int columns) { return desc({kBatch, kTokens, columns}); }
nv::PluginTensorDesc rows(int columns) { return desc({kBatch * kTokens, columns, 1, 1}); }

std::vector<float> normal(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution;
  std::vector<float> v(count);
  for (float& x : v) x = distribution(random);
  return v;
}

std::vector<std::vector<float>> run(std::string_view name, const PluginNumbers& numbers,
                                    const std::vector<nv::PluginTensorDesc>& in,
                                    const std::vector<std::vector<float>>& values, size_t out_count) {
  for (const PluginKind& kind : plugin_kinds()) {
    if (kind.name != name) continue;
    std::deque<Buffer> buffers;
    std::vector<const void*> inputs;
    std::vector<void*> outputs;
    for (const auto& v : values) inputs.push_back(buffers.emplace_back(v).get());
    const size_t first = buffers.size();
    const std::vector<float> poison(out_count, std::nanf(""));
    for (int i = 0; i < kind.outputs; ++i) outputs.push_back(buffers.emplace_back(poison).get());
    EXPECT_EQ(kind.run(numbers, in.data(), inputs.data(), outputs.data(), nullptr), cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    std::vector<std::vector<float>> results;
    for (size_t i = first; i < buffers.size(); ++i) results.push_back(buffers[i].host());
    return results;
  }
  ADD_FAILURE() << "no plugin " << name;
  return {};
}

#define VTL_NEEDS_GPU()                                                                                        \
  if (plugin_kinds().empty()) GTEST_SKIP() << "Vitrail's kernels are not compiled in (VITRAIL_CUDA)";          \
  if (const auto device = cuda::current_device(); !device.ok()) GTEST_SKIP() << device.status().message()

TEST(PluginRows, AttentionIsThatOfTheWholeTensor) {
  VTL_NEEDS_GPU();
  AttentionNumbers numbers{3, 64, 64, 0, kColumns, 2 * kColumns, 0.125f};
  const std::vector<std::vector<float>> qkv(3, normal(size_t{kBatch} * kTokens * 3 * kColumns, 1));
  const size_t count = size_t{kBatch} * kTokens * kColumns;
  const auto expected = run(kAttentionPlugin, numbers.packed(), std::vector(3, whole(3 * kColumns)), qkv, count);
  numbers.tokens = kTokens;
  EXPECT_EQ(run(kAttentionPlugin, numbers.packed(), std::vector(3, rows(3 * kColumns)), qkv, count), expected);
  EXPECT_TRUE(std::isfinite(expected.at(0).back()));
}

TEST(PluginRows, LayerNormIsThatOfTheWholeTensor) {
  VTL_NEEDS_GPU();
  const size_t count = size_t{kBatch} * kTokens * kColumns;
  const std::vector<float> x = normal(count, 2), gamma = normal(kColumns, 3), beta = normal(kColumns, 4);
  const auto numbers = layer_norm_numbers(1e-6f);
  const auto vector = desc({kColumns});
  const auto expected = run(kLayerNormPlugin, numbers, {whole(kColumns), vector, vector}, {x, gamma, beta}, count);
  EXPECT_EQ(run(kLayerNormPlugin, numbers, {rows(kColumns), vector, vector}, {x, gamma, beta}, count), expected);
  EXPECT_TRUE(std::isfinite(expected.at(0).back()));
}

// A table of positions, which every image adds again.
TEST(PluginRows, ASumRepeatsItsTable) {
  VTL_NEEDS_GPU();
  const size_t count = size_t{kBatch} * kTokens * kColumns;
  const std::vector<float> x = normal(count, 5), gamma = normal(kColumns, 6), beta = normal(kColumns, 7);
  const std::vector<float> table = normal(size_t{kTokens} * kColumns, 8);
  const auto numbers = layer_norm_numbers(1e-6f);
  const auto vector = desc({kColumns});
  const auto expected = run(kAddLayerNormPlugin, numbers, {whole(kColumns), desc({1, kTokens, kColumns}), vector, vector},
                            {x, table, gamma, beta}, count);
  EXPECT_EQ(run(kAddLayerNormPlugin, numbers, {rows(kColumns), desc({kTokens, kColumns, 1, 1}), vector, vector},
                {x, table, gamma, beta}, count),
            expected);
  for (size_t i = 0; i < count; ++i) ASSERT_EQ(expected.at(0)[i], x[i] + table[i % table.size()]) << i;
}

TEST(PluginRows, GeluIsGelu) {
  VTL_NEEDS_GPU();
  const std::vector<float> x = normal(size_t{kBatch} * kTokens * kColumns, 9);
  for (bool tanh : {false, true}) {
    const auto y = run(kGeluPlugin, gelu_numbers(tanh), {rows(kColumns)}, {x}, x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      const double v = x[i], inner = 0.7978845608028654 * (v + 0.044715 * v * v * v);
      const double expected = 0.5 * v * (1 + (tanh ? std::tanh(inner) : std::erf(v * 0.7071067811865476)));
      ASSERT_NEAR(y.at(0)[i], expected, 2e-6) << x[i] << " by " << (tanh ? "tanh" : "erf");
    }
  }
}

}  // namespace
}  // namespace vitrail::tensorrt
