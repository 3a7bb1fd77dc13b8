// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "vitrail/status.h"
#include "workflow/build.h"

namespace vitrail::cli {

// Option texts to values; kUsage names the option's text and the form it must have.
Result<int64_t> parse_bytes(const std::string& text);                             // "1GiB", "512MiB", "4096"
Result<Profile> parse_profile(const std::string& text);                           // "1:8:64"
Result<std::pair<std::string, std::string>> parse_pair(const std::string& text);  // "NAME=VALUE"

// Options that several verbs have.
struct ModelFlags {
  std::string preprocess, labels;
  std::vector<std::string> dims;
  void add(CLI::App& verb);
  Result<ModelOptions> options() const;
};
// What `build` and `optimize` hand to the backend.
struct BackendFlags {
  std::string backend = "cpu", precision = "fp32", timing_cache, input = "float32", calibrate;
  int64_t calibrate_samples = 64;
  std::vector<std::string> precisions;  // as given; the first is `precision`
  void add(CLI::App& verb, bool several = false);
  void apply(BuildOptions& options) const;
};
struct ThreadFlag {
  int threads = 0;  // 0: all cores
  void add(CLI::App& verb);
  Result<int> value() const;
};

// What --json says of every engine file that was written.
nlohmann::ordered_json engine_json(const std::string& file, const BuildOutcome& outcome, double seconds);

std::string human_bytes(int64_t bytes);  // "343.2 MiB"

void print(const std::string& text);  // to stdout
void print_json(const nlohmann::ordered_json& json);
void warn(const std::string& message);  // to stderr

// A bar on stderr with the stage, the share done and an estimate of what is left; one line a stage when
// stderr is no terminal; silent with --json.
Progress progress_bar(bool quiet);
// The same for one stage that counts samples; empty with --json.
std::function<void(int64_t done, int64_t total)> sample_progress(bool quiet, std::string stage);

}  // namespace vitrail::cli
