// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/timing.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/half.h"

namespace vitrail::cuda {
namespace {

constexpr int kRounds = 4;
constexpr int64_t kBeyondCache = int64_t{64} << 20;

}  // namespace

Status fill_with_numbers(const DeviceMemory& memory, const std::string& what) {
  std::vector<uint16_t> block(size_t{1} << 20);
  uint32_t state = 12345;
  for (uint16_t& v : block) {
    state = state * 1664525u + 1013904223u;
    v = float_to_half(static_cast<float>(state >> 8) * 0x1p-23f - 1.0f);
  }
  for (size_t at = 0; at < memory.bytes(); at += block.size() * 2)
    VTL_TRY(cuda_status(cudaMemcpy(memory.data() + at, block.data(),
                                   std::min(block.size() * 2, memory.bytes() - at), cudaMemcpyHostToDevice),
                        what));
  return {};
}

int copies_that_leave_the_cache(int64_t bytes, int most) {
  return static_cast<int>(std::clamp<int64_t>(kBeyondCache / bytes, 1, most));
}

Result<double> graph_microseconds(cudaStream_t stream, int count, const std::function<Status(int)>& enqueue,
                                  const std::string& what) {
  VTL_TRY(enqueue(0));
  VTL_TRY(cuda_status(cudaStreamSynchronize(stream), what));
  VTL_TRY(cuda_status(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), what));
  Status status;
  for (int i = 0; i < count && status.ok(); ++i) status = enqueue(i);
  CapturedGraph captured;
  const cudaError_t ended = cudaStreamEndCapture(stream, captured.put());
  VTL_TRY(status);
  VTL_TRY(cuda_status(ended, what));
  GraphExec graph;
  VTL_TRY(cuda_status(cudaGraphInstantiate(graph.put(), captured.get(), 0), what));
  VTL_ASSIGN(const Event from, make_event());
  VTL_ASSIGN(const Event to, make_event());
  std::array<double, kRounds> us{};
  for (double& round : us) {  // the first warms up
    VTL_TRY(cuda_status(cudaEventRecord(from.get(), stream), what));
    VTL_TRY(cuda_status(cudaGraphLaunch(graph.get(), stream), what));
    VTL_TRY(cuda_status(cudaEventRecord(to.get(), stream), what));
    VTL_TRY(cuda_status(cudaEventSynchronize(to.get()), what));
    float ms = 0;
    VTL_TRY(cuda_status(cudaEventElapsedTime(&ms, from.get(), to.get()), what));
    round = static_cast<double>(ms) * 1e3 / count;
  }
  std::sort(us.begin() + 1, us.end());
  return us[kRounds / 2];
}

}  // namespace vitrail::cuda
