// SPDX-License-Identifier: Apache-2.0
// The epilogue behind library products, and the patches in front of them.
#include <cmath>
#include <cstdint>

#include "backends/cuda/kernels/elementwise.h"
#include "backends/cuda/kernels/patches.h"
#include "cuda/device_buffer.h"

namespace vitrail::cuda {
namespace {

struct EpilogueKernel : CudaTest {};
struct PatchesKernel : CudaTest {};

double activated(Activation a, double x) {
  switch (a) {
    case Activation::kGelu:
      return 0.5 * x * std::erfc(-x * std::sqrt(0.5));
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case Activation::kRelu:
      return std::fmax(x, 0);
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
    default:
      return x;
  }
}

void check_epilogue(Type from, Type to, int64_t rows, int64_t columns, Activation activation, int parts,
                    int64_t residual_rows) {
  const Type residual_type = from == Type::kF16 ? Type::kF16 : to == Type::kBF16 ? Type::kBF16 : Type::kF32;
  const DeviceTensor x(from, random_values(rows * columns, 1)), bias(Type::kF32, random_values(columns, 2)),
      scale(Type::kF32, random_values(columns, 3, 0.1, 1)),
      residual(residual_type, random_values(residual_rows * columns, 4));
  DeviceTensor y(to, rows * columns);
  EpilogueArgs a{.x = x.get(), .y = y.get(), .rows = rows, .columns = columns, .from = from, .to = to};
  a.activation = activation;
  a.exact = to == Type::kF32;
  if (parts & 1) a.bias = bias.floats();
  if (parts & 2) a.col_scale = scale.floats();
  if (parts & 4)
    a.residual = residual.get(), a.residual_type = residual_type, a.residual_rows = residual_rows;
  const bool bytes = type_size(to) == 1;
  if (bytes) a.out_scale = 12, a.out_zero = to == Type::kU8 ? 100 : -4;
  ASSERT_EQ(launch_epilogue(a, nullptr, false), cudaSuccess);
  std::vector<double> want = x.values;
  for (size_t i = 0; i < want.size(); ++i) {
    const auto c = i % static_cast<size_t>(columns), r = i / static_cast<size_t>(columns);
    double v = want[i];
    if (parts & 2) v *= scale.values[c];
    if (parts & 1) v += bias.values[c];
    v = activated(activation, v);
    if (parts & 4)
      v += residual.values[r % static_cast<size_t>(residual_rows) * static_cast<size_t>(columns) + c];
    want[i] = bytes ? v * double{a.out_scale} + double{a.out_zero} : v;
  }
  expect_close(to, y.download(), want, 3e-6, bytes ? 3e-4 : 1.2e-5,
               "epilogue of " + std::to_string(rows) + "x" + std::to_string(columns));
}

TEST_F(EpilogueKernel, MatchesTheDefinition) {
  for (Type from : {Type::kF32, Type::kF16, Type::kBF16})
    for (Type to : {Type::kF32, Type::kF16, Type::kBF16, Type::kE4M3, Type::kS8, Type::kU8})
      for (int64_t columns : {100, 384, 1000})
        for (int parts = 0; parts < 8; ++parts)
          check_epilogue(from, to, 37, columns, Activation::kNone, parts, 37);
  for (int a = 0; a <= static_cast<int>(Activation::kTanh); ++a)
    for (Type to : {Type::kF32, Type::kF16})
      check_epilogue(Type::kF32, to, 19, 96, static_cast<Activation>(a), 7, 5);
  check_epilogue(Type::kF16, Type::kF16, 17000, 264, Activation::kGelu, 7, 197);  // several rows a warp
}

// The library's int8 products leave int32 sums.
TEST_F(EpilogueKernel, IntegerSums) {
  const int64_t rows = 5, columns = 200;
  std::vector<int32_t> sums(static_cast<size_t>(rows * columns));
  for (size_t i = 0; i < sums.size(); ++i) sums[i] = static_cast<int32_t>(i * 7919 % 200001) - 100000;
  std::vector<uint8_t> raw(sums.size() * sizeof(int32_t));
  std::memcpy(raw.data(), sums.data(), raw.size());
  const DeviceBuffer x(raw);
  const DeviceTensor scale(Type::kF32, std::vector<double>(static_cast<size_t>(columns), 0x1p-12));
  DeviceTensor y(Type::kF16, rows * columns);
  ASSERT_EQ(launch_epilogue({.x = x.get(),
                             .col_scale = scale.floats(),
                             .y = y.get(),
                             .rows = rows,
                             .columns = columns,
                             .from = Type::kS8,
                             .to = Type::kF16},
                            nullptr, false),
            cudaSuccess);
  std::vector<double> want(sums.size());
  for (size_t i = 0; i < sums.size(); ++i) want[i] = sums[i] * 0x1p-12;
  expect_close(Type::kF16, y.download(), want, 0, 0);
}

void check_patches(Type image_type, Type type, int64_t batch, int channels, int height, int width,
                   int patch_h, int patch_w, int prefix, int64_t k_padded) {
  const bool raw = image_type == Type::kU8;
  const DeviceTensor image(image_type,
                           random_values(batch * channels * height * width, 5, raw ? 60 : 1, raw ? 128 : 0));
  const int grid_h = height / patch_h, grid_w = width / patch_w, tokens = prefix + grid_h * grid_w;
  DeviceTensor y(type, batch * tokens * k_padded);
  PatchesArgs a{
      .image = image.get(), .image_type = image_type, .rows = y.get(), .type = type, .batch = batch};
  a.channels = channels, a.height = height, a.width = width, a.patch_h = patch_h, a.patch_w = patch_w,
  a.prefix = prefix;
  a.k_padded = k_padded;
  for (int c = 0; c < 4; ++c)
    a.scale[c] = 0.01f * static_cast<float>(c + 1), a.shift[c] = 0.5f - static_cast<float>(c);
  const bool bytes = type_size(type) == 1;
  if (bytes) a.out_scale = 30, a.out_zero = 7;
  ASSERT_EQ(launch_patches(a, nullptr, false), cudaSuccess);
  std::vector<double> want(y.values.size());
  for (int64_t b = 0; b < batch; ++b)
    for (int p = 0; p < grid_h * grid_w; ++p)
      for (int c = 0; c < channels; ++c)
        for (int i = 0; i < patch_h * patch_w; ++i) {
          const int row = p / grid_w * patch_h + i / patch_w, column = p % grid_w * patch_w + i % patch_w;
          const int64_t at = raw ? ((b * height + row) * width + column) * channels + c
                                 : ((b * channels + c) * height + row) * width + column;
          double v = image.values[static_cast<size_t>(at)];
          if (raw) v = v * double{a.scale[c]} + double{a.shift[c]};
          want[static_cast<size_t>((b * tokens + prefix + p) * k_padded + c * patch_h * patch_w + i)] = v;
        }
  if (bytes)
    for (double& v : want) v = v * 30 + 7;
  expect_close(type, y.download(), want, 2e-6, 2e-5, "patches of " + std::to_string(patch_h));
}

TEST_F(PatchesKernel, MatchTheDefinition) {
  for (Type image : {Type::kF32, Type::kU8})
    for (Type type : {Type::kF32, Type::kF16, Type::kBF16, Type::kE4M3, Type::kS8}) {
      check_patches(image, type, 2, 3, 64, 48, 16, 16, 1, 768);
      check_patches(image, type, 2, 3, 56, 42, 14, 14, 5, 592);  // 588 padded, runs over line ends
      check_patches(image, type, 1, 3, 33, 35, 8, 8, 0,
                    200);  // lines that are not aligned, a border left over
      check_patches(image, type, 3, 1, 21, 30, 7, 5, 2, 35);      // scalar
      check_patches(image, type, 1, 4, 32, 32, 32, 32, 1, 4096);  // one patch an image
    }
}

}  // namespace
}  // namespace vitrail::cuda
