// SPDX-License-Identifier: Apache-2.0
#include "quant/search.h"

#include <algorithm>

namespace vitrail::quant {

Result<std::vector<size_t>> fewest_kept(std::span<const size_t> ranked,
                                        const std::function<Result<bool>(std::span<const size_t> kept)>& good,
                                        int tries) {
  const size_t n = ranked.size();
  size_t bad = 0, enough = n;  // a run of `bad` is not good, one of `enough` is taken to be
  VTL_ASSIGN(const bool nothing, good({}));
  if (nothing) return std::vector<size_t>();
  for (size_t step = 1; step < n; step *= 2) {
    VTL_ASSIGN(const bool ok, good(ranked.first(step)));
    if (ok) {
      enough = step;
      break;
    }
    bad = step;
  }
  while (enough - bad > 1) {
    const size_t middle = bad + (enough - bad) / 2;
    VTL_ASSIGN(const bool ok, good(ranked.first(middle)));
    (ok ? enough : bad) = middle;
  }
  std::vector<size_t> kept(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(enough));
  // The last of the run is needed: without it the run was not good.
  for (size_t i = kept.size(); i-- > 0 && tries > 0;) {
    if (i + 1 == enough) continue;
    std::vector<size_t> fewer = kept;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
    VTL_ASSIGN(const bool ok, good(fewer));
    if (ok) kept = std::move(fewer);
    --tries;
  }
  std::ranges::sort(kept);
  return kept;
}

}  // namespace vitrail::quant
