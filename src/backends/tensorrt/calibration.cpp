// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/calibration.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/parse_number.h"

namespace vitrail::tensorrt {
namespace {

constexpr std::string_view kKind = "EntropyCalibration2";

// 0 when any will do.
int64_t fixed_batch(const Graph& graph) {
  for (ValueId id : graph.inputs)
    if (const auto& shape = graph.value(id).shape; !shape || shape->empty() || !is_fixed(*shape)) return 0;
  return graph.inputs.empty() ? 0 : (*graph.value(graph.inputs[0]).shape)[0].fixed;
}

}  // namespace

CalibrationBatches::CalibrationBatches(const Graph& graph, const CalibrationFeed& feed) : feed_(feed) {
  const int64_t fixed = fixed_batch(graph);
  batch_ = fixed > 0 ? fixed : std::clamp<int64_t>(feed.count, 1, kCalibrationBatch);
  for (ValueId id : graph.inputs) {
    const Value& v = graph.value(id);
    const int64_t elements = element_count(at_batch(*v.shape, batch_));
    buffers_[v.name].resize(static_cast<size_t>(elements) * dtype_size(v.dtype));
  }
}

Status CalibrationBatches::put(const std::vector<NamedTensor>& sample, int64_t row) {
  for (auto& [name, buffer] : buffers_) {
    const auto it = std::ranges::find(sample, name, &NamedTensor::name);
    if (it == sample.end()) return bad_input("calibration: a sample has no input '{}'", name);
    const size_t bytes = buffer.size() / static_cast<size_t>(batch_);
    if (it->tensor.bytes() != bytes)
      return bad_input("calibration: input '{}' of a sample is {} {}, which is {} bytes and not {}", name,
                       dtype_name(it->tensor.dtype()), to_string(it->tensor.shape()), it->tensor.bytes(), bytes);
    std::memcpy(buffer.data() + static_cast<size_t>(row) * bytes, it->tensor.data(), bytes);
  }
  return {};
}

Result<bool> CalibrationBatches::next() {
  int64_t rows = 0;
  while (rows < batch_ && at_ < feed_.count) {
    const auto sample = feed_.load(at_++);
    if (!sample.ok()) {
      skipped_.push_back(sample.status().message());
      continue;
    }
    VTL_TRY(put(*sample, rows++));
  }
  used_ += rows;
  if (rows == 0) return false;
  for (auto& [name, buffer] : buffers_) {
    const size_t bytes = buffer.size() / static_cast<size_t>(batch_);
    for (int64_t r = rows; r < batch_; ++r)
      std::memcpy(buffer.data() + static_cast<size_t>(r) * bytes, buffer.data() + static_cast<size_t>(r % rows) * bytes,
                  bytes);
  }
  return true;
}

const std::vector<std::byte>* CalibrationBatches::buffer(std::string_view name) const {
  const auto it = buffers_.find(name);
  return it == buffers_.end() ? nullptr : &it->second;
}

std::string version_name(int version) {
  const bool wide = version >= 10000;  // two digits a part
  const int major = wide ? version / 10000 : version / 1000, minor = wide ? version / 100 % 100 : version / 100 % 10;
  return fmt::format("{}.{}.{}", major, minor, version % 100);
}

Result<CalibrationCache> parse_calibration_cache(std::string_view text, std::string_view file) {
  const auto damaged = [&](int line, std::string_view what) {
    return bad_input("--calibration-cache {}: line {} {}; give a table that TensorRT's calibration wrote, or delete it and "
                     "calibrate again",
                     file, line, what);
  };
  CalibrationCache cache;
  for (int line = 1; !text.empty(); ++line) {
    const size_t end = text.find('\n');
    std::string_view row = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (row.ends_with('\r')) row.remove_suffix(1);
    if (line == 1) {
      const size_t dash = row.find('-', 4);
      if (!row.starts_with("TRT-") || dash == std::string_view::npos || !parse_number(row.substr(4, dash - 4), cache.version))
        return damaged(1, "is not TRT-VERSION-EntropyCalibration2");
      if (row.substr(dash + 1) != kKind)
        return bad_input("--calibration-cache {}: it is of {}, and Vitrail calibrates by {}; delete it and calibrate again", file,
                         row.substr(dash + 1), kKind);
      continue;
    }
    if (row.empty()) continue;
    const size_t colon = row.rfind(": ");
    uint32_t bits = 0;
    // TensorRT leaves leading zeros out: 0 is the step of a tensor of zeros.
    if (colon == std::string_view::npos || colon == 0 || row.size() - colon > 10 ||
        !parse_number(row.substr(colon + 2), bits, 16))
      return damaged(line, "is not TENSOR: HEX DIGITS, eight at the most");
    if (end == std::string_view::npos && row.size() - colon < 10) return damaged(line, "is cut off");
    const float step = std::bit_cast<float>(bits);
    if (!std::isfinite(step) || step < 0) return damaged(line, "holds no step of a scale");
    if (!cache.steps.emplace(row.substr(0, colon), step).second) return damaged(line, "repeats a tensor");
  }
  if (cache.steps.empty()) return damaged(1, "is all that there is: no tensor has a range");
  return cache;
}

}  // namespace vitrail::tensorrt
