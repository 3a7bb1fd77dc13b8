// SPDX-License-Identifier: Apache-2.0
// What a report is made of: measurements and verifications, read from JSON (docs/report-schema.md).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace vitrail::report {

struct Layer {
  std::string name, op, stage;
  double median_us = 0;
};

struct Point {  // one batch size of one run
  int64_t batch = 0;
  int64_t streams = 1, threads = 1;
  double mean_us = 0, median_us = 0, images_per_second = 0;
  std::optional<double> p90_us, p95_us, p99_us, min_us, max_us, cv, gflops, peak_fraction;
  std::optional<double> peak_rss_bytes, planned_bytes, iterations;
  // On a device of its own: medians of one batch, what it alone would reach, and its memory.
  std::optional<double> h2d_us, compute_us, d2h_us, compute_images_per_second, device_bytes;
  bool shortened = false;
  std::vector<double> distribution_us;  // quantiles, ascending
  std::vector<Layer> layers;
};

enum class Kind { kVitrail, kPyTorch, kPeer };

// One row of the tables: one program at one setting over several batch sizes.
struct Run {
  std::string label;  // unique in a report
  std::string runner, file, model, engine_hash, backend, precision, isa, timestamp, cpu;
  int64_t cores = 0;
  double memory_bytes = 0;
  std::string kernel;
  std::string gpu, driver;  // empty where no device is named
  Kind kind = Kind::kVitrail;
  std::vector<Point> points;  // by ascending batch, each batch once
  std::vector<std::string> warnings;
  nlohmann::json raw;  // as read

  bool is_reference() const { return backend == "reference"; }
  const Point* at(int64_t batch) const {
    for (const Point& p : points) {
      if (p.batch == batch) return &p;
    }
    return nullptr;
  }
};

struct Compared {  // an output or a stage
  std::string name;
  std::optional<double> max_abs, mean_abs, max_rel, max_scaled, cosine, psnr, top1, top5;
};

struct Verification {
  std::string file, model, engine_hash, backend, precision, reference, dataset, dataset_hash;
  bool passed = false;
  int64_t samples = 0;
  std::optional<double> max_scaled, min_cosine;  // the tolerance
  std::vector<Compared> outputs, stages;
  std::vector<std::string> failures;
  std::vector<std::string> batch_invariance;  // one sentence a batch size
  nlohmann::json raw;
};

// What `vitrail quantize` did.
struct QuantizedLayer {
  std::string name, precision, reason;
  double share = 0;            // of the model's multiply-adds
  std::optional<double> loss;  // 1 - cosine of the outputs with this layer alone in 8 bits
  std::optional<double> input_low, input_high, smoothing;
};
struct Quantization {
  std::string file, model, output, method, calibration_hash;
  bool smooth = false, met = false;
  double model_bytes = 0, output_bytes = 0;
  std::optional<double> all_top1, all_cosine, top1, cosine;  // with every layer in 8 bits, and as written
  int64_t samples = 0;
  std::vector<QuantizedLayer> layers;
  nlohmann::json raw;
};

// Of `vitrail compare`: models against the one that they were made from, which is the first row.
struct ComparedModel {
  std::string file;
  double bytes = 0;
  int64_t products = 0, integer_products = 0;
  std::optional<double> top1, cosine, min_cosine, accuracy;
};
struct Comparison {
  std::string file, dataset, dataset_hash;
  int64_t samples = 0;
  std::vector<ComparedModel> models;
  nlohmann::json raw;
};

struct Data {
  std::vector<Run> runs;
  std::vector<Verification> verifications;
  std::vector<Quantization> quantizations;
  std::vector<Comparison> comparisons;
};

}  // namespace vitrail::report
