// SPDX-License-Identifier: Apache-2.0
#include "bench/layer_timer.h"

#include <algorithm>

#include "core/statistics.h"

namespace vitrail {

std::vector<LayerTime> LayerTimer::summarize(std::span<const LayerReport> reports, int64_t batch,
                                             std::span<const double> bytes,
                                             std::span<const double> library_us) const {
  std::vector<LayerTime> out;
  double total = 0;
  for (size_t i = 0; i < std::min(reports.size(), times_.size()); ++i) {
    const LayerReport& r = reports[i];
    LayerTime time{r.name, r.op, r.stage, r.kernel, r.precision, vitrail::summarize(times_[i]).median};
    if (time.median_us > 0) {
      time.gflops = r.flops_per_image * static_cast<double>(batch) / (time.median_us * 1e3);
      if (i < bytes.size()) time.gbytes_per_second = bytes[i] / (time.median_us * 1e3);
      if (i < library_us.size()) time.of_library = library_us[i] / time.median_us;
    }
    total += time.median_us;
    out.push_back(std::move(time));
  }
  for (LayerTime& time : out) time.share = total > 0 ? time.median_us / total : 0;
  return out;
}

}  // namespace vitrail
