// SPDX-License-Identifier: Apache-2.0
#include "preprocess/resample.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace vitrail::resample {
namespace {

void horizontal(const uint8_t* in, size_t stride, int rows, const Taps::View& taps, uint8_t* out) {
  const int32_t half = 1 << (taps.bits - 1);
  for (int y = 0; y < rows; ++y, in += stride)
    for (int x = 0; x < taps.count; ++x) {
      const Taps::Window& window = taps.windows[x];
      const int32_t* w = &taps.weights[window.weights];
      const uint8_t* from = in + size_t{3} * static_cast<size_t>(window.first);
      int32_t r = half, g = half, b = half;
      for (int i = 0; i < window.count; ++i, from += 3) {
        r += from[0] * w[i];
        g += from[1] * w[i];
        b += from[2] * w[i];
      }
      for (int32_t sum : {r, g, b}) *out++ = static_cast<uint8_t>(std::clamp(sum >> taps.bits, 0, 255));
    }
}

void vertical(const uint8_t* in, size_t stride, const Taps::View& taps, const Taps::Window& window, size_t bytes,
              uint8_t* out) {
  constexpr size_t kBlock = 256;  // sums that stay in the first cache
  int32_t sums[kBlock];
  for (size_t x = 0; x < bytes; x += kBlock) {
    const size_t n = std::min(kBlock, bytes - x);
    std::fill_n(sums, n, 1 << (taps.bits - 1));
    for (int i = 0; i < window.count; ++i) {
      const uint8_t* from = in + stride * static_cast<size_t>(i) + x;
      const int32_t w = taps.weights[window.weights + static_cast<size_t>(i)];
      for (size_t k = 0; k < n; ++k) sums[k] += from[k] * w;
    }
    for (size_t k = 0; k < n; ++k) out[x + k] = static_cast<uint8_t>(std::clamp(sums[k] >> taps.bits, 0, 255));
  }
}

std::vector<const Kernels*> find() {
  std::vector<const Kernels*> found{&kScalar};
#if defined(__x86_64__)
  // The built-ins also ask the operating system whether it saves the wide registers.
  if (__builtin_cpu_supports("avx2") && avx2_kernels()) found.push_back(avx2_kernels());
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512f") && avx512_kernels())
    found.push_back(avx512_kernels());
#endif
  return found;
}

}  // namespace

constinit const Kernels kScalar{"scalar", horizontal, vertical};

std::span<const Kernels* const> available() {
  static const std::vector<const Kernels*> kFound = find();
  return kFound;
}

void Resampler::horizontal(std::span<const uint8_t> in, size_t stride, int rows, const Taps& taps,
                           uint8_t* out) const {
  const Kernels& k = taps.pairs.empty() ? kScalar : kernels;
  const Taps::View view = taps.view();
  const size_t used = size_t{3} * static_cast<size_t>(taps.end), width = size_t{3} * taps.windows.size();
  // The last lines may be followed by less memory than the kernels read: those are copied.
  int safe = rows;
  while (safe > 0 && stride * static_cast<size_t>(safe - 1) + used + kSlack > in.size()) --safe;
  k.horizontal(in.data(), stride, safe, view, out);
  if (safe == rows) return;
  std::vector<uint8_t> copies((used + kSlack) * static_cast<size_t>(rows - safe));
  for (int y = safe; y < rows; ++y)
    std::memcpy(&copies[(used + kSlack) * static_cast<size_t>(y - safe)],
                in.data() + stride * static_cast<size_t>(y), used);
  k.horizontal(copies.data(), used + kSlack, rows - safe, view, out + width * static_cast<size_t>(safe));
}

void Resampler::vertical(const uint8_t* in, size_t stride, const Taps& taps, const Taps::Window& window, size_t bytes,
                         uint8_t* out) const {
  (taps.pairs.empty() ? kScalar : kernels).vertical(in, stride, taps.view(), window, bytes, out);
}

}  // namespace vitrail::resample
