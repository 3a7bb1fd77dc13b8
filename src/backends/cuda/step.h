// SPDX-License-Identifier: Apache-2.0
// What the CUDA backend makes of a node: an entry of the kernel list, chosen at build time, becomes a Step at
// load time and, for each batch size of a context, a Launch with all pointers and shapes fixed.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "backends/cuda/device.h"
#include "backends/cuda/lt.h"
#include "backends/cuda/precision.h"
#include "graph/graph.h"
#include "graph/rows.h"

namespace vitrail::cuda {

// Of TMA's and cuBLASLt's operands in bytes, with room to spare.
inline constexpr int64_t kOperandAlignment = 256;

class Step;

// Where the values of one batch size are.
struct Binding {
  int64_t batch = 0, max_batch = 0;
  std::span<std::byte* const> buffers;  // by ValueId; null for what is not computed
  std::byte* scratch = nullptr;         // at least the step's scratch_bytes()
  std::byte* workspace = nullptr;       // of cuBLASLt
  size_t workspace_bytes = 0;
  const Device* device = nullptr;
  const Lt* lt = nullptr;  // null where no step needs it
  // By ValueId, for the statistics of rows: columns of a group, as the product that makes them has chosen
  // (kernels/types.h).
  std::span<int> stats_widths;
  // What a step's launches of all batch sizes of one context have in common.
  std::map<const Step*, std::shared_ptr<void>>* shared = nullptr;
  int* non_finite =
      nullptr;  // in memory that the host reads too: a step found NaN or infinity in a graph input

  template <class T = void>
  T* data(ValueId id) const {
    return id == kNoValue ? nullptr : reinterpret_cast<T*>(buffers[static_cast<size_t>(id)]);
  }
};

class Launch {
 public:
  virtual ~Launch() = default;
  // `dependent`: the work in front of it in the stream is a kernel of ours, whose tail it may overlap.
  virtual Status enqueue(cudaStream_t stream, bool dependent) const = 0;
  // Whether the last thing it enqueues is a kernel of ours.
  virtual bool ends_in_own_kernel() const { return true; }
};

// A node with its sizes worked out; immutable, shared by all contexts.
class Step {
 public:
  virtual ~Step() = default;
  virtual int64_t scratch_bytes(int64_t /*batch*/) const { return 0; }
  virtual bool needs_lt() const { return false; }
  // Whether it sets Binding::non_finite for its first input, all of which it reads.
  virtual bool checks_input() const { return false; }
  // Bytes into its input at which the output lies as it is, so that nothing needs to be launched at this
  // batch size. One that has them at any has them at batch 1.
  virtual std::optional<int64_t> alias_offset(int64_t /*batch*/) const { return std::nullopt; }
  // Runs on the host between copies: cannot be part of a CUDA graph.
  virtual bool on_host() const { return false; }
  virtual Result<std::unique_ptr<Launch>> bind(const Binding& binding) const = 0;
};

// A launch made of a function (stream, dependent) -> cudaError_t.
template <class Function>
class KernelLaunch : public Launch {
 public:
  KernelLaunch(std::string where, Function function)
      : where_(std::move(where)), function_(std::move(function)) {}
  Status enqueue(cudaStream_t stream, bool dependent) const override {
    const cudaError_t error = function_(stream, dependent);
    return error == cudaSuccess ? Status() : cuda_status(error, where_);
  }

 private:
  std::string where_;
  Function function_;
};
template <class Function>
std::unique_ptr<Launch> kernel_launch(std::string where, Function function) {
  return std::make_unique<KernelLaunch<Function>>(std::move(where), std::move(function));
}

inline std::string layer_text(const Node& node) { return "layer '" + node.name + "'"; }

// Of a value that a kernel reads or writes; E4M3 only where the node's attribute says so.
inline Type type_of(const Graph& graph, ValueId id) {
  return type_of(graph.value(id).dtype).value_or(Type::kF32);
}

inline Type type_attribute(const Node& node, std::string_view name, Type fallback) {
  return type_from_name(node.text(name, "")).value_or(fallback);
}

}  // namespace vitrail::cuda
