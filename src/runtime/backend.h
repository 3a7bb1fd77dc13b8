// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "graph/graph.h"
#include "vitrail/status.h"
#include "vitrail/tensor.h"

namespace vitrail {

// Hears about every layer while a batch runs. Both calls come on the thread that called run(), between
// layers.
class Observer {
 public:
  virtual ~Observer() = default;
  // Whether on_value is wanted at all; values may be dropped right after the call.
  virtual bool wants_values() const { return false; }
  // A value that has just been computed. A backend may run a batch in slices: then the value comes once for
  // each slice, in order, with the rows of that slice. Its memory is reused by later layers: copy what is to
  // be kept.
  virtual void on_value(ValueId /*id*/, const TensorView& /*content*/) {}
  virtual bool wants_times() const { return false; }
  virtual void on_layer(size_t /*node*/, double /*microseconds*/) {}
};

// Where the activations of one context live: offsets in one arena, planned before anything runs.
struct PlannedValue {
  ValueId value;
  int64_t offset;
  int64_t bytes;
  int first_node;  // made by
  int last_node;   // last read by
};
struct MemoryPlan {
  int64_t arena_bytes = 0;        // activations, shared by lifetime
  int64_t scratch_bytes = 0;      // for the kernels, all threads together
  int64_t unshared_bytes = 0;     // what the activations would take without sharing
  int64_t lower_bound_bytes = 0;  // the most activation bytes that are alive at once: no plan can need less
  std::vector<PlannedValue> values;
  int64_t total() const { return arena_bytes + scratch_bytes; }
};

struct ContextOptions {
  int64_t max_batch = 1;
  int64_t workspace_bytes = int64_t{1} << 30;  // a hard cap on MemoryPlan::total() at max_batch
  int threads = 1;
};

// Where the time of a batch went on a device of its own, microseconds.
struct DeviceTimes {
  double h2d_us = 0;
  double compute_us = 0;
  double d2h_us = 0;
};

// A device of its own that a program runs on. Fields that the system does not tell stay empty or 0.
struct DeviceInfo {
  std::string name;                // "NVIDIA H100 80GB HBM3"
  std::string compute_capability;  // "9.0"
  std::string driver;              // "580.159.04"
  std::string driver_cuda;         // the newest CUDA that the driver knows: "13.1"
  std::string runtime_cuda;        // the one that is used
  int multiprocessors = 0;
  int64_t memory_bytes = 0;
};

// The state of one stream: its activations and threads. Used by one caller at a time.
class Context {
 public:
  virtual ~Context() = default;
  // Runs one batch. Inputs and outputs are in the order of the graph's, with the batch filled in; the caller
  // has checked their types and shapes.
  virtual Status run(int64_t batch, std::span<const TensorView> inputs,
                     std::span<const MutableTensorView> outputs, Observer* observer) = 0;
  // Whether runs look for NaN and infinity in the inputs themselves, so that nobody else needs to read them
  // all; then what the last run found.
  virtual bool checks_inputs() const { return false; }
  virtual bool found_non_finite() const { return false; }
  // Of the last run; nothing where the backend has no device.
  virtual std::optional<DeviceTimes> device_times() const { return {}; }
  // Memory of a device that this context holds for itself, beside the program's; 0 where there is none.
  virtual int64_t device_bytes() const { return 0; }
};

// A loaded graph: weights and kernels, immutable, shared by all contexts.
class Program {
 public:
  virtual ~Program() = default;
  virtual Result<MemoryPlan> plan(int64_t batch, int threads) const = 0;
  virtual Result<std::unique_ptr<Context>> create_context(const ContextOptions& options) const = 0;
  // Host memory from which inputs reach the device, and into which outputs come, without a copy in between;
  // null where there is no such thing or no more of it. Any other memory works as well.
  virtual std::shared_ptr<void> allocate_host(size_t /*bytes*/) const { return nullptr; }
  // Memory of a device that loading took (weights, libraries' workspaces) above that of a bare device
  // context; 0 where there is none.
  virtual int64_t device_bytes() const { return 0; }
  // Nothing where it runs on the host.
  virtual std::optional<DeviceInfo> device_info() const { return {}; }
  // By node, microseconds that the device vendor's library takes for the bare matrix product of the layer (no
  // epilogue), measured now; 0 for other layers. Empty where there is no such library.
  virtual Result<std::vector<double>> library_us(int64_t /*batch*/) const { return std::vector<double>(); }
};

struct PlanOptions;  // runtime/plan_options.h

struct CompileOptions {
  std::string precision = "fp32";
  std::function<void(double)> progress;  // in [0, 1], may be empty
  int64_t max_batch = 1;                 // batch sizes up to this one are tuned for
  std::map<std::string, float> absmax;   // largest |value| of each value by name, as calibration saw it (fp8)
  std::string timing_cache;              // file of kernel timings; empty for the user's own cache
  std::shared_ptr<const PlanOptions> plan;  // for backends that build with another library; null: the defaults
};
struct LoadOptions {
  // "scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512amx"; empty for the best that this machine
  // has
  std::string isa;
  bool plan_only = false;  // nothing but plan() will be asked: weights need not be brought anywhere
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;
  // kUnavailable with what is missing and what to install.
  virtual Status available() const = 0;
  // Whether compile() wants the graph fused (passes/pipeline.h) or with the model's own arithmetic.
  virtual bool wants_fusion() const { return true; }
  // Rewrites the graph for this backend: chooses a kernel for each node (attribute "kernel") and lays out its
  // weights. The reports are in the order of the nodes.
  virtual Result<std::vector<LayerReport>> compile(Graph& graph, const CompileOptions& options) const = 0;
  virtual Result<std::shared_ptr<const Program>> load(std::shared_ptr<const Graph> graph,
                                                      const LoadOptions& options) const = 0;
  // As compile(), of a graph that is the engine's own but for its weights. A backend whose engines take weights
  // does not compile again.
  virtual Result<std::vector<LayerReport>> refit(const Engine& /*engine*/, Graph& graph,
                                                 const CompileOptions& options) const {
    return compile(graph, options);
  }
};

}  // namespace vitrail
