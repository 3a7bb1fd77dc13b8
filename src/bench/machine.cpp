// SPDX-License-Identifier: Apache-2.0
#include "bench/machine.h"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string_view>

#include "core/thread_pool.h"

namespace vitrail {
namespace {

constexpr std::array<std::string_view, 20> kFlags = {
    "sse4_2",   "avx",      "avx2",        "fma",      "f16c",          "avx512f",     "avx512bw",
    "avx512dq", "avx512vl", "avx512_vnni", "avx_vnni", "avx_vnni_int8", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_bf16", "amx_int8",    "asimd",    "sve",           "i8mm"};

// The text after "key<blanks>:" when the line starts so.
bool field(const std::string& line, std::string_view key, std::string& value) {
  const size_t colon = line.find(':');
  if (!line.starts_with(key) || colon == std::string::npos) return false;
  if (line.find_first_not_of(" \t", key.size()) != colon) return false;
  const size_t start = line.find_first_not_of(" \t", colon + 1);
  value = start == std::string::npos ? "" : line.substr(start);
  return true;
}

void read_cpuinfo(Machine& machine) {
  std::ifstream file("/proc/cpuinfo");
  std::string line, value;
  while (std::getline(file, line) && (machine.cpu.empty() || machine.isa_flags.empty())) {
    if (machine.cpu.empty() && field(line, "model name", value)) machine.cpu = value;
    if (!field(line, "flags", value) && !field(line, "Features", value)) continue;
    std::istringstream words(value);
    for (std::string word; words >> word;) {
      if (std::ranges::find(kFlags, word) != kFlags.end()) machine.isa_flags.push_back(word);
    }
  }
}

}  // namespace

Machine this_machine() {
  Machine machine;
  machine.cores = available_cores();
  read_cpuinfo(machine);
  std::ifstream meminfo("/proc/meminfo");
  for (std::string line, value; std::getline(meminfo, line);) {
    if (!field(line, "MemTotal", value)) continue;
    std::istringstream(value) >> machine.memory_bytes;
    machine.memory_bytes *= 1024;
    break;
  }
  if (utsname name{}; uname(&name) == 0) machine.kernel = std::string(name.sysname) + " " + name.release;
  std::ifstream("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") >> machine.governor;
  return machine;
}

std::string utc_timestamp() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts));
}

}  // namespace vitrail
