// SPDX-License-Identifier: Apache-2.0
#include "quant/range.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace vitrail::quant {
namespace {

constexpr std::pair<RangeMethod, std::string_view> kNames[] = {{RangeMethod::kMinMax, "minmax"},
                                                               {RangeMethod::kPercentile, "percentile"},
                                                               {RangeMethod::kEntropy, "entropy"},
                                                               {RangeMethod::kMse, "mse"}};
constexpr int kLevels = 256;
// Candidates of an end are the shares 1, 1 - 1/kSteps, … of the whole, down to this one.
constexpr int kSteps = 50;
constexpr double kLeastShare = 0.1;

// The ends that are tried, best first when equal: the whole comes first.
template <class Cost>
Range search(Range all, const Cost& cost) {
  Range best = all;
  double least = cost(all);
  for (int i = 0; i <= kSteps; ++i) {
    for (int j = 0; j <= kSteps; ++j) {
      const double low = 1 - (1 - kLeastShare) * i / kSteps, high = 1 - (1 - kLeastShare) * j / kSteps;
      const Range r{static_cast<float>(all.low * low), static_cast<float>(all.high * high)};
      if ((all.low >= 0 && i > 0) || (all.high <= 0 && j > 0)) continue;
      if (const double c = cost(r); c < least) least = c, best = r;
    }
  }
  return best;
}

// Sums of 1, x and x² over the bins below each, so that a candidate costs nothing.
class Moments {
 public:
  explicit Moments(const Histogram& h) : h_(h), sums_(Histogram::kBins + 1) {
    for (int i = 0; i < Histogram::kBins; ++i) {
      const auto n = static_cast<double>(h.counts()[static_cast<size_t>(i)]);
      const double x = h.centre(i);
      auto next = sums_[static_cast<size_t>(i)];
      next[0] += n, next[1] += n * x, next[2] += n * x * x;
      sums_[static_cast<size_t>(i) + 1] = next;
    }
  }

  double square_error(Range range) const {
    const ByteParams p = byte_params(range);
    const auto from = static_cast<size_t>(h_.bin_of(p.low() - p.scale / 2)),
               to = static_cast<size_t>(h_.bin_of(p.high() + p.scale / 2)) + 1;
    const double inside = sums_[to][0] - sums_[from][0];
    return inside * p.scale * p.scale / 12 + beyond(0, from, p.low()) + beyond(to, Histogram::kBins, p.high());
  }

 private:
  // Sum of (x - end)² over the bins [from, to).
  double beyond(size_t from, size_t to, double end) const {
    const auto sum = [&](size_t i) { return sums_[to][i] - sums_[from][i]; };
    return sum(2) - 2 * end * sum(1) + end * end * sum(0);
  }

  const Histogram& h_;
  std::vector<std::array<double, 3>> sums_;
};

Range percentile_range(const Histogram& h, Range all, double percentile) {
  const double cut = static_cast<double>(h.total()) * (1 - percentile);
  double below = 0, above = 0;
  int low = 0, high = Histogram::kBins - 1;
  while (low < high && below + static_cast<double>(h.counts()[static_cast<size_t>(low)]) <= cut)
    below += static_cast<double>(h.counts()[static_cast<size_t>(low++)]);
  while (high > low && above + static_cast<double>(h.counts()[static_cast<size_t>(high)]) <= cut)
    above += static_cast<double>(h.counts()[static_cast<size_t>(high--)]);
  return {std::max(all.low, static_cast<float>(h.centre(low) - h.width() / 2)),
          std::min(all.high, static_cast<float>(h.centre(high) + h.width() / 2))};
}

// Divergence of the distribution that quantization leaves from the one clipped to the range.
double divergence(const Histogram& h, Range range) {
  const int from = h.bin_of(range.low), to = h.bin_of(range.high) + 1, bins = to - from;
  if (bins < 2) return std::numeric_limits<double>::infinity();
  const auto counts = h.counts();
  std::vector<double> p(static_cast<size_t>(bins));
  for (int i = 0; i < Histogram::kBins; ++i)
    p[static_cast<size_t>(std::clamp(i, from, to - 1) - from)] += static_cast<double>(counts[static_cast<size_t>(i)]);
  double total = 0, kept = 0;
  for (double v : p) total += v;
  // Each level gets the mass of its bins without what was clipped, spread over those that are not empty.
  std::vector<double> q(p.size());
  const int levels = std::min(kLevels, bins);
  for (int level = 0; level < levels; ++level) {
    const int begin = level * bins / levels, end = (level + 1) * bins / levels;
    double mass = 0;
    int filled = 0;
    for (int i = begin; i < end; ++i) {
      mass += static_cast<double>(counts[static_cast<size_t>(from + i)]);
      filled += p[static_cast<size_t>(i)] > 0;
    }
    for (int i = begin; i < end; ++i)
      if (p[static_cast<size_t>(i)] > 0) q[static_cast<size_t>(i)] = mass / filled;
    kept += mass;
  }
  if (kept <= 0) return std::numeric_limits<double>::infinity();
  double sum = 0;
  constexpr double kLeast = 1e-12;  // where clipping left a bin without mass of its own
  for (size_t i = 0; i < p.size(); ++i)
    if (p[i] > 0) sum += p[i] / total * std::log(p[i] / total / std::max(q[i] / kept, kLeast));
  return sum;
}

}  // namespace

std::string_view method_name(RangeMethod method) {
  return std::ranges::find(kNames, method, &std::pair<RangeMethod, std::string_view>::first)->second;
}

std::optional<RangeMethod> method_from_name(std::string_view name) {
  const auto* it = std::ranges::find(kNames, name, &std::pair<RangeMethod, std::string_view>::second);
  return it == std::end(kNames) ? std::nullopt : std::optional(it->first);
}

float ByteParams::round_trip(float x) const {
  const float q = std::clamp(std::nearbyint(x / scale) + static_cast<float>(zero), 0.0f, 255.0f);
  return (q - static_cast<float>(zero)) * scale;
}

ByteParams byte_params(Range range, bool symmetric) {
  const float low = std::min(range.low, 0.0f), high = std::max(range.high, 0.0f);
  ByteParams p;
  if (symmetric) {
    p.scale = std::max(std::max(-low, high) / 127, 0x1p-100f);
    p.zero = 128;
    p.symmetric = true;
    return p;
  }
  p.scale = std::max((high - low) / 255, 0x1p-100f);
  p.zero = static_cast<uint8_t>(std::clamp(std::nearbyint(-low / p.scale), 0.0f, 255.0f));
  return p;
}

Range choose_range(const Histogram& histogram, Range all, RangeMethod method, double percentile) {
  switch (method) {
    case RangeMethod::kMinMax:
      return all;
    case RangeMethod::kPercentile:
      return percentile_range(histogram, all, percentile);
    case RangeMethod::kEntropy: {
      // One end after the other: a divergence costs a pass over all bins.
      Range best = all;
      double least = divergence(histogram, all);
      for (float Range::* end : {&Range::high, &Range::low})
        for (int i = 1; i <= kSteps; ++i) {
          Range r = best;
          r.*end = static_cast<float>(all.*end * (1 - (1 - kLeastShare) * i / kSteps));
          if (const double d = divergence(histogram, r); d < least) least = d, best = r;
        }
      return best;
    }
    case RangeMethod::kMse: {
      const Moments moments(histogram);
      return search(all, [&](Range r) { return moments.square_error(r); });
    }
  }
  return all;
}

ByteParams choose_params(const Histogram& histogram, Range all, const RangeRule& rule) {
  return byte_params(choose_range(histogram, all, rule.method, rule.percentile), rule.symmetric);
}

Range least_error_range(std::span<const float> rows, std::span<const float> importance, Range all, bool symmetric) {
  const size_t k = importance.size();
  const auto error = [&](Range range) {
    const ByteParams p = byte_params(range, symmetric);
    const float inverse = 1 / p.scale, zero = p.zero;
    double total = 0;
    for (size_t row = 0; row + k <= rows.size(); row += k) {
      float sum = 0;
      for (size_t c = 0; c < k; ++c) {
        // As round_trip(), in a form that compilers make vectors of: adding 1.5 · 2^23 rounds to whole numbers.
        const float x = rows[row + c];
        const float level = std::min(std::max(x * inverse, -zero), 255 - zero);
        const float rounded = (level + 12582912.0f) - 12582912.0f;
        const float off = x - rounded * p.scale;
        sum += importance[c] * off * off;
      }
      total += sum;
    }
    return total;
  };
  constexpr int kTries = 20;
  if (symmetric) {
    const float whole = std::max(-all.low, all.high);
    Range best{-whole, whole};
    double least = error(best);
    for (int i = 1; i <= kTries; ++i) {
      const float end = whole * static_cast<float>(1 - (1 - kLeastShare) * i / kTries);
      if (const double e = error({-end, end}); e < least) least = e, best = {-end, end};
    }
    return best;
  }
  // One end after the other: the two hardly depend on each other.
  Range best = all;
  double least = error(all);
  for (float Range::* end : {&Range::high, &Range::low, &Range::high}) {
    const float whole = all.*end;
    if (whole == 0) continue;
    for (int i = 1; i <= kTries; ++i) {
      Range r = best;
      r.*end = whole * static_cast<float>(1 - (1 - kLeastShare) * i / kTries);
      if (const double e = error(r); e < least) least = e, best = r;
    }
  }
  return best;
}

}  // namespace vitrail::quant
