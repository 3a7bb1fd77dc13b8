// SPDX-License-Identifier: Apache-2.0
// What calibration saw of a model's values: a file that can be kept, merged and used again.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "quant/histogram.h"
#include "vitrail/status.h"

namespace vitrail::quant {

// Of one float32 value over all samples; NaN and infinity are counted and else left out.
struct ValueStats {
  float low = 0, high = 0;                       // of all elements; both 0 before the first
  std::vector<float> channel_low, channel_high;  // along the last axis; empty where that has no fixed extent
  Histogram histogram;
  int64_t count = 0;  // finite elements
  int64_t nonfinite = 0;

  // `channels` is the extent of the last axis, 0 for one that is not followed channel by channel.
  void add(std::span<const float> values, size_t channels);
  void merge(const ValueStats& other);
  bool operator==(const ValueStats&) const = default;
};

// Where samples came from.
struct CalibrationSource {
  std::string description;  // "photos/ (64 images), 64 of them used"
  std::string hash;         // XXH3-128 over the samples, hex
  int64_t samples = 0;
  bool operator==(const CalibrationSource&) const = default;
};

struct CalibrationTable {
  std::string model_hash;  // XXH3-128 of the model file, hex
  std::string preprocess;  // JSON of the contract that images were prepared by
  std::vector<CalibrationSource> sources;
  std::map<std::string, ValueStats> values;  // by name in the graph

  int64_t samples() const;
  // Sums of counts, extremes of extremes: merging the tables of two halves of a data set gives the values of the
  // table of the whole. kBadInput when they are of different models or preprocessing, or of different values.
  Status merge(const CalibrationTable& other);
  bool operator==(const CalibrationTable&) const = default;
};

// JSON, kind "calibration" of docs/report-schema.md. The same table gives the same bytes.
std::string to_json_text(const CalibrationTable& table);
// Nothing in the file is trusted; kBadInput names the member.
Result<CalibrationTable> parse_calibration_table(std::string_view json);

Result<CalibrationTable> read_calibration_table(const std::string& path);  // errors name the file
// XXH3-128 of to_json_text(), hex: what a certificate names.
std::string hash_of(const CalibrationTable& table);

}  // namespace vitrail::quant
