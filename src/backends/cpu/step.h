// SPDX-License-Identifier: Apache-2.0
// What the CPU backend makes of a node: an entry of the kernel list, chosen at build time, becomes a Step at
// load time.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "backends/cpu/kernels/kernels.h"
#include "core/thread_pool.h"
#include "graph/graph.h"
#include "graph/rows.h"

namespace vitrail::cpu {

// One batch under way.
struct RunState {
  const Kernels& kernels;
  ThreadPool& pool;
  int64_t batch;
  std::byte* const* buffers;  // by ValueId; constants, inputs and outputs included
  std::byte* scratch;         // at least the largest scratch_bytes() of all steps, 64-byte aligned

  template <class T = float>
  T* data(ValueId id) const {
    return id == kNoValue ? nullptr : reinterpret_cast<T*>(buffers[static_cast<size_t>(id)]);
  }
  float* scratch_floats() const { return reinterpret_cast<float*>(scratch); }
};

// A node with its sizes worked out; immutable once loaded, shared by all contexts. run() allocates nothing.
class Step {
 public:
  virtual ~Step() = default;
  // Lays out constants for the instruction set, where the engine's layout does not serve all of them.
  virtual void load(const Graph&, const Kernels&) {}
  virtual int64_t scratch_bytes(int64_t /*batch*/, int /*threads*/) const { return 0; }
  virtual Status run(const RunState& state) const = 0;
};

// A way to compute an operator. The list of an operator is ordered best → reference; the first that does not
// refuse the node gets it, and the refusals are what `explain` shows.
struct KernelEntry {
  Op op;
  std::string_view name;                             // <op>_<dtype>
  std::string (*refuse)(const Graph&, const Node&);  // empty: takes the node; else why not
  void (*prepare)(Graph&, Node&);                    // lays out the weights; null when there are none
  std::unique_ptr<Step> (*make)(const Graph&,
                                const Node&);  // null: the output is the input under another shape
};

// The entries of an operator, without the reference kernel that ends every list.
std::span<const KernelEntry> entries();
const KernelEntry* find_entry(std::string_view name, Op op);

// Name of the kernel that ends every list and the step that it makes: the reference backend's loops.
inline constexpr std::string_view kReferenceKernel = "reference";
std::unique_ptr<Step> make_reference_step(const Graph& graph, const Node& node);

}  // namespace vitrail::cpu
