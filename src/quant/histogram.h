// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace vitrail::quant {

// Counts of float values in kBins equal bins over [-2^k, 2^k), where k grows by ones as values demand it. Bins of
// one k are pairs of bins of k - 1, so the counts do not depend on the order in which values came, nor on how
// they were divided among histograms that are merged.
class Histogram {
 public:
  static constexpr int kBins = 8192;
  static constexpr int kLeastExponent = -30, kMostExponent = 128;

  // Finite values only.
  void add(std::span<const float> values);
  void merge(const Histogram& other);

  int exponent() const { return exponent_; }
  double width() const;                // of a bin
  double centre(int bin) const;        // value in the middle of a bin
  int bin_of(double value) const;      // clamped to the first and the last
  std::span<const uint64_t> counts() const { return counts_; }
  uint64_t total() const;

  // From a file; `exponent` within the two limits, as many counts as bins.
  static Histogram restore(int exponent, std::vector<uint64_t> counts);
  bool operator==(const Histogram&) const = default;

 private:
  void grow(int exponent);

  int exponent_ = kLeastExponent;
  std::vector<uint64_t> counts_ = std::vector<uint64_t>(kBins);
};

}  // namespace vitrail::quant
