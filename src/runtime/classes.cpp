// SPDX-License-Identifier: Apache-2.0
#include "runtime/classes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace vitrail {
namespace {

std::vector<float> softmax(std::span<const float> scores) {
  std::vector<float> p(scores.begin(), scores.end());
  const float largest = p.empty() ? 0 : *std::max_element(p.begin(), p.end());
  double sum = 0;
  for (float& v : p) sum += v = std::exp(v - largest);
  for (float& v : p) v = static_cast<float>(v / sum);
  return p;
}

}  // namespace

std::vector<Classification> top_classes(std::span<const float> scores, const std::vector<std::string>& labels,
                                        int top) {
  const std::vector<float> p = softmax(scores);
  std::vector<int> order(p.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return p[static_cast<size_t>(a)] > p[static_cast<size_t>(b)]; });
  std::vector<Classification> best;
  for (size_t i = 0; i < order.size() && static_cast<int>(i) < top; ++i) {
    const auto c = static_cast<size_t>(order[i]);
    best.push_back({order[i], c < labels.size() ? labels[c] : "", p[c]});
  }
  return best;
}

}  // namespace vitrail
