// SPDX-License-Identifier: Apache-2.0
// trtexec's command line: --word or --word=value, in camel case.
#pragma once

#include <string>
#include <vector>

#include "engine/engine.h"
#include "runtime/plan_options.h"
#include "vitrail/status.h"

namespace vitrail::cli {

struct TrtexecWords {
  std::string onnx, load_engine, save_engine, backend = "tensorrt", precision = "tf32", input, timing_cache;
  std::vector<Profile> profiles;  // of --minShapes, --optShapes, --maxShapes; --profile opens another
  int64_t batch = 0;              // of --shapes; 0: the first profile's opt
  int64_t workspace_bytes = int64_t{1} << 30;
  PlanOptions plan;
  int64_t iterations = 10;
  double warm_up_ms = 200, duration_s = 3, idle_ms = 0;
  int streams = 1;
  std::vector<double> percentiles = {90, 95, 99};
  bool build_only = false, dump_profile = false, dump_layers = false;
  std::string export_times, export_profile, export_layers;
  std::vector<std::string> notes;  // words that change nothing here, and why
};

// kUsage names the word. A word that trtexec knows and that has no meaning here is noted.
Result<TrtexecWords> parse_trtexec(const std::vector<std::string>& arguments);

}  // namespace vitrail::cli
