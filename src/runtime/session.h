// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "runtime/backend.h"
#include "runtime/binding.h"

namespace vitrail {

struct SessionOptions {
  int streams = 1;              // batches that may run at the same time
  int threads = 1;              // of each stream
  int64_t max_batch = 0;        // 0: the largest of the engine's profiles
  int64_t workspace_bytes = 0;  // hard cap on what all streams together allocate; 0: the cap of the build
  bool check_finite = true;     // refuse inputs that hold NaN or infinity
};

// Runs an engine. Any number of threads may call run(); the first `streams` of them run at once, the others
// wait in the order in which they came.
class Session {
 public:
  // Plans and allocates everything that running will need. kUsage for options that make no sense; kResource
  // when the cap is too small, with the bytes needed and the smallest cap that works.
  static Result<std::unique_ptr<Session>> create(std::shared_ptr<const Engine> engine,
                                                 std::shared_ptr<const Program> program,
                                                 const SessionOptions& options = {});
  ~Session();

  // Runs one batch of N rows, N taken from the inputs' shapes. Inputs and outputs are named, in any order;
  // all of them must be there, of the engine's types and shapes. Allocates nothing once each stream has run.
  // kBadInput names the tensor, what was expected and what came. `times`, when given, gets where this batch's
  // time went on the device that it ran on, and nothing where there is none.
  Status run(std::span<const NamedView> inputs, std::span<const NamedMutableView> outputs,
             Observer* observer = nullptr, std::optional<DeviceTimes>* times = nullptr);

  // As above; allocates the outputs and gives them in the graph's order.
  Result<std::vector<NamedTensor>> run(const std::vector<NamedTensor>& inputs, Observer* observer = nullptr);

  // Shapes of the outputs, in the graph's order, for a batch of N rows.
  std::vector<Shape> output_shapes(int64_t batch) const;

  const Engine& engine() const { return *engine_; }
  const SessionOptions& options() const { return options_; }  // with the zeros filled in
  const MemoryPlan& memory_plan() const { return plan_; }     // of one stream at max_batch
  int64_t planned_bytes() const {
    return plan_.total() * options_.streams;
  }  // of all streams, without weights
  // Device memory of the program and all streams; 0 where there is no device.
  int64_t device_bytes() const;

 private:
  struct Stream;
  class Lease;
  Session(std::shared_ptr<const Engine> engine, std::shared_ptr<const Program> program,
          SessionOptions options);

  Status resolve_options();
  Status add_stream();
  Status check_batch(int64_t batch) const;

  std::shared_ptr<const Engine> engine_;
  std::shared_ptr<const Program> program_;
  SessionOptions options_;
  MemoryPlan plan_;
  std::vector<std::unique_ptr<Stream>> streams_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable turn_;
  uint64_t next_ticket_ = 0;
  uint64_t serving_ = 0;
  std::vector<Stream*> free_;
};

}  // namespace vitrail
