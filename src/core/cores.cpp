// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <thread>

#include "core/thread_pool.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace vitrail {
namespace {

int cores_in_affinity_mask() {
#if defined(__linux__)
  // Machines beyond 1024 cores make sched_getaffinity fail with the fixed set; then the count below is used.
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

// Cores that a control group's quota allows, rounded up; `limit` when there is none. v2: one file with
// "quota period" or "max period"; v1: two files.
int cores_in_group(const std::string& folder, int limit) {
  double quota = 0;
  double period = 0;
  if (std::ifstream v2(folder + "/cpu.max"); !(v2 >> quota >> period)) {
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  }
  if (!(quota > 0) || !(period > 0)) return limit;
  return static_cast<int>(std::min<double>(limit, std::ceil(quota / period)));
}

// This process's path inside the hierarchy; every group on the way up may have a quota of its own.
std::string own_group() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::")) return line.substr(3);
    if (const size_t at = line.find(":cpu,"); at != std::string::npos) return line.substr(line.find('/', at));
  }
  return "/";
}

}  // namespace

int available_cores() {
  int cores = cores_in_affinity_mask();
  for (const std::string root : {"/sys/fs/cgroup", "/sys/fs/cgroup/cpu"}) {
    std::string group = own_group();
    while (!group.empty()) {
      cores = cores_in_group(root + group, cores);
      group.erase(std::min(group.rfind('/'), group.size()));
    }
    cores = cores_in_group(root, cores);
  }
  return std::max(cores, 1);
}

}  // namespace vitrail
