// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "preprocess/contract.h"
#include "vitrail/status.h"

namespace vitrail {

inline constexpr int64_t kCalibrationSamples = 64;
inline constexpr int64_t kFewCalibrationImages = 32;  // fewer than this give a warning

struct CalibrateOptions {
  std::string images;                     // folder, searched recursively; empty for synthetic noise
  int64_t samples = kCalibrationSamples;  // at most so many images, evenly spread over the folder
  int threads = 1;
  std::function<void(int64_t done, int64_t total)> progress;  // may be empty
};

struct Calibration {
  std::map<std::string, float>
      absmax;           // largest finite |value| of each float32 value, by its name in the graph
  int64_t samples = 0;  // that were run
  std::string source;   // "photos/ (64 images)"
  std::vector<std::string> warnings;
};

// Runs samples through the graph (fused, not yet compiled) on the CPU backend in FP32 and records how large
// each float32 value becomes, the graph's inputs included. Images are prepared by the contract; those that
// cannot be read are skipped, with a warning that names them. A model that is not fed with images takes the
// folder's .npy and .npz files. Without a folder: 32 pictures of noise in blocks of several sizes, the same
// in every run, which say little about real ones. The same graph and samples give the same numbers. kBadInput
// when no sample could be used.
Result<Calibration> calibrate(const Graph& graph, const PreprocessContract& contract,
                              const CalibrateOptions& options);

}  // namespace vitrail
