// SPDX-License-Identifier: Apache-2.0
// How long work on the device takes; shared by the tuner and by the library's times.
#pragma once

#include <functional>
#include <string>

#include "backends/cuda/device.h"

namespace vitrail::cuda {

// Numbers of ordinary size in half precision: zeros would draw less power, and so run faster, than what
// comes.
Status fill_with_numbers(const DeviceMemory& memory, const std::string& what);

// Weights of small batches come from device memory in a model: so many copies of `bytes` take turns, at most
// `most`.
int copies_that_leave_the_cache(int64_t bytes, int most);

// Microseconds of one of `count` pieces of work, median of a few rounds, in a CUDA graph as they will run:
// launched one by one, small kernels take as long as the host needs for each. `enqueue(i)` puts piece i into
// the stream.
Result<double> graph_microseconds(cudaStream_t stream, int count, const std::function<Status(int)>& enqueue,
                                  const std::string& what);

}  // namespace vitrail::cuda
