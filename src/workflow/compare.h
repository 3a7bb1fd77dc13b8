// SPDX-License-Identifier: Apache-2.0
// `vitrail compare`: several models (quantized by whatever tool) against the one that they were made from.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "workflow/build.h"
#include "workflow/score.h"

namespace vitrail {

struct CompareOptions {
  ModelOptions model;      // how to import the reference and the candidates
  std::string images;      // folder, searched recursively; or of .npy and .npz
  int64_t max_samples = 0;  // evenly spread; 0: all
  int threads = 1;
  std::function<void(int64_t done, int64_t total)> progress;
};

struct Candidate {
  std::string file;
  int64_t bytes = 0;
  int64_t products = 0, integer_products = 0;  // matrix products, and those computed with 8-bit integers
  Score score;                                 // against the reference's answers
  std::optional<double> accuracy;              // share of right answers, where the labels are known
};

struct Comparison {
  Candidate reference;
  std::vector<Candidate> candidates;
  int64_t samples = 0;
  std::string dataset, dataset_hash;
  std::vector<std::string> warnings;
};

// Runs every model on the same samples on the CPU backend, each with the arithmetic that its file states (Q/DQ pairs
// are executed, not dropped). Labels are the names of the images' folders, where the model's labels hold all of
// them. Candidates take one input of the reference's type and shape and give as many outputs. kBadInput names the
// file.
Result<Comparison> compare_models(const std::string& reference, const std::vector<std::string>& candidates,
                                  const CompareOptions& options);

// Kind "comparison" of docs/report-schema.md.
nlohmann::ordered_json to_json(const Comparison& comparison);

}  // namespace vitrail
