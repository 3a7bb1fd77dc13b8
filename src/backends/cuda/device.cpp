// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/device.h"

#include <algorithm>
#include <cstring>
#include <sstream>

#include "core/error.h"

namespace vitrail::cuda {
namespace {

Result<Device> query() {
  int count = 0;
  VTL_TRY(cuda_status(cudaGetDeviceCount(&count), "CUDA"));
  if (count == 0) return cuda_status(cudaErrorNoDevice, "CUDA");
  int id = 0;
  cudaDeviceProp properties{};
  VTL_TRY(cuda_status(cudaGetDevice(&id), "CUDA"));
  VTL_TRY(cuda_status(cudaGetDeviceProperties(&properties, id), "CUDA"));
  Device device;
  device.name = properties.name;
  device.cc = properties.major * 10 + properties.minor;
  device.multiprocessors = properties.multiProcessorCount;
  device.memory = properties.totalGlobalMem;
  VTL_TRY(cuda_status(cudaDriverGetVersion(&device.driver), "CUDA"));
  VTL_TRY(cuda_status(cudaRuntimeGetVersion(&device.runtime), "CUDA"));
  return device;
}

}  // namespace

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

std::string driver_version(const std::string& text) {
  std::istringstream words(text);
  for (std::string word; words >> word;)
    if (word.find('.') != std::string::npos && word.find_first_not_of("0123456789.") == std::string::npos)
      return word;
  return "";
}

Status cuda_status(cudaError_t error, const std::string& where) {
  if (error == cudaSuccess) return {};
  (void)cudaGetLastError();  // clears it, so that the next call does not report it again
  const char* text = cudaGetErrorString(error);
  switch (error) {
    case cudaErrorMemoryAllocation:
      return resource_error("{}: the GPU is out of memory; give a smaller --profile or fewer streams", where);
    case cudaErrorNoDevice:
      return unavailable("{}: no NVIDIA device is visible (nvidia-smi lists them)", where);
    case cudaErrorInsufficientDriver:
    case cudaErrorStubLibrary:
    case cudaErrorSystemNotReady:
    case cudaErrorSystemDriverMismatch:
      return unavailable("{}: no NVIDIA driver, or one older than CUDA {} needs ({})", where,
                         version_text(CUDART_VERSION), text);
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
      return unavailable(
          "{}: this build holds no kernels for this GPU; configure with -DVITRAIL_CUDA_ARCHITECTURES=native "
          "({})",
          where, text);
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorECCUncorrectable:
    case cudaErrorContextIsDestroyed:
    case cudaErrorDevicesUnavailable:
    case cudaErrorAssert:
      return internal_error("{}: {}; the CUDA context is lost; load the engine again", where, text);
    default:
      return internal_error("{}: {}: {}", where, cudaGetErrorName(error), text);
  }
}

Result<Device> current_device() {
  // A failure is asked for again: a driver may be loaded later.
  static thread_local std::pair<int, Device> known{-1, {}};
  int id = -1;
  if (known.first >= 0 && cudaGetDevice(&id) == cudaSuccess && id == known.first) return known.second;
  VTL_ASSIGN(Device device, query());
  VTL_TRY(cuda_status(cudaGetDevice(&id), "CUDA"));
  known = {id, device};
  return device;
}

Result<Stream> make_stream() {
  Stream stream;
  VTL_TRY(cuda_status(cudaStreamCreateWithFlags(stream.put(), cudaStreamNonBlocking), "a CUDA stream"));
  return stream;
}

Result<Event> make_event() {
  Event event;
  VTL_TRY(cuda_status(cudaEventCreate(event.put()), "a CUDA event"));
  return event;
}

Result<DeviceMemory> allocate_device(size_t bytes, const std::string& what) {
  void* data = nullptr;
  bytes = std::max<size_t>(bytes, 1);
  const cudaError_t error = cudaMalloc(&data, bytes);
  if (error == cudaErrorMemoryAllocation) {
    size_t free = 0, total = 0;
    (void)cudaGetLastError();
    (void)cudaMemGetInfo(&free, &total);
    return resource_error(
        "{}: {} bytes of GPU memory are needed, {} of {} are free; give a smaller --profile or "
        "fewer streams, or end what else runs there",
        what, bytes, free, total);
  }
  VTL_TRY(cuda_status(error, what));
  DeviceMemory memory(data, bytes);
  VTL_TRY(cuda_status(cudaMemset(data, 0, bytes), what));
  return memory;
}

Result<PinnedMemory> allocate_pinned(size_t bytes, const std::string& what) {
  void* data = nullptr;
  bytes = std::max<size_t>(bytes, 1);
  VTL_TRY(cuda_status(cudaMallocHost(&data, bytes), what));
  std::memset(data, 0, bytes);
  return PinnedMemory(data, bytes);
}

}  // namespace vitrail::cuda
