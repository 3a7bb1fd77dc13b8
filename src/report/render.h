// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "report/model.h"
#include "report/recommend.h"
#include "report/table.h"

namespace vitrail::report {

// The tables of a report, made once for every format.
struct Tables {
  std::vector<Table> protocol;  // latency, throughput, gains
  Table memory;
  Table device;                              // no rows where nothing ran on one
  std::vector<Table> percentiles;            // of the recommended run
  std::vector<Table> layers;                 // of the recommended run, where it was timed
  std::vector<std::vector<Table>> accuracy;  // of each verification: outputs, and stages if any
  std::vector<Table> comparisons, quantizations;  // of each
  Table runs;
};

std::string render_json(const Data& data, const Recommendation& recommendation, const Tables& tables);
std::string render_markdown(const Data& data, const Recommendation& recommendation, const Tables& tables);
std::string render_html(const Data& data, const Recommendation& recommendation, const Tables& tables);

// The sentence on a verification: passed or not, samples, tolerance, data.
std::string verdict(const Verification& verification);
// The sentence on a quantization: method, calibration, agreement.
std::string verdict(const Quantization& quantization);
// The point of a run whose layers are shown: the recommended batch if timed, else the first that was; null if
// none.
const Point* layered_point(const Run& run, int64_t batch);
// The name of the model that a report is about.
std::string model_name(const Data& data);

}  // namespace vitrail::report
