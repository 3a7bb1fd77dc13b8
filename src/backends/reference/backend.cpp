// SPDX-License-Identifier: Apache-2.0
#include "backends/reference/backend.h"

#include <algorithm>
#include <cstring>
#include <exception>

#include "backends/reference/execute.h"
#include "backends/reference/scratch.h"
#include "core/error.h"
#include "core/thread_pool.h"
#include "graph/cost.h"
#include "runtime/memory_plan.h"

namespace vitrail {
namespace reference {
namespace {

class ReferenceContext final : public Context {
 public:
  ReferenceContext(std::shared_ptr<const Graph> graph, int threads)
      : graph_(std::move(graph)), last_reader_(last_readers(*graph_)), pool_(threads) {}

  Status run(int64_t /*batch*/, std::span<const TensorView> inputs,
             std::span<const MutableTensorView> outputs, Observer* observer) override {
    try {
      std::vector<Tensor> borrowed;
      for (const TensorView& v : inputs) borrowed.emplace_back(v.dtype, v.shape, v.data, nullptr);
      const auto sink = [&](size_t output, const Tensor& content) {
        const MutableTensorView& to = outputs[output];
        if (content.dtype() != to.dtype || content.shape() != to.shape)
          return bad_input("output '{}' came out as {} {}, expected {} {}",
                           graph_->value(graph_->outputs[output]).name, dtype_name(content.dtype()),
                           to_string(content.shape()), dtype_name(to.dtype), to_string(to.shape));
        if (content.bytes() > 0) std::memcpy(to.data, content.data(), content.bytes());
        return Status();
      };
      return execute(*graph_, last_reader_, borrowed, sink, observer, &pool_);
    } catch (const std::exception& e) {
      return resource_error("the reference backend: {}", e.what());
    }
  }

 private:
  std::shared_ptr<const Graph> graph_;
  std::vector<int> last_reader_;
  ThreadPool pool_;
};

class ReferenceProgram final : public Program {
 public:
  explicit ReferenceProgram(std::shared_ptr<const Graph> graph) : graph_(std::move(graph)) {}

  // Every value is counted from its maker to its last reader, although some kernels hand on the storage of an
  // input.
  Result<MemoryPlan> plan(int64_t batch, int threads) const override {
    if (batch < 1 || threads < 1)
      return usage_error("cannot plan for batch {} and {} threads", batch, threads);
    const std::vector<int> last = last_readers(*graph_);
    std::vector<BufferRequest> requests;
    int64_t scratch = 0;
    for (size_t n = 0; n < graph_->nodes.size(); ++n) {
      const Node& node = graph_->nodes[n];
      for (ValueId id : node.outputs) {
        if (id == kNoValue) continue;
        const Value& value = graph_->value(id);
        if (!value.shape || value.dtype == DType::kUndefined)
          return bad_input(
              "layer '{}' ({}): the shape of '{}' depends on the data, so that memory cannot be planned",
              node.name, op_name(node.op), value.name);
        const int64_t bytes =
            element_count(at_batch(*value.shape, batch)) * static_cast<int64_t>(dtype_size(value.dtype));
        requests.push_back({id, bytes, static_cast<int>(n), last[static_cast<size_t>(id)]});
      }
      scratch = std::max(scratch, scratch_bytes(*graph_, node, batch, threads));
    }
    MemoryPlan plan = plan_memory(requests);
    plan.scratch_bytes = scratch;
    return plan;
  }

  Result<std::unique_ptr<Context>> create_context(const ContextOptions& options) const override {
    try {
      VTL_ASSIGN(const MemoryPlan needed, plan(options.max_batch, options.threads));
      if (needed.total() > options.workspace_bytes)
        return resource_error(
            "batch {} on the reference backend needs {} bytes ({} activations, {} scratch), but the "
            "workspace is capped "
            "at {}; the smallest cap that works is --workspace {}",
            options.max_batch, needed.total(), needed.arena_bytes, needed.scratch_bytes,
            options.workspace_bytes, needed.total());
      return std::unique_ptr<Context>(std::make_unique<ReferenceContext>(graph_, options.threads));
    } catch (const std::exception& e) {
      return resource_error("the reference backend: {}", e.what());
    }
  }

 private:
  std::shared_ptr<const Graph> graph_;
};

class ReferenceBackend final : public Backend {
 public:
  std::string_view name() const override { return "reference"; }
  Status available() const override { return Status(); }
  bool wants_fusion() const override { return false; }  // the model's own arithmetic is the truth

  Result<std::vector<LayerReport>> compile(Graph& graph, const CompileOptions& options) const override {
    if (options.precision != "fp32")
      return unavailable(
          "the reference backend computes in the model's own types; precision '{}' needs another backend",
          options.precision);
    std::vector<LayerReport> reports;
    for (Node& node : graph.nodes) {
      node.attributes["kernel"] = std::string("reference");
      LayerReport report;
      report.name = node.name, report.op = op_name(node.op), report.stage = node.stage;
      report.kernel = "reference", report.precision = "fp32";
      report.flops_per_image = flops(graph, node, 1);
      reports.push_back(std::move(report));
    }
    if (options.progress) options.progress(1.0);
    return reports;
  }

  Result<std::shared_ptr<const Program>> load(std::shared_ptr<const Graph> graph,
                                              const LoadOptions&) const override {
    VTL_TRY(verify_graph(*graph));
    return std::shared_ptr<const Program>(std::make_shared<ReferenceProgram>(std::move(graph)));
  }
};

}  // namespace
}  // namespace reference

std::unique_ptr<Backend> make_reference_backend() { return std::make_unique<reference::ReferenceBackend>(); }

}  // namespace vitrail
