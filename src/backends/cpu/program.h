// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "backends/cpu/step.h"
#include "runtime/backend.h"

namespace vitrail::cpu {

// The loaded graph: one Step a node. Large batches run in slices (slicing.h). Activations of one context live
// in one arena, placed by lifetime; a view shares the memory of what it looks at; graph outputs are computed
// straight into the caller's memory.
class CpuProgram : public Program, public std::enable_shared_from_this<CpuProgram> {
 public:
  static Result<std::shared_ptr<const Program>> create(std::shared_ptr<const Graph> graph, Isa isa);

  Result<MemoryPlan> plan(int64_t batch, int threads) const override;
  Result<std::unique_ptr<Context>> create_context(const ContextOptions& options) const override;

 private:
  friend class CpuContext;

  CpuProgram(std::shared_ptr<const Graph> graph, Isa isa);
  Status make_steps();
  void find_roots();

  // Where the content of a value really is.
  struct Root {
    enum Kind { kArena, kConstant, kInput, kOutput } kind = kArena;
    ValueId value = kNoValue;  // that owns the memory
    size_t index = 0;          // among the graph's inputs or outputs
  };

  std::shared_ptr<const Graph> graph_;
  Isa isa_;
  std::vector<std::unique_ptr<Step>> steps_;  // null where a node only looks at its input
  std::vector<Root> roots_;                   // by ValueId
  int64_t slice_ = INT64_MAX;                 // images that run at a time
};

}  // namespace vitrail::cpu
