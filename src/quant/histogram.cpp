// SPDX-License-Identifier: Apache-2.0
#include "quant/histogram.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace vitrail::quant {

double Histogram::width() const { return std::ldexp(2.0, exponent_) / kBins; }

double Histogram::centre(int bin) const { return (bin + 0.5 - kBins / 2) * width(); }

int Histogram::bin_of(double value) const {
  return static_cast<int>(std::clamp(std::floor(value / width()) + kBins / 2, 0.0, double{kBins - 1}));
}

uint64_t Histogram::total() const { return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0}); }

void Histogram::grow(int exponent) {
  for (; exponent_ < exponent; ++exponent_) {
    std::vector<uint64_t> wider(kBins);
    for (int i = 0; i < kBins; ++i)
      wider[static_cast<size_t>(kBins / 4 + i / 2)] += counts_[static_cast<size_t>(i)];
    counts_ = std::move(wider);
  }
}

void Histogram::add(std::span<const float> values) {
  float largest = 0;
  for (float v : values) largest = std::max(largest, std::fabs(v));
  int exponent = 0;  // the least with |v| < 2^exponent
  std::frexp(largest, &exponent);
  if (largest > 0) grow(std::max(exponent, kLeastExponent));
  const double factor = 1 / width();
  for (float v : values) {
    // Shifted to be positive, so that the conversion, which cuts, is a floor.
    ++counts_[static_cast<size_t>(static_cast<double>(v) * factor + kBins / 2)];
  }
}

void Histogram::merge(const Histogram& other) {
  grow(other.exponent_);
  Histogram theirs = other;
  theirs.grow(exponent_);
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += theirs.counts_[i];
}

Histogram Histogram::restore(int exponent, std::vector<uint64_t> counts) {
  Histogram h;
  h.exponent_ = exponent;
  h.counts_ = std::move(counts);
  return h;
}

}  // namespace vitrail::quant
