// SPDX-License-Identifier: Apache-2.0
#include "workflow/calibrate.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "core/cancel.h"
#include "core/error.h"
#include "preprocess/dataset.h"
#include "workflow/sample_runner.h"
#include "workflow/samples.h"

namespace vitrail {
namespace {

constexpr int64_t kSyntheticSamples = 32;

class AbsMax : public Observer {
 public:
  explicit AbsMax(const Graph& graph) : graph_(graph), largest_(graph.values.size(), -1) {}
  bool wants_values() const override { return true; }
  void on_value(ValueId id, const TensorView& content) override {
    if (content.dtype != DType::kF32) return;
    float& largest = largest_[static_cast<size_t>(id)];
    largest = std::max(largest, 0.0f);
    for (float v : content.as<float>()) {
      const float size = std::fabs(v);
      if (!std::isfinite(v))
        overflow_ = overflow_ == kNoValue ? id : overflow_;
      else if (size > largest)
        largest = size;
    }
  }

  std::map<std::string, float> by_name() const {
    std::map<std::string, float> out;
    for (size_t i = 0; i < largest_.size(); ++i)
      if (largest_[i] >= 0) out[graph_.values[i].name] = largest_[i];
    return out;
  }
  ValueId first_overflow() const { return overflow_; }

 private:
  const Graph& graph_;
  std::vector<float> largest_;
  ValueId overflow_ = kNoValue;
};

// A picture of the contract's size out of squares of one colour each; the sizes of the squares take turns, so
// that the patches see both noise and surfaces.
std::vector<uint8_t> noise_picture(const PreprocessContract& contract, int64_t index) {
  constexpr int kSquares[] = {1, 4, 16, 64};
  const int square = kSquares[index % 4];
  std::mt19937 random(static_cast<uint32_t>(index));
  const auto width = static_cast<size_t>(contract.width), height = static_cast<size_t>(contract.height);
  const size_t across = (width + static_cast<size_t>(square) - 1) / static_cast<size_t>(square);
  std::vector<uint8_t> pixels(3 * width * height), colours(3 * across);
  for (size_t y = 0; y < height; ++y) {
    if (y % static_cast<size_t>(square) == 0)
      for (uint8_t& c : colours) c = static_cast<uint8_t>(random() & 255);
    for (size_t x = 0; x < width; ++x)
      std::copy_n(&colours[3 * (x / static_cast<size_t>(square))], 3, &pixels[3 * (y * width + x)]);
  }
  return pixels;
}

SampleSource noise_samples(const Graph& graph, const PreprocessContract& contract) {
  const auto input = image_input(graph);
  if (!input.ok()) return random_samples(graph, kSyntheticSamples);
  SampleSource source;
  source.count = kSyntheticSamples;
  source.description = fmt::format("{} synthetic noise images", kSyntheticSamples);
  source.load = [contract, name = graph.value(*input).name,
                 dtype = graph.value(*input).dtype](int64_t index) -> Result<std::vector<NamedTensor>> {
    Tensor bytes(DType::kU8, {1, contract.height, contract.width, 3});
    const auto pixels = noise_picture(contract, index);
    std::memcpy(bytes.mutable_data(), pixels.data(), pixels.size());
    return std::vector<NamedTensor>{{name, dtype == DType::kU8 ? bytes : normalised(bytes, contract)}};
  };
  return source;
}

Result<SampleSource> choose_samples(const Graph& graph, const PreprocessContract& contract,
                                    const CalibrateOptions& options, Calibration& calibration) {
  if (options.images.empty()) {
    SampleSource noise = noise_samples(graph, contract);
    calibration.warnings.push_back(
        fmt::format("calibrated on {}: real images reach other ranges, so accuracy may suffer; give "
                    "--calibrate DIR with some hundred pictures of what the model will see",
                    noise.description));
    return noise;
  }
  if (options.samples < 1)
    return usage_error("calibration on {} samples; it must be at least 1", options.samples);
  return folder_samples(graph, contract, options.images);
}

void add_warnings(const std::vector<std::string>& skipped, ValueId overflow, const Graph& graph,
                  bool pictures, Calibration& c) {
  if (!skipped.empty()) c.warnings.push_back(skipped_warning("calibration", skipped));
  if (pictures && c.samples < kFewCalibrationImages)
    c.warnings.push_back(fmt::format("calibrated on {} images only; ranges settle with {} or more", c.samples,
                                     kFewCalibrationImages));
  if (overflow != kNoValue)
    c.warnings.push_back(
        fmt::format("calibration: '{}' is NaN or infinite for some sample already in float32; "
                    "its range counts the finite values only",
                    graph.value(overflow).name));
}

}  // namespace

Result<Calibration> calibrate(const Graph& graph, const PreprocessContract& contract,
                              const CalibrateOptions& options) {
  Calibration calibration;
  VTL_ASSIGN(const SampleSource all, choose_samples(graph, contract, options, calibration));
  const int64_t wanted = std::min(all.count, options.images.empty() ? all.count : options.samples);
  VTL_ASSIGN(SampleRunner runner, SampleRunner::make(graph, options.threads));
  AbsMax absmax(runner.graph());
  std::vector<std::string> skipped;
  for (int64_t i = 0; i < wanted; ++i) {
    if (cancel::requested()) return cancelled();
    if (options.progress) options.progress(i, wanted);
    const auto sample = all.load(i * all.count / wanted);
    if (!sample.ok()) {
      skipped.push_back(sample.status().message());
      continue;
    }
    VTL_TRY(runner.run(*sample, &absmax).with_context(fmt::format("calibration sample {}", i)));
    ++calibration.samples;
  }
  if (options.progress) options.progress(wanted, wanted);
  if (calibration.samples == 0)
    return bad_input("{}: none of {} calibration samples could be used{}{}", options.images, wanted,
                     skipped.empty() ? "" : ": ", skipped.empty() ? "" : skipped[0]);
  calibration.source = fmt::format("{}, {} of them used", all.description, calibration.samples);
  calibration.absmax = absmax.by_name();
  add_warnings(skipped, absmax.first_overflow(), runner.graph(), !options.images.empty(), calibration);
  return calibration;
}

}  // namespace vitrail
