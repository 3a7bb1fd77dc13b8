// SPDX-License-Identifier: Apache-2.0
// Whether integers pay on the machine at hand: not every processor multiplies bytes faster than floats.
#pragma once

#include <optional>
#include <string>

#include "backends/cpu/isa.h"
#include "graph/graph.h"

namespace vitrail {

// What an engine's integer products take, and the same products in float32: the best of a few runs each.
struct PrecisionTimes {
  int64_t products = 0;
  double int8_us = 0, fp32_us = 0;
  int64_t batch = 1;
  int threads = 1;
  std::string isa;
};

// Times every distinct shape among the products that the CPU backend compiled (QuantizedLinear with packed
// weights), on random bytes and floats, at `batch` or as many images as a few hundred rows take.
PrecisionTimes time_products(const Graph& compiled, int64_t batch, int threads, cpu::Isa isa);

// The sentence that says that int8 is not faster, with the numbers and what to build instead; none where it
// is, by kWorthwhileGain (report/recommend.h) at least, or where there are no products.
std::optional<std::string> int8_is_not_faster(const PrecisionTimes& times);

}  // namespace vitrail
