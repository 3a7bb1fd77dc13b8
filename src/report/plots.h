// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "report/model.h"
#include "report/recommend.h"

namespace vitrail::report {

// Each returns one <svg> element, or nothing when there is nothing to draw.

// Images per second against batch size, a line for each run; the recommended batch is marked.
std::string throughput_plot(const Data& data, const Recommendation& recommendation);
// Memory (memory_of()) by batch size, a bar for each run.
std::string memory_plot(const Data& data, const Recommendation& recommendation);
// Histogram of the latency at one batch size, with median and p99.
std::string latency_plot(const Point& point);
// Horizontal bars of layers or stages in the given order, at most `most`.
std::string time_plot(const std::string& id, const std::string& title, const std::vector<Layer>& layers,
                      size_t most);
// Scaled error of each stage and output on a logarithmic axis, with the tolerance.
// `index` tells the drawings of several verifications apart.
std::string error_plot(const Verification& verification, size_t index);

// Loss of each layer alone in 8 bits along the network, on a logarithmic axis; layers kept in float are marked.
std::string sensitivity_plot(const Quantization& quantization, size_t index);

// Histogram with `bins` equal bins over [low, high] from evenly spaced quantiles of a distribution: the share
// of the mass in each. What lies outside is left out.
std::vector<double> histogram(const std::vector<double>& quantiles, double low, double high, size_t bins);

}  // namespace vitrail::report
