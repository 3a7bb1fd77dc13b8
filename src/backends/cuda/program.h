// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "backends/cuda/step.h"
#include "runtime/backend.h"

namespace vitrail::cuda {

// The most that cuBLASLt may use beside a product's operands.
inline constexpr size_t kLtWorkspaceBytes = size_t{32} << 20;

// The loaded graph: weights on the device, one Step a node; shared by all contexts.
class CudaProgram : public Program, public std::enable_shared_from_this<CudaProgram> {
 public:
  // `plan_only`: touches no device; plan() is all that it can do then.
  static Result<std::shared_ptr<const Program>> create(std::shared_ptr<const Graph> graph,
                                                       const Device& device, bool plan_only = false);

  Result<MemoryPlan> plan(int64_t batch, int threads) const override;
  Result<std::unique_ptr<Context>> create_context(const ContextOptions& options) const override;
  std::shared_ptr<void> allocate_host(size_t bytes) const override;
  int64_t device_bytes() const override { return device_bytes_; }
  std::optional<DeviceInfo> device_info() const override;
  Result<std::vector<double>> library_us(int64_t batch) const override;

  // What contexts need.
  struct Root {
    enum Kind { kArena, kConstant } kind = kArena;
    ValueId value = kNoValue;      // that owns the memory
    ValueId may_alias = kNoValue;  // value inside which it lies at some batch sizes
  };
  const Graph& graph() const { return *graph_; }
  const Device& device() const { return device_; }
  const Lt* lt() const { return lt_.get(); }
  const std::vector<std::unique_ptr<Step>>& steps() const { return steps_; }  // null: a view
  const std::vector<Root>& roots() const { return roots_; }                   // by ValueId
  // Whether the node's output lies inside its input at this batch size.
  bool is_alias(size_t node, int64_t batch) const;
  // The buffers of the largest batch, with those values moved that lie inside others at this one.
  std::vector<std::byte*> alias(std::vector<std::byte*> buffers, int64_t batch) const;
  std::byte* weight(ValueId id) const { return weights_[static_cast<size_t>(id)]; }
  size_t workspace_bytes() const { return needs_lt_ ? kLtWorkspaceBytes : 0; }
  int64_t step_scratch_bytes(int64_t batch) const;  // the largest of all steps, without cuBLASLt's workspace
  bool has_host_steps() const;
  bool steps_check_inputs() const;  // every float input is read whole by a step that looks for NaN
  bool rows_are_independent() const { return independent_; }  // so that a batch may be cut

 private:
  CudaProgram(std::shared_ptr<const Graph> graph, const Device& device)
      : graph_(std::move(graph)), device_(device) {}
  Status make_steps();
  void find_roots();
  Status upload();

  std::shared_ptr<const Graph> graph_;
  Device device_;
  bool needs_lt_ = false, plan_only_ = false;
  std::shared_ptr<Lt> lt_;
  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<Root> roots_;
  DeviceMemory memory_;
  int64_t device_bytes_ = 0;
  std::vector<std::byte*> weights_;  // by ValueId
  bool independent_ = false;
};

}  // namespace vitrail::cuda
