// SPDX-License-Identifier: Apache-2.0
// What is used of NVIDIA's management library, for two GPUs of which the second one tells little.
#include <cstdio>
#include <cstring>

namespace {
constexpr int kSuccess = 0, kNotSupported = 3, kBadArgument = 2;
int users = 0;
unsigned long long energy = 5000;
int index_of(void* device) { return static_cast<int>(reinterpret_cast<long>(device)) - 1; }
}  // namespace

extern "C" {
int nvmlInit_v2() { return ++users, kSuccess; }
int nvmlShutdown() { return users-- > 0 ? kSuccess : kBadArgument; }
int nvmlDeviceGetCount_v2(unsigned* count) { return *count = 3, kSuccess; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  *device = reinterpret_cast<void*>(static_cast<long>(index) + 1);
  return index < 2 ? kSuccess : kBadArgument;  // the third one has fallen off the bus
}
int nvmlDeviceGetUUID(void* device, char* to, unsigned size) {
  return std::snprintf(to, size, "GPU-%d", index_of(device)) > 0 ? kSuccess : kBadArgument;
}
int nvmlDeviceGetUtilizationRates(void* device, unsigned* percent) {
  percent[0] = 25;
  return index_of(device) == 0 ? kSuccess : kNotSupported;
}
int nvmlDeviceGetMemoryInfo(void* device, unsigned long long* bytes) {
  bytes[0] = 1000;
  bytes[1] = 600;
  bytes[2] = 400;
  return index_of(device) >= 0 ? kSuccess : kBadArgument;
}
int nvmlDeviceGetPowerUsage(void* device, unsigned* milliwatts) {
  *milliwatts = 71500;
  return index_of(device) == 0 ? kSuccess : kNotSupported;
}
int nvmlDeviceGetEnforcedPowerLimit(void* device, unsigned* milliwatts) {
  *milliwatts = 700000;
  return index_of(device) == 0 ? kSuccess : kNotSupported;
}
int nvmlDeviceGetTotalEnergyConsumption(void* device, unsigned long long* millijoules) {
  *millijoules = energy += 1500;
  return index_of(device) == 0 ? kSuccess : kNotSupported;
}
}
