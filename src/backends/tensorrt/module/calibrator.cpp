// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/calibrator.h"

#include <algorithm>
#include <filesystem>

#include "backends/cuda/device.h"
#include "backends/tensorrt/calibration.h"
#include "backends/tensorrt/module/build_plan.h"
#include "backends/tensorrt/module/host.h"
#include "core/error.h"
#include "core/files.h"

namespace vitrail::tensorrt {

#if VTL_TRT_HAS_CALIBRATOR
namespace {

constexpr size_t kMaxCacheBytes = 64 << 20;

class Calibrator : public nv::IInt8EntropyCalibrator2, public Calibration {
 public:
  Calibrator(const Graph& graph, const CalibrationFeed& feed) : feed_(feed), batches_(graph, feed) {}

  // Ranges of an earlier run. Those of another version are none: TensorRT would say so and calibrate.
  Status read_cache(const Library& library) {
    std::error_code error;
    if (feed_.cache.empty() || !std::filesystem::exists(feed_.cache, error)) return {};
    VTL_ASSIGN(std::string text, read_file(feed_.cache, kMaxCacheBytes));
    VTL_ASSIGN(const CalibrationCache cache, parse_calibration_cache(text, feed_.cache));
    if (cache.version == library.version())
      cache_ = std::move(text);
    else if (feed_.count == 0)
      return bad_input("--calibration-cache {}: TensorRT {} wrote it, and here is {}; give --calibrate FOLDER to make a new one",
                       feed_.cache, version_name(cache.version), library.name());
    return {};
  }
  Status check() const {
    if (feed_.count > 0 || !cache_.empty()) return {};
    return bad_input("--calibration-cache {}: there is no such file; give --calibrate FOLDER to make it", feed_.cache);
  }
  int64_t batch() const { return batches_.batch(); }

  // --- what TensorRT asks
  int32_t getBatchSize() const noexcept override { return static_cast<int32_t>(batches_.batch()); }
  bool getBatch(void* bindings[], const char* names[], int32_t count) noexcept override {
    try {
      const Result<bool> got = feed(bindings, names, count);
      if (!got.ok() && failure_.ok()) failure_ = got.status();
      return got.ok() && *got;
    } catch (const std::exception& e) {  // out of memory
      failure_ = internal_error("calibration: {}", e.what());
      return false;
    }
  }
  const void* readCalibrationCache(std::size_t& length) noexcept override {
    length = cache_.size();
    return cache_.empty() ? nullptr : cache_.data();
  }
  void writeCalibrationCache(const void* data, std::size_t length) noexcept override {
    try {
      made_.assign(static_cast<const char*>(data), length);
    } catch (const std::exception& e) {
      failure_ = internal_error("calibration: {}", e.what());
    }
  }

  Status finish(bool built) override {
    VTL_TRY(failure_);
    if (!built) return {};
    if (cache_.empty() && batches_.used() == 0)
      return bad_input("calibration: none of {} samples could be used{}{}", feed_.count,
                       batches_.skipped().empty() ? "" : ": ", batches_.skipped().empty() ? "" : batches_.skipped()[0]);
    if (feed_.cache.empty() || made_.empty()) return {};
    return write_file_atomically(feed_.cache, made_).with_context("--calibration-cache");
  }

 private:
  Result<bool> feed(void* bindings[], const char* names[], int32_t count) {
    if (host_cancelled()) return cancelled();
    VTL_ASSIGN(const bool more, batches_.next());
    if (!more) return false;
    for (int32_t i = 0; i < count; ++i) {
      const std::vector<std::byte>* bytes = batches_.buffer(names[i]);
      if (!bytes) return internal_error("calibration: TensorRT asks for '{}', which is no input", names[i]);
      cuda::DeviceMemory& memory = memory_[names[i]];
      if (memory.bytes() == 0) {
        VTL_ASSIGN(memory, cuda::allocate_device(bytes->size(), "calibration"));
      }
      VTL_TRY(cuda::cuda_status(cudaMemcpy(memory.data(), bytes->data(), bytes->size(), cudaMemcpyHostToDevice),
                                "calibration"));
      bindings[i] = memory.data();
    }
    return true;
  }

  const CalibrationFeed& feed_;
  CalibrationBatches batches_;
  std::map<std::string, cuda::DeviceMemory> memory_;  // by input
  std::string cache_, made_;
  Status failure_;
};

}  // namespace

Result<std::unique_ptr<Calibration>> add_calibration(const Library& library, nv::IBuilder& builder,
                                                     nv::IBuilderConfig& config, const Graph& graph,
                                                     const CalibrationFeed& feed) {
  if (!feed.wanted()) return std::unique_ptr<Calibration>();
  auto calibrator = std::make_unique<Calibrator>(graph, feed);
  VTL_TRY(calibrator->read_cache(library));
  VTL_TRY(calibrator->check());
  nv::IOptimizationProfile* profile = nullptr;
  for (ValueId id : graph.inputs) {
    const Value& v = graph.value(id);
    if (is_fixed(*v.shape)) continue;
    if (!profile) profile = builder.createOptimizationProfile();
    if (!profile) return internal_error("calibration: TensorRT makes no profile");
    const nv::Dims d = dims(at_batch(*v.shape, calibrator->batch()));
    for (nv::OptProfileSelector which :
         {nv::OptProfileSelector::kMIN, nv::OptProfileSelector::kOPT, nv::OptProfileSelector::kMAX})
      profile->setDimensions(v.name.c_str(), which, d);
  }
  if (!set_calibrator(config, *calibrator, profile))
    return internal_error("calibration: TensorRT does not take the profile of batch {}", calibrator->batch());
  return std::unique_ptr<Calibration>(std::move(calibrator));
}

#else

Result<std::unique_ptr<Calibration>> add_calibration(const Library& library, nv::IBuilder&, nv::IBuilderConfig&,
                                                     const Graph&, const CalibrationFeed& feed) {
  if (!feed.wanted()) return std::unique_ptr<Calibration>();
  return unavailable("--calibrate: {} has no calibration of its own (TensorRT 8.5 to 10 have); make 8-bit ranges with `vitrail "
                     "quantize MODEL --images FOLDER -o Q.onnx` and build Q.onnx with --precision int8",
                     library.name());
}

#endif

}  // namespace vitrail::tensorrt
