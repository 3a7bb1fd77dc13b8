// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "bench/bench.h"

namespace vitrail {

struct MeasureOptions {
  BenchOptions bench;  // its peaks are filled in
  std::string isa;
  int64_t workspace_bytes = 0;  // 0: the cap of the build
};

// Benchmarks an engine on random inputs. `report` holds what was finished when this fails or is interrupted.
Status measure_engine(const std::string& engine_path, MeasureOptions options, BenchReport& report);

// Several engines, in rounds that take turns (run_bench_in_turns()); reports[i] is of engines[i], with the peak memory that
// it took alone, in a first pass of one batch of each size.
Status measure_engines(const std::vector<std::string>& engines, MeasureOptions options, int rounds,
                       std::vector<BenchReport>& reports);

}  // namespace vitrail
