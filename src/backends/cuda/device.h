// SPDX-License-Identifier: Apache-2.0
// The CUDA runtime behind Status and RAII.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "vitrail/status.h"

namespace vitrail::cuda {

// What a failure of the runtime means for the user; `where` is "layer 'x'" or what was under way.
Status cuda_status(cudaError_t error, const std::string& where);

struct Device {
  std::string name;
  int cc = 0;  // compute capability, 90 for 9.0
  int multiprocessors = 0;
  size_t memory = 0;
  int driver = 0, runtime = 0;  // as CUDA counts them: 13010 is 13.1

  bool has_fp8() const { return cc >= 89; }
  // Whether Vitrail's own matrix kernels run here: they use instructions of this one generation.
  bool has_wgmma() const { return cc == 90; }
};

// The current device, asked once. kUnavailable when there is no driver or no device.
Result<Device> current_device();

std::string version_text(int version);  // 13010 -> "13.1"
// The number in /proc/driver/nvidia/version: "… Kernel Module  580.159.04  Tue …" -> "580.159.04"; empty
// without one.
std::string driver_version(const std::string& text);

// One resource of the runtime: destroyed at the end of its life.
template <class Handle, cudaError_t (*Destroy)(Handle)>
class Owned {
 public:
  Owned() = default;
  Owned(Owned&& o) noexcept : handle_(std::exchange(o.handle_, nullptr)) {}
  Owned& operator=(Owned&& o) noexcept {
    std::swap(handle_, o.handle_);
    return *this;
  }
  ~Owned() {
    if (handle_) (void)Destroy(handle_);
  }
  Handle get() const { return handle_; }
  Handle* put() { return &handle_; }
  explicit operator bool() const { return handle_ != nullptr; }

 private:
  Handle handle_ = nullptr;
};
using Stream = Owned<cudaStream_t, cudaStreamDestroy>;
using Event = Owned<cudaEvent_t, cudaEventDestroy>;
using CapturedGraph = Owned<cudaGraph_t, cudaGraphDestroy>;
using GraphExec = Owned<cudaGraphExec_t, cudaGraphExecDestroy>;

Result<Stream> make_stream();
Result<Event> make_event();  // that can be timed

template <cudaError_t (*Free)(void*)>
class Memory {
 public:
  Memory() = default;
  Memory(void* data, size_t bytes) : data_(data), bytes_(bytes) {}
  Memory(Memory&& o) noexcept : data_(std::exchange(o.data_, nullptr)), bytes_(o.bytes_) {}
  Memory& operator=(Memory&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(bytes_, o.bytes_);
    return *this;
  }
  ~Memory() {
    if (data_) (void)Free(data_);
  }
  std::byte* data() const { return static_cast<std::byte*>(data_); }
  size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};
using DeviceMemory = Memory<cudaFree>;
using PinnedMemory = Memory<cudaFreeHost>;

// At least one byte each, zeroed. kResource with what was wanted and what is free.
Result<DeviceMemory> allocate_device(size_t bytes, const std::string& what);
Result<PinnedMemory> allocate_pinned(size_t bytes, const std::string& what);

}  // namespace vitrail::cuda
