// SPDX-License-Identifier: Apache-2.0
// `vitrail quantize`: from a float model and pictures to a Q/DQ model, its calibration table and its report.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "quant/prepare.h"
#include "workflow/build.h"
#include "workflow/score.h"

namespace vitrail {

struct QuantizeOptions {
  ModelOptions model;
  std::string images;     // folder, searched recursively; of .npy and .npz for a model without image input
  int64_t samples = 512;  // at most so many for the ranges, evenly spread over the folder
  quant::RangeRule ranges;
  bool smooth = true;
  bool attention = false;  // quantize the two products of attention as well
  std::vector<std::string> exclude;  // layers whose names match stay in float32; * stands for anything
  double max_drop = 0.003;           // most top-1 answers that may change, as a share
  double min_cosine = 0.9996;        // least mean cosine of the outputs
  int64_t search_samples = 128;      // that candidates are measured on, at most
  int64_t sensitivity_samples = 16;  // that each layer alone is measured on, at most
  std::vector<std::string> reuse;    // calibration tables gathered before, merged; then nothing is gathered
  std::string table_path;            // where the gathered table goes
  int threads = 1;
  Progress progress;
};

struct QuantizedLayer {
  std::string name, op;
  int64_t depth = 0, width = 0;
  double share = 0;          // of the multiply-adds of all products of the model
  bool int8 = false;
  std::string reason;        // why not; empty for int8
  quant::ByteParams input;
  double smoothing = 0;      // exponent of the migration at its input; 0: none
  std::optional<Score> alone;  // of the model with this layer alone in 8 bits
};

struct QuantizeOutcome {
  std::vector<QuantizedLayer> layers;  // products in the order of the graph, those that cannot be quantized last
  Score all_int8;                      // with every layer that is not excluded
  Score chosen;                        // of the model that was written
  bool met = false;                    // max_drop and min_cosine
  int64_t search_samples = 0;
  std::string method;
  bool smooth = false, symmetric = false;
  double max_drop = 0, min_cosine = 0;
  std::vector<quant::CalibrationSource> calibration;
  std::string calibration_hash, table_path;
  std::string model, model_hash, output;
  int64_t model_bytes = 0, output_bytes = 0;
  std::vector<std::string> warnings;
};

// Writes the Q/DQ model and the calibration table, both atomically. Interrupted while gathering, it writes the
// table of what was seen and fails with kCancelled; that table can be reused. kBadInput when no image could be
// read or the model has no product that can be quantized.
Result<QuantizeOutcome> quantize_model(const std::string& model_path, const std::string& output_path,
                                       const QuantizeOptions& options);

// Kind "quantization" of docs/report-schema.md.
nlohmann::ordered_json to_json(const QuantizeOutcome& outcome);

// What the model carries under kQuantizationKey: an excerpt of to_json() that engines and certificates repeat.
std::string quantization_metadata(const QuantizeOutcome& outcome);

}  // namespace vitrail
