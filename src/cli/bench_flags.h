// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/bench.h"
#include "cli/common.h"

namespace vitrail::cli {

// The options of a measurement, for `bench` and `optimize`.
struct BenchFlags {
  BenchOptions bench;
  double max_seconds = 0;
  ThreadFlag threads;
  void add(CLI::App& verb);
  Result<BenchOptions> options() const;
};

}  // namespace vitrail::cli
