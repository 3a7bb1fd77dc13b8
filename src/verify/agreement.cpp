// SPDX-License-Identifier: Apache-2.0
#include "verify/agreement.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace vitrail {
namespace {

// The classes of the `k` greatest logits, greatest first.
std::vector<size_t> top(std::span<const double> logits, size_t k) {
  auto key = [&](size_t i) { return std::isnan(logits[i]) ? -HUGE_VAL : logits[i]; };
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::partial_sort(order, order.begin() + static_cast<std::ptrdiff_t>(k),
                            [&](size_t a, size_t b) { return key(a) != key(b) ? key(a) > key(b) : a < b; });
  order.resize(k);
  return order;
}

}  // namespace

void Agreement::add_row(std::span<const double> got, std::span<const double> want) {
  if (want.size() < 2 || got.size() != want.size()) return;
  const size_t k = std::min<size_t>(5, want.size());
  const std::vector<size_t> a = top(got, k), b = top(want, k);
  ++rows_;
  same_first_ += a[0] == b[0];
  if (k < 5) return;
  ++rows5_;
  for (size_t c : a) common5_ += std::ranges::count(b, c);
}

std::optional<double> Agreement::top1() const {
  if (rows_ == 0) return std::nullopt;
  return static_cast<double>(same_first_) / static_cast<double>(rows_);
}

std::optional<double> Agreement::top5() const {
  if (rows5_ == 0) return std::nullopt;
  return static_cast<double>(common5_) / static_cast<double>(5 * rows5_);
}

}  // namespace vitrail
