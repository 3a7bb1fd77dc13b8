// SPDX-License-Identifier: Apache-2.0
#include "core/memory_usage.h"

#include <sys/resource.h>

#include <cstdio>
#include <memory>

namespace vitrail {
namespace {

using File = std::unique_ptr<FILE, int (*)(FILE*)>;

// The value of one `Key:   123 kB` line of /proc/self/status in bytes, 0 when absent.
int64_t status_bytes(const char* format) {
  File file(std::fopen("/proc/self/status", "r"), &std::fclose);
  if (!file) return 0;
  char line[256];
  while (std::fgets(line, sizeof line, file.get())) {
    long long kilobytes = 0;
    if (std::sscanf(line, format, &kilobytes) == 1) return kilobytes * 1024;
  }
  return 0;
}

}  // namespace

bool reset_peak_rss() {
  File file(std::fopen("/proc/self/clear_refs", "w"), &std::fclose);
  return file && std::fputs("5", file.get()) >= 0 && std::fflush(file.get()) == 0;
}

int64_t peak_rss_bytes() {
  if (int64_t bytes = status_bytes("VmHWM: %lld kB"); bytes > 0) return bytes;
  rusage usage{};
  return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss * int64_t{1024} : 0;
}

int64_t resident_bytes() { return status_bytes("VmRSS: %lld kB"); }

}  // namespace vitrail
