// SPDX-License-Identifier: Apache-2.0
#include "serve/system_metrics.h"

#include <gmock/gmock.h>

namespace vitrail::serve {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(SystemMetrics, ReadsTheKernelsText) {
  const auto times = read_cpu_times("cpu  100 20 30 1000 50 1 2 3 70 0\ncpu0 1 2 3 4\n");
  ASSERT_TRUE(times);
  EXPECT_EQ(times->busy, 156u);  // without idle and iowait; guests are in user
  EXPECT_EQ(times->total, 1206u);
  for (const char* bad : {"", "cpu0 1 2 3 4\n", "cpu  1 2\n", "cpu  1 2 3 x\n"}) EXPECT_FALSE(read_cpu_times(bad)) << bad;
  const auto memory = read_memory_state("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  400 kB\n");
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->total_bytes, 1024000u);
  EXPECT_EQ(memory->used_bytes, 614400u);
  for (const char* bad : {"", "MemTotal: 1000 kB\n", "MemTotal: 1 kB\nMemAvailable: 2 kB\n", "MemTotal: x\nMemAvailable: 1\n"})
    EXPECT_FALSE(read_memory_state(bad)) << bad;
}

TEST(SystemMetrics, NoGpuIsMentionedWhereThereIsNone) {
  EXPECT_EQ(Nvml::open("libno-such-library.so"), nullptr);
  EXPECT_EQ(Nvml::open("libz.so.1"), nullptr);  // another library
  SystemMetrics metrics(nullptr);
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("\nnv_cpu_utilization "));
  EXPECT_THAT(text, HasSubstr("\nnv_cpu_memory_used_bytes "));
  EXPECT_THAT(text, Not(HasSubstr("nv_gpu")));
}

TEST(SystemMetrics, SaysOfEachGpuWhatItTells) {
  auto nvml = Nvml::open(VTL_FAKE_NVML);
  ASSERT_NE(nvml, nullptr);
  SystemMetrics metrics(std::move(nvml));
  const std::string text = metrics.text();
  for (const char* line : {"\nnv_gpu_utilization{gpu_uuid=\"GPU-0\"} 0.25\n", "\nnv_gpu_memory_total_bytes{gpu_uuid=\"GPU-0\"} 1000\n",
                           "\nnv_gpu_memory_used_bytes{gpu_uuid=\"GPU-1\"} 400\n", "\nnv_gpu_power_usage{gpu_uuid=\"GPU-0\"} 71.5\n",
                           "\nnv_gpu_power_limit{gpu_uuid=\"GPU-0\"} 700\n"})
    EXPECT_THAT(text, HasSubstr(line));
  EXPECT_THAT(text, HasSubstr("\nnv_energy_consumption{gpu_uuid=\"GPU-0\"} 3\n"));  // both ask both GPUs
  EXPECT_THAT(text, Not(HasSubstr("nv_gpu_utilization{gpu_uuid=\"GPU-1\"}")));
  EXPECT_THAT(text, Not(HasSubstr("GPU-2")));
}

}  // namespace
}  // namespace vitrail::serve
