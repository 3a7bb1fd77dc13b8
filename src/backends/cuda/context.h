// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "backends/cuda/program.h"
#include "backends/cuda/split_batch.h"

namespace vitrail::cuda {

// One stream: an arena on the device, pinned copies of inputs and outputs, and for each of a few batch sizes
// all launches bound to their addresses and captured into one CUDA graph. Other sizes run as a sequence of
// these; where batches cannot be cut there are none.
class CudaContext : public Context {
 public:
  static Result<std::unique_ptr<Context>> create(std::shared_ptr<const CudaProgram> program,
                                                 const ContextOptions& options);
  ~CudaContext() override;

  Status run(int64_t batch, std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs,
             Observer* observer) override;
  std::optional<DeviceTimes> device_times() const override { return times_; }
  bool checks_inputs() const override { return checks_inputs_; }
  bool found_non_finite() const override { return flag_.data() && *flag() != 0; }
  int64_t device_bytes() const override { return static_cast<int64_t>(arena_.bytes()); }

 private:
  // Everything that one batch size needs.
  struct Bound {
    int64_t size = 0;
    std::vector<std::byte*> buffers;                // by ValueId
    std::vector<std::unique_ptr<Launch>> launches;  // by node; null for a view and what lies inside its input
    GraphExec graph;                                // empty: launches are enqueued one by one
  };
  // An input or output: on the device and in pinned memory, both for max_batch rows.
  struct Port {
    ValueId value = kNoValue;
    std::byte *device = nullptr, *pinned = nullptr;
    const SymShape* shape = nullptr;
    int64_t element = 0;
    std::byte* host = nullptr;  // of the batch under way: the caller's memory where that is pinned, else ours
    int64_t bytes(int64_t batch) const;
  };

  // Of one part of a batch: before, between and after its copies and its kernels.
  struct Marks {
    Event begin, copied, computed, end;
  };

  CudaContext(std::shared_ptr<const CudaProgram> program, int64_t max_batch)
      : program_(std::move(program)), max_batch_(max_batch) {}
  Status allocate();
  Status place(const MemoryPlan& plan);
  Result<Bound> bind(int64_t size);
  Status warm_up(const Bound& bound) const;
  Status capture(Bound& bound);
  Status measure(const Bound& bound, double* us);
  Status enqueue(const Bound& bound) const;
  Status bind_all();
  // The runs that make up a batch.
  Result<std::span<const int64_t>> runs_of(int64_t batch);
  const Bound& bound_of(int64_t size) const;
  int* flag() const { return reinterpret_cast<int*>(flag_.data()); }
  static bool is_pinned(const void* data);
  Status run_slice(const Bound& bound, int64_t first, int64_t rows, const Marks& marks, Observer* observer);
  Status observed(const Bound& bound, int64_t rows, Observer& observer);
  Status show(const Bound& bound, const Node& node, int64_t rows, Observer& observer);
  Status add_mark();
  Status add_times(const Marks& marks);

  std::shared_ptr<const CudaProgram> program_;
  int64_t max_batch_;
  Stream stream_;
  std::vector<Marks> marks_;  // by part
  DeviceMemory arena_;
  PinnedMemory pinned_;
  PinnedMemory flag_;  // Binding::non_finite
  bool checks_inputs_ = false;
  std::vector<std::byte*> buffers_;  // by ValueId, of the largest batch
  std::byte *scratch_ = nullptr, *workspace_ = nullptr;
  std::vector<Port> inputs_, outputs_;
  std::vector<Bound> bounds_;
  BatchSplitter splitter_;
  std::vector<int64_t> runs_;                            // of the batch under way
  std::map<const Step*, std::shared_ptr<void>> shared_;  // Binding::shared
  std::vector<double> layer_us_;                         // of the batch under way, for an observer
  std::optional<DeviceTimes> times_;
};

// 1, 2, 4, … and max_batch itself.
std::vector<int64_t> bucket_sizes(int64_t max_batch);
// The batch sizes that a context makes ready: these where batches may be cut, else every one, as nothing may
// be allocated later.
std::vector<int64_t> sizes_to_bind(const CudaProgram& program, int64_t max_batch);

}  // namespace vitrail::cuda
