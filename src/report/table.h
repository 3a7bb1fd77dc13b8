// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "report/model.h"
#include "report/recommend.h"

namespace vitrail::report {

// A table apart from how it is drawn. A row with fewer cells than the header ends in one that spans the rest.
struct Table {
  std::string id;  // key in report.json: letters and '_'
  std::string title;
  std::string caption;  // unit and rule; may be empty
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  int emphasised_row = -1;
};

// Average latency (ms) and throughput (images/s) by batch size, rows for every run and for the original model
// and the FP32 and FP16 engines even where they were not measured.
Table latency_table(const Data& data, const Recommendation& recommendation);
Table throughput_table(const Data& data, const Recommendation& recommendation);
// Overall speed-up, throughput gain at batch 32 and memory reduction of every run over the baseline.
Table gain_table(const Data& data, const Recommendation& recommendation);

Table percentile_table(const Run& run);  // the latency of one run in full
Table memory_table(const Data& data);    // peak resident and planned memory by batch size
Table device_table(const Data& data);    // times and memory of a device of its own; no rows when none has one
Table accuracy_table(const Verification& v);  // outputs
Table stage_table(const Verification& v);     // stages; no rows when there are none
Table layer_table(const Point& point, size_t rows);
Table machine_table(const Data& data);  // what was measured where

Table comparison_table(const Comparison& comparison);
Table quantization_table(const Quantization& quantization);  // by layer, the most sensitive first

// Layers added up by stage, in order of appearance; layers of no stage go by their operator.
std::vector<Layer> by_stage(const std::vector<Layer>& layers);

std::string to_text(const Table& table);
std::string to_markdown(const Table& table);
std::string to_html(const Table& table);

}  // namespace vitrail::report
