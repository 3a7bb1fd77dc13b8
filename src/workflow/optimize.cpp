// SPDX-License-Identifier: Apache-2.0
#include "workflow/optimize.h"

#include <malloc.h>

#include <filesystem>

#include "core/error.h"
#include "core/files.h"

namespace vitrail {

Status optimize(const std::string& model_path, const std::string& folder, const OptimizeOptions& options,
                OptimizeOutcome& outcome) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return io_error("{}: {}", folder, error.message());
  const auto path = [&](const char* name) { return (std::filesystem::path(folder) / name).string(); };
  const std::string engine = path("engine.vtl");
  const Progress& progress = options.build.progress;

  BuildOptions build = options.build;
  if (build.calibrate.empty()) {
    build.calibrate = build.precision == "fp8" ? options.images : "";
  }
  VTL_ASSIGN(outcome.build, build_engine(model_path, engine, build));
  if (build.calibrate != options.build.calibrate)
    outcome.build.warnings.push_back(
        "calibrated on the pictures that the engine is verified on; give --calibrate DIR with others for a "
        "verification that stands alone");

  CheckOptions check;
  check.model = options.build.model;
  check.images = options.images;
  check.threads = options.bench.threads;
  check.max_samples = options.verify_samples;
  if (progress)
    check.progress = [&](int64_t done, int64_t total) {
      progress("verify", static_cast<double>(done) / static_cast<double>(std::max<int64_t>(total, 1)));
    };
  VTL_ASSIGN(outcome.verify, check_engine(engine, model_path, check));
  const std::string verify_json = to_json_text(outcome.verify);
  VTL_TRY(write_file_atomically(path("verify.json"), verify_json));
  if (outcome.verify.passed) VTL_TRY(write_certificate(engine, verify_json));

  // What importing and verifying took is given back first: the measured peak is to be the engine's.
  ::malloc_trim(0);
  MeasureOptions measure;
  measure.bench = options.bench;
  if (progress)
    measure.bench.progress = [&](int64_t done, int64_t total) {
      progress("bench", static_cast<double>(done) / static_cast<double>(std::max<int64_t>(total, 1)));
    };
  const Status measured = measure_engine(engine, measure, outcome.bench);
  if (outcome.bench.results.empty() && !measured.ok()) return measured;
  VTL_TRY(write_file_atomically(path("bench.json"), to_json_text(outcome.bench)));

  std::vector<std::string> files{path("bench.json"), path("verify.json")};
  files.insert(files.end(), options.peers.begin(), options.peers.end());
  VTL_ASSIGN(outcome.report, report::build_report(files));
  VTL_TRY(report::write_report(outcome.report, folder));
  VTL_TRY(measured);
  if (!outcome.verify.passed)
    return check_failed("the engine is out of tolerance: {}",
                        outcome.verify.failures.empty() ? "" : outcome.verify.failures[0]);
  return {};
}

}  // namespace vitrail
