// SPDX-License-Identifier: Apache-2.0
#include "workflow/optimize.h"

#include <malloc.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "workflow/quantize.h"

namespace vitrail {
namespace {

// One walk from a model to a report.
class Walk {
 public:
  Walk(const std::string& model, const std::string& folder, const OptimizeOptions& options, OptimizeOutcome& outcome)
      : model_(model), folder_(folder), options_(options), outcome_(outcome) {}

  Status run() {
    std::vector<std::string> precisions = options_.precisions;
    if (precisions.empty()) precisions = {options_.build.precision};
    several_ = precisions.size() > 1;
    for (const std::string& precision : precisions)
      outcome_.engines.push_back({precision, path("engine", precision, ".vtl"), {}, {}, {}, {}});
    for (OptimizedEngine& e : outcome_.engines) {
      e.status = build(e);
      if (e.status.code() == Code::kCancelled) return e.status;
    }
    for (OptimizedEngine& e : outcome_.engines) {
      if (!e.status.ok()) continue;
      e.status = verify(e);
      if (e.status.code() == Code::kCancelled) return e.status;
    }
    // What importing and verifying took is given back first: the measured peak is to be the engine's.
    ::malloc_trim(0);
    const Status measured = measure();
    VTL_TRY(report());
    VTL_TRY(measured);
    return first_failure();
  }

 private:
  std::string path(const std::string& stem, const std::string& precision, const char* suffix) const {
    const std::string name = several_ ? fmt::format("{}_{}{}", stem, precision, suffix) : stem + suffix;
    return (std::filesystem::path(folder_) / name).string();
  }
  std::function<void(int64_t, int64_t)> progress(const std::string& stage) const {
    if (!options_.build.progress) return nullptr;
    return [report = options_.build.progress, stage](int64_t done, int64_t total) {
      report(stage, static_cast<double>(done) / static_cast<double>(std::max<int64_t>(total, 1)));
    };
  }
  std::string stage(const char* name, const OptimizedEngine& e) const {
    return several_ ? fmt::format("{} {}", name, e.precision) : name;
  }

  Status build(OptimizedEngine& e) {
    BuildOptions build = options_.build;
    build.precision = e.precision;
    const bool borrowed = e.precision == "fp8" && build.calibrate.empty();
    if (borrowed) build.calibrate = options_.images;
    std::string model = model_;
    if (e.precision == "int8" && !build.calibrate.empty()) {
      VTL_ASSIGN(model, quantized());
      build.calibrate.clear();
    } else if (several_ && e.precision != "fp8") {
      build.calibrate.clear();
    }
    if (several_ && build.progress)
      build.progress = [&, inner = options_.build.progress](std::string_view what, double done) {
        inner(fmt::format("{} {}", e.precision, what), done);
      };
    VTL_ASSIGN(e.build, build_engine(model, e.path, build));
    if (borrowed)
      e.build.warnings.push_back(
          "calibrated on the pictures that the engine is verified on; give --calibrate DIR with others for a "
          "verification that stands alone");
    return {};
  }

  // The model with 8-bit ranges; itself where it has some.
  Result<std::string> quantized() {
    VTL_ASSIGN(const ImportedModel model, import_model(model_, options_.build.model));
    if (model.quantized_operators > 0 || std::ranges::any_of(model.graph.nodes, [](const Node& n) {
          return n.op == Op::QuantizeLinear || n.op == Op::DequantizeLinear;
        })) {
      outcome_.warnings.push_back("--calibrate was left out for int8: the model's own Q/DQ pairs say the ranges");
      return model_;
    }
    QuantizeOptions quantize;
    quantize.model = options_.build.model;
    quantize.images = options_.build.calibrate;
    quantize.samples = options_.build.calibrate_samples;
    quantize.threads = options_.build.threads;
    quantize.ranges.symmetric = options_.build.backend == "tensorrt";
    quantize.progress = options_.build.progress;
    const std::string made = (std::filesystem::path(folder_) / "model_int8.onnx").string();
    quantize.table_path = (std::filesystem::path(folder_) / "calibration.json").string();
    VTL_ASSIGN(const QuantizeOutcome outcome, quantize_model(model_, made, quantize));
    for (const std::string& w : outcome.warnings) outcome_.warnings.push_back("int8: " + w);
    if (!outcome.met)
      outcome_.warnings.push_back(fmt::format("int8: no choice of layers keeps {:.2f} % of the answers and a cosine of {}; {} is the nearest",
                                              100 * (1 - outcome.max_drop), outcome.min_cosine, made));
    const std::string report = (std::filesystem::path(folder_) / "quantization.json").string();
    VTL_TRY(write_file_atomically(report, to_json(outcome).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n"));
    checks_.push_back(report);
    return made;
  }

  Status verify(OptimizedEngine& e) {
    CheckOptions check;
    check.model = options_.build.model;
    check.images = options_.images;
    check.threads = options_.bench.threads;
    check.max_samples = options_.verify_samples;
    // Values on the edge of a step of 8 bits fall to either side, in every precision.
    const bool steps = std::ranges::any_of(e.build.info.layers, [](const LayerReport& l) { return l.op.find("uantize") != std::string::npos; });
    check.tolerance = tolerance_of(steps ? "int8" : e.precision);
    check.progress = progress(stage("verify", e));
    VTL_ASSIGN(e.verify, check_engine(e.path, model_, check));
    const std::string json = to_json_text(e.verify);
    VTL_TRY(write_file_atomically(path("verify", e.precision, ".json"), json));
    checks_.push_back(path("verify", e.precision, ".json"));
    return e.verify.passed ? write_certificate(e.path, json) : Status();
  }

  Status measure() {
    std::vector<OptimizedEngine*> which;
    std::vector<std::string> engines;
    for (OptimizedEngine& e : outcome_.engines)
      if (e.status.ok()) {
        which.push_back(&e);
        engines.push_back(e.path);
      }
    if (engines.empty()) return {};
    MeasureOptions options;
    options.bench = options_.bench;
    options.bench.progress = progress("bench");
    std::vector<BenchReport> reports(1);
    const Status status = engines.size() == 1 ? measure_engine(engines[0], options, reports[0])
                                              : measure_engines(engines, options, kOptimizeRounds, reports);
    for (size_t i = 0; i < reports.size() && i < which.size(); ++i) {
      if (reports[i].results.empty()) continue;
      which[i]->bench = std::move(reports[i]);
      const std::string file = path("bench", which[i]->precision, ".json");
      VTL_TRY(write_file_atomically(file, to_json_text(which[i]->bench)));
      benches_.push_back(file);
    }
    return status;
  }

  // Nothing where nothing was measured.
  Status report() {
    if (std::ranges::all_of(outcome_.engines, [](const OptimizedEngine& e) { return e.bench.results.empty(); })) return {};
    // What the others are compared with stands first.
    std::vector<std::string> files = options_.peers;
    files.insert(files.end(), benches_.begin(), benches_.end());
    files.insert(files.end(), checks_.begin(), checks_.end());
    VTL_ASSIGN(outcome_.report, report::build_report(files));
    return report::write_report(outcome_.report, folder_);
  }

  Status first_failure() const {
    std::string kept;
    for (const OptimizedEngine& e : outcome_.engines)
      if (!e.build.hash.empty()) kept += (kept.empty() ? "" : ", ") + e.path;
    for (const OptimizedEngine& e : outcome_.engines) {
      if (!e.status.ok() && (several_ || !kept.empty()))
        return e.status.with_context(fmt::format("{}{}{}", several_ ? e.precision : "", several_ && !kept.empty() ? ", " : "",
                                                 kept.empty() ? "" : fmt::format("{} kept", kept)));
      VTL_TRY(e.status);
      if (!e.verify.passed)
        return check_failed("the {}engine is out of tolerance: {}", several_ ? e.precision + " " : "",
                            e.verify.failures.empty() ? "" : e.verify.failures[0]);
    }
    return {};
  }

  const std::string& model_;
  const std::string& folder_;
  const OptimizeOptions& options_;
  OptimizeOutcome& outcome_;
  bool several_ = false;
  std::vector<std::string> benches_, checks_;  // results for the report
};

}  // namespace

Tolerance tolerance_of(std::string_view precision) {
  Tolerance t;
  if (precision == "tf32") return {1e-2, 0.9999, 0};
  if (precision == "fp16" || precision == "bf16") return {5e-2, 0.999, 0};
  if (precision == "int8" || precision == "fp8") return {3e-1, 0.99, 0};
  return t;
}

Status optimize(const std::string& model_path, const std::string& folder, const OptimizeOptions& options,
                OptimizeOutcome& outcome) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return io_error("{}: {}", folder, error.message());
  return Walk(model_path, folder, options, outcome).run();
}

}  // namespace vitrail
