// SPDX-License-Identifier: Apache-2.0
#include "serve/system_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/files.h"

namespace vitrail::serve {
namespace {

constexpr size_t kMostProc = 1 << 20;

// The next number at or behind `at`, which moves behind it; nothing at the line's end.
std::optional<uint64_t> next_number(std::string_view text, size_t& at) {
  while (at < text.size() && text[at] == ' ') ++at;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  at = static_cast<size_t>(end - text.data());
  return value;
}

std::optional<uint64_t> kilobytes(std::string_view meminfo, std::string_view name) {
  const size_t found = meminfo.find(name);
  if (found == std::string_view::npos) return std::nullopt;
  size_t at = found + name.size();
  return next_number(meminfo, at);
}

std::string proc(const char* path) {
  auto text = read_file(path, kMostProc);
  return text.ok() ? std::move(*text) : std::string();
}

void head(std::string& to, std::string_view name, std::string_view type, std::string_view help) {
  to += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

template <class T>
void gauge(std::string& to, std::string_view name, std::string_view help, T value) {
  head(to, name, "gauge", help);
  to += fmt::format("{} {}\n", name, value);
}

// One line for each GPU that tells it; nothing at all when none does.
template <class F>
void of_gpus(std::string& to, const std::vector<GpuState>& gpus, std::string_view name, std::string_view type,
             std::string_view help, F&& value) {
  bool first = true;
  for (const GpuState& gpu : gpus) {
    const auto v = value(gpu);
    if (!v) continue;
    if (first) head(to, name, type, help);
    first = false;
    to += fmt::format("{}{{gpu_uuid=\"{}\"}} {}\n", name, gpu.uuid, *v);
  }
}

}  // namespace

std::optional<CpuTimes> read_cpu_times(std::string_view stat) {
  constexpr std::string_view kName = "cpu ";
  constexpr size_t kIdle = 3, kWaiting = 4, kGuest = 8;  // of user nice system idle iowait irq softirq steal guest …
  if (!stat.starts_with(kName)) return std::nullopt;
  const std::string_view line = stat.substr(0, stat.find('\n'));
  size_t at = kName.size();
  CpuTimes times;
  size_t i = 0;
  for (; i < kGuest; ++i) {  // guests' time is in user already
    const auto ticks = next_number(line, at);
    if (!ticks) break;
    times.total += *ticks;
    if (i != kIdle && i != kWaiting) times.busy += *ticks;
  }
  return i > kIdle ? std::optional(times) : std::nullopt;
}

std::optional<MemoryState> read_memory_state(std::string_view meminfo) {
  const auto total = kilobytes(meminfo, "MemTotal:"), available = kilobytes(meminfo, "MemAvailable:");
  if (!total || !available || *available > *total) return std::nullopt;
  return MemoryState{*total * 1024, (*total - *available) * 1024};
}

SystemMetrics::SystemMetrics(std::unique_ptr<Nvml> nvml) : nvml_(std::move(nvml)) {
  last_ = read_cpu_times(proc("/proc/stat")).value_or(CpuTimes());
  if (nvml_) start_ = nvml_->read();
}

std::string SystemMetrics::text() {
  const std::lock_guard lock(mutex_);
  std::string to;
  if (const auto now = read_cpu_times(proc("/proc/stat"))) {
    if (now->total > last_.total && now->busy >= last_.busy)
      utilization_ = std::min(1.0, static_cast<double>(now->busy - last_.busy) / static_cast<double>(now->total - last_.total));
    last_ = *now;
    gauge(to, "nv_cpu_utilization", "CPU utilization rate [0.0 - 1.0]", utilization_);
  }
  if (const auto memory = read_memory_state(proc("/proc/meminfo"))) {
    gauge(to, "nv_cpu_memory_total_bytes", "CPU total memory (RAM), in bytes", memory->total_bytes);
    gauge(to, "nv_cpu_memory_used_bytes", "CPU used memory (RAM), in bytes", memory->used_bytes);
  }
  if (!nvml_) return to;
  const std::vector<GpuState> gpus = nvml_->read();
  of_gpus(to, gpus, "nv_gpu_utilization", "gauge", "GPU utilization rate [0.0 - 1.0)", [](const GpuState& g) { return g.utilization; });
  of_gpus(to, gpus, "nv_gpu_memory_total_bytes", "gauge", "GPU total memory, in bytes", [](const GpuState& g) { return g.total_bytes; });
  of_gpus(to, gpus, "nv_gpu_memory_used_bytes", "gauge", "GPU used memory, in bytes", [](const GpuState& g) { return g.used_bytes; });
  of_gpus(to, gpus, "nv_gpu_power_usage", "gauge", "GPU power usage in watts", [](const GpuState& g) { return g.power_watts; });
  of_gpus(to, gpus, "nv_gpu_power_limit", "gauge", "GPU power management limit in watts", [](const GpuState& g) { return g.power_limit_watts; });
  of_gpus(to, gpus, "nv_energy_consumption", "counter", "GPU energy consumption in joules since the server started",
          [&](const GpuState& g) -> std::optional<double> {
            const auto it = std::ranges::find(start_, g.uuid, &GpuState::uuid);
            if (it == start_.end() || !it->energy_joules || !g.energy_joules) return std::nullopt;
            return std::max(0.0, *g.energy_joules - *it->energy_joules);
          });
  return to;
}

}  // namespace vitrail::serve
