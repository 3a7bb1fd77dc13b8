// SPDX-License-Identifier: Apache-2.0
#include "serve/nvml.h"

#include <dlfcn.h>

namespace vitrail::serve {
namespace {

// As nvml.h of the CUDA toolkit declares them; the ABI is stable.
using Device = struct DeviceHandle*;
struct Utilization {
  unsigned gpu, memory;  // percent
};
struct Memory {
  unsigned long long total, free, used;  // bytes
};
constexpr int kSuccess = 0;
constexpr unsigned kUuidBytes = 96;  // NVML_DEVICE_UUID_V2_BUFFER_SIZE

template <class T>
bool find(void* library, const char* name, T& to) {
  to = reinterpret_cast<T>(::dlsym(library, name));
  return to != nullptr;
}

}  // namespace

struct Nvml::Functions {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*device)(unsigned, Device*) = nullptr;
  int (*uuid)(Device, char*, unsigned) = nullptr;
  int (*utilization)(Device, Utilization*) = nullptr;
  int (*memory)(Device, Memory*) = nullptr;
  int (*power)(Device, unsigned*) = nullptr;        // milliwatts
  int (*power_limit)(Device, unsigned*) = nullptr;  // milliwatts
  int (*energy)(Device, unsigned long long*) = nullptr;  // millijoules

  bool load(void* library) {
    return find(library, "nvmlInit_v2", init) && find(library, "nvmlShutdown", shutdown) &&
           find(library, "nvmlDeviceGetCount_v2", count) && find(library, "nvmlDeviceGetHandleByIndex_v2", device) &&
           find(library, "nvmlDeviceGetUUID", uuid) &&
           find(library, "nvmlDeviceGetUtilizationRates", utilization) &&
           find(library, "nvmlDeviceGetMemoryInfo", memory) && find(library, "nvmlDeviceGetPowerUsage", power) &&
           find(library, "nvmlDeviceGetEnforcedPowerLimit", power_limit) &&
           find(library, "nvmlDeviceGetTotalEnergyConsumption", energy);
  }
};

Nvml::Nvml() : functions_(std::make_unique<Functions>()) {}

std::unique_ptr<Nvml> Nvml::open(const std::string& library) {
  std::unique_ptr<Nvml> nvml(new Nvml);
  void* const opened = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!opened) return nullptr;
  if (!nvml->functions_->load(opened) || nvml->functions_->init() != kSuccess) {
    ::dlclose(opened);
    return nullptr;
  }
  nvml->library_ = opened;  // from here on there is something to end
  return nvml;
}

Nvml::~Nvml() {
  if (!library_) return;
  functions_->shutdown();
  ::dlclose(library_);
}

std::vector<GpuState> Nvml::read() const {
  const Functions& f = *functions_;
  std::vector<GpuState> all;
  unsigned count = 0;
  if (f.count(&count) != kSuccess) return all;
  for (unsigned i = 0; i < count; ++i) {
    Device device = nullptr;
    char uuid[kUuidBytes] = "";
    if (f.device(i, &device) != kSuccess || f.uuid(device, uuid, sizeof uuid) != kSuccess) continue;
    GpuState gpu;
    gpu.uuid = uuid;
    Utilization utilization{};
    if (f.utilization(device, &utilization) == kSuccess) gpu.utilization = utilization.gpu * 0.01;
    Memory memory{};
    if (f.memory(device, &memory) == kSuccess) gpu.total_bytes = memory.total, gpu.used_bytes = memory.used;
    unsigned milliwatts = 0;
    if (f.power(device, &milliwatts) == kSuccess) gpu.power_watts = milliwatts * 1e-3;
    if (f.power_limit(device, &milliwatts) == kSuccess) gpu.power_limit_watts = milliwatts * 1e-3;
    unsigned long long millijoules = 0;
    if (f.energy(device, &millijoules) == kSuccess) gpu.energy_joules = static_cast<double>(millijoules) * 1e-3;
    all.push_back(std::move(gpu));
  }
  return all;
}

}  // namespace vitrail::serve
