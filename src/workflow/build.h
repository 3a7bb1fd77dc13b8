// SPDX-License-Identifier: Apache-2.0
// From a model file to an engine file: import, passes, backend, write.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "import/onnx/import.h"
#include "passes/pipeline.h"
#include "passes/quantization_report.h"
#include "runtime/backend.h"
#include "runtime/plan_options.h"

namespace vitrail {

// Called with the stage under way and the share of the whole that is done, in [0, 1].
using Progress = std::function<void(std::string_view stage, double done)>;

// The metadata key under which a model of `vitrail quantize` carries how it was made (quantization_metadata()).
inline constexpr const char* kQuantizationKey = "vitrail.quantization";

struct ImportedModel {
  Graph graph;            // simplified: the model's own arithmetic, shapes known
  std::string file_name;  // without folder
  std::string hash;       // XXH3-128 of the model file (workflow/read_model.h)
  int64_t parameters = 0;
  PreprocessContract preprocess;
  bool preprocess_known = false;  // from the model's metadata or the caller; else the ImageNet defaults
  std::vector<std::string> labels;
  std::vector<std::string> warnings;
  QuantizationReport quantization;  // without what becomes integer products
  int quantized_operators = 0;      // ImportReport's
};

struct ModelOptions {
  ImportOptions import;
  std::string preprocess_file;  // overrides the model's metadata
  std::string labels_file;
  std::optional<PreprocessContract> otherwise;  // where neither the model nor the file says; ImageNet's if unset
};

// Imports and simplifies. The preprocessing comes from `preprocess_file`, else from the model's metadata key
// "vitrail.preprocess", else ImageNet's with the height and width of the model's input (and a warning).
Result<ImportedModel> import_model(const std::string& path, const ModelOptions& options);

struct BuildOptions {
  ModelOptions model;
  std::string backend = "cpu";
  std::string precision = "fp32";
  FuseOptions fuse;
  std::vector<Profile> profiles;  // empty: 1:8:64, or the model's own batch size when that is fixed
  int64_t workspace_bytes = int64_t{1} << 30;
  std::string timing_cache;  // of kernel timings; empty for the user's own
  PlanOptions plan;          // for the tensorrt backend; profiles and workspace come from above
  // Pictures enter as uint8 [N,H,W,3] and are normalised inside (passes/byte_input.h).
  bool byte_input = false;
  // For fp8, and for int8 of a float model where the backend calibrates itself: the folder of pictures that the ranges are
  // taken from, and how many of them. Empty: synthetic noise for fp8.
  std::string calibrate;
  int64_t calibrate_samples = 64;
  int threads = 1;  // that the memory plan is made for
  Progress progress;
  // Set by refit_engine() (workflow/refit.h): the engine whose weights the model's take the place of.
  std::shared_ptr<const Engine> refit;
  std::string refit_name;
};

struct BuildOutcome {
  EngineInfo info;
  std::string hash;  // of the engine file
  int64_t file_bytes = 0;
  ModelStructure structure;
  std::vector<PassReport> passes;
  MemoryPlan plan;  // at the largest batch
  int64_t max_batch = 1;
  std::vector<std::string> warnings;
};

// Writes `engine_path` atomically. The same model and options give the same bytes. A build in int8 for the
// host times its products here and warns where float32 is as fast.
Result<BuildOutcome> build_engine(const std::string& model_path, const std::string& engine_path,
                                  const BuildOptions& options);

}  // namespace vitrail
