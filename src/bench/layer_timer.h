// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "runtime/backend.h"

namespace vitrail {

// Time of one layer of the engine at one batch size.
struct LayerTime {
  std::string name, op, stage, kernel, precision;
  double median_us = 0;
  double share = 0;              // of the sum of all medians, in [0, 1]
  double gflops = 0;             // achieved; 0 for a layer without multiply-adds
  double gbytes_per_second = 0;  // of each input and output once; 0 when not known
  // What the device vendor's library takes for the bare product, of this median: 1 is the library's speed,
  // more is faster, epilogue included. 0 for a layer that is no product, or without such a library.
  double of_library = 0;
};

// Collects the time of each layer over several batches. Layers are numbered as the engine's reports.
class LayerTimer : public Observer {
 public:
  explicit LayerTimer(size_t layers) : times_(layers) {}
  bool wants_times() const override { return true; }
  void on_layer(size_t node, double microseconds) override {
    if (node < times_.size()) times_[node].push_back(microseconds);
  }
  // `reports` as many as layers; layers that were never heard of have a median of 0. `bytes` (of a batch) and
  // `library_us` by layer; either may be empty.
  std::vector<LayerTime> summarize(std::span<const LayerReport> reports, int64_t batch,
                                   std::span<const double> bytes = {},
                                   std::span<const double> library_us = {}) const;

 private:
  std::vector<std::vector<double>> times_;
};

}  // namespace vitrail
