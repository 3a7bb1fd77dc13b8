// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "backends/cuda/device.h"
#include "backends/tensorrt/module/program.h"
#include "runtime/backend.h"

namespace vitrail::tensorrt {

// One stream: for each batch size that has been seen an execution context and its CUDA graph, all in one
// block of device memory.
class PlanContext : public Context {
 public:
  static Result<std::unique_ptr<Context>> create(std::shared_ptr<const PlanProgram> program,
                                                 const ContextOptions& options);
  ~PlanContext() override;

  Status run(int64_t batch, std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs,
             Observer* observer) override;
  std::optional<DeviceTimes> device_times() const override { return times_; }
  int64_t device_bytes() const override { return static_cast<int64_t>(memory_.bytes()); }
  bool checks_inputs() const override { return checks_inputs_; }
  bool found_non_finite() const override { return *flag() != 0; }

 private:
  // An input or output: its place on the device, and pinned memory for callers whose own is not.
  struct Port {
    ValueId id;
    std::byte* device;
    std::byte* pinned;
  };
  struct Profiled;
  struct Bound {
    std::unique_ptr<nv::IExecutionContext> context;
    cuda::GraphExec graph;  // empty before capturing, and where that failed
    int repeats = 0;  // runs after the first, up to the one that captures
    int profile = 0;
  };

  PlanContext(std::shared_ptr<const PlanProgram> program, int64_t max_batch)
      : program_(std::move(program)), max_batch_(max_batch) {}
  Status allocate();
  Result<std::unique_ptr<nv::IExecutionContext>> make(nv::ICudaEngine& engine, int profile);
  Status set_shapes(nv::IExecutionContext& context, int64_t batch);
  Result<Bound*> bind(int64_t batch);
  void capture(Bound& bound);
  Status enqueue(nv::IExecutionContext& context, int64_t batch);
  Status profile(int64_t batch, Observer& observer);
  size_t bytes_of(ValueId id, int64_t batch) const;
  int* flag() const { return reinterpret_cast<int*>(flag_.data()); }

  std::shared_ptr<const PlanProgram> program_;
  int64_t max_batch_;
  std::shared_ptr<LoadedEngine> engine_;
  cuda::Stream stream_;
  cuda::DeviceMemory memory_;  // TensorRT's activations, then inputs and outputs
  cuda::PinnedMemory pinned_, flag_;
  bool checks_inputs_ = false;
  int64_t context_bytes_ = 0;
  std::vector<Port> inputs_, outputs_;
  std::map<int64_t, Bound> bounds_;  // by batch
  cuda::Event begin_, copied_, computed_, end_;
  std::optional<DeviceTimes> times_;
};

}  // namespace vitrail::tensorrt
