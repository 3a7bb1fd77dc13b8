// SPDX-License-Identifier: Apache-2.0
// What TensorRT's own calibration is fed with and leaves behind, without TensorRT.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "runtime/plan_options.h"

namespace vitrail::tensorrt {

inline constexpr int64_t kCalibrationBatch = 8;

// Samples joined to whole batches, input by input, in host memory.
class CalibrationBatches {
 public:
  // The graph's inputs are filled in its order; a model of one batch size gets that one, others kCalibrationBatch or
  // what there is.
  CalibrationBatches(const Graph& graph, const CalibrationFeed& feed);

  int64_t batch() const { return batch_; }
  // Fills the buffers with the next samples; a last batch that is not full is filled up with its own. False at the
  // end. Samples that cannot be read are passed over and kept in skipped(); kBadInput for one that does not fit.
  Result<bool> next();
  // The content of an input by name, of the last batch; null for a name that is none.
  const std::vector<std::byte>* buffer(std::string_view name) const;
  const std::vector<std::string>& skipped() const { return skipped_; }  // why
  int64_t used() const { return used_; }                                // samples

 private:
  Status put(const std::vector<NamedTensor>& sample, int64_t row);

  const CalibrationFeed& feed_;
  int64_t batch_ = 1, at_ = 0, used_ = 0;
  std::map<std::string, std::vector<std::byte>, std::less<>> buffers_;
  std::vector<std::string> skipped_;
};

// TensorRT's calibration table: "TRT-8503-EntropyCalibration2", then "TENSOR: 3c010a14", the bits of a float32 step.
struct CalibrationCache {
  int version = 0;                     // as TensorRT counts it: 8503 is 8.5.3, 101601 is 10.16.1
  std::map<std::string, float> steps;  // by tensor
};
// Nothing of the file is trusted; kBadInput names the file and the line, or another kind of calibration.
Result<CalibrationCache> parse_calibration_cache(std::string_view text, std::string_view file);
// "8.5.3"
std::string version_name(int version);

}  // namespace vitrail::tensorrt
