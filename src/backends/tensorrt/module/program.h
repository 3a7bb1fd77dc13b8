// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "backends/cuda/device.h"
#include "backends/tensorrt/module/library.h"
#include "backends/tensorrt/module/logger.h"
#include "runtime/backend.h"

namespace vitrail::tensorrt {

// One deserialized engine. Contexts of different streams share it where the version lets two contexts use one
// profile at the same time.
struct LoadedEngine {
  std::unique_ptr<nv::ICudaEngine> engine;
  bool taken = false;
};

class PlanProgram : public Program, public std::enable_shared_from_this<PlanProgram> {
 public:
  // `plan_only`: touches neither TensorRT nor a device; plan() is all that it can do then.
  static Result<std::shared_ptr<const Program>> create(std::shared_ptr<const Graph> graph, bool plan_only);
  ~PlanProgram() override;

  Result<MemoryPlan> plan(int64_t batch, int threads) const override;
  Result<std::unique_ptr<Context>> create_context(const ContextOptions& options) const override;
  std::shared_ptr<void> allocate_host(size_t bytes) const override;
  int64_t device_bytes() const override { return device_bytes_; }
  std::optional<DeviceInfo> device_info() const override;

  const Graph& graph() const { return *graph_; }
  const Node& node() const { return graph_->nodes[0]; }
  const Logger& logger() const { return logger_; }
  size_t profile_count() const { return std::max<size_t>(context_bytes_.size(), 1); }
  // The tightest profile that holds the batch; -1 for none.
  int profile_of(int64_t batch) const;
  std::string profiles_text() const;  // "1:8:16, 16:32:64"
  int64_t context_bytes(int profile) const;
  int64_t io_bytes(int64_t batch) const;  // inputs and outputs on the device
  // An engine for one more context; given back by release().
  Result<std::shared_ptr<LoadedEngine>> lease() const;

 private:
  PlanProgram(std::shared_ptr<const Graph> graph) : graph_(std::move(graph)) {}
  Status read_plan();
  Status open();
  Status check_library() const;
  Status check_interface(const nv::ICudaEngine& engine) const;
  Result<std::shared_ptr<LoadedEngine>> deserialize() const;

  std::shared_ptr<const Graph> graph_;
  std::vector<int64_t> profiles_;       // min, opt, max of each; empty: no input depends on the batch
  std::vector<int64_t> context_bytes_;  // by profile
  mutable Logger logger_;               // outlives what TensorRT makes
  const Library* library_ = nullptr;
  cuda::Device device_;
  std::unique_ptr<nv::IRuntime> runtime_;
  mutable std::mutex mutex_;
  mutable std::vector<std::shared_ptr<LoadedEngine>> engines_;
  int64_t device_bytes_ = 0;
};

}  // namespace vitrail::tensorrt
