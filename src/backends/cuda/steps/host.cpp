// SPDX-License-Identifier: Apache-2.0
// A node that no kernel takes: the CPU backend computes it between two copies.
#include <map>
#include <vector>

#include "backends/cpu/backend.h"
#include "backends/cuda/steps/steps.h"
#include "core/error.h"
#include "runtime/backend.h"

namespace vitrail::cuda {
namespace {

struct HostOperand {
  std::byte* device = nullptr;
  DType dtype = DType::kUndefined;
  Shape shape;
  size_t offset = 0;  // in the staging memory
  size_t bytes = 0;
};

// For the largest batch; smaller ones use it as well.
struct HostRun {
  std::unique_ptr<Context> context;
  PinnedMemory staging;
};

class HostLaunch : public Launch {
 public:
  HostLaunch(std::shared_ptr<HostRun> run, int64_t batch, std::vector<HostOperand> inputs,
             std::vector<HostOperand> outputs, std::string where)
      : run_(std::move(run)),
        batch_(batch),
        inputs_(std::move(inputs)),
        outputs_(std::move(outputs)),
        where_(std::move(where)) {
    for (const HostOperand& o : inputs_)
      input_views_.push_back({o.dtype, o.shape, run_->staging.data() + o.offset});
    for (const HostOperand& o : outputs_)
      output_views_.push_back({o.dtype, o.shape, run_->staging.data() + o.offset});
  }
  Status enqueue(cudaStream_t stream, bool) const override {
    for (const HostOperand& o : inputs_)
      VTL_TRY(cuda_status(
          cudaMemcpyAsync(run_->staging.data() + o.offset, o.device, o.bytes, cudaMemcpyDeviceToHost, stream),
          where_));
    VTL_TRY(cuda_status(cudaStreamSynchronize(stream), where_));
    VTL_TRY(run_->context->run(batch_, input_views_, output_views_, nullptr));  // names the layer itself
    for (const HostOperand& o : outputs_)
      VTL_TRY(cuda_status(
          cudaMemcpyAsync(o.device, run_->staging.data() + o.offset, o.bytes, cudaMemcpyHostToDevice, stream),
          where_));
    return cuda_status(cudaStreamSynchronize(stream), where_);
  }
  bool ends_in_own_kernel() const override { return false; }

 private:
  std::shared_ptr<HostRun> run_;
  int64_t batch_;
  std::vector<HostOperand> inputs_, outputs_;
  std::vector<TensorView> input_views_;
  std::vector<MutableTensorView> output_views_;
  std::string where_;
};

class HostStep : public Step {
 public:
  HostStep(const Graph& graph, const Node& node) : node_(node), single_(std::make_shared<Graph>()) {
    Node copy = node;
    copy.attributes.erase("kernel");
    std::map<ValueId, ValueId> made;
    const auto add = [&](ValueId& id) {
      if (id == kNoValue) return;
      const auto [at, is_new] = made.try_emplace(id, kNoValue);
      if (is_new) at->second = single_->add_value(graph.value(id));
      id = at->second;
    };
    single_->opset = graph.opset;
    for (ValueId& id : copy.inputs) {
      const ValueId from = id;
      const bool is_new = from != kNoValue && !made.contains(from);
      add(id);
      if (is_new && !single_->is_constant(id)) single_->inputs.push_back(id), inputs_.push_back(from);
    }
    for (ValueId& id : copy.outputs) {
      if (id == kNoValue) continue;
      outputs_.push_back(id);
      add(id);
      single_->outputs.push_back(id);
    }
    single_->nodes.push_back(std::move(copy));
    loaded_ = load();
  }

  bool on_host() const override { return true; }

  Result<std::unique_ptr<Launch>> bind(const Binding& b) const override {
    VTL_TRY(loaded_);
    VTL_ASSIGN(auto run, run_of(b));
    size_t total = 0;
    const auto operands = [&](const std::vector<ValueId>& ids, const std::vector<ValueId>& own) {
      std::vector<HostOperand> list;
      for (size_t i = 0; i < ids.size(); ++i) {
        const Value& value = program_graph_->value(own[i]);
        HostOperand o;
        o.device = b.data<std::byte>(ids[i]);
        o.dtype = value.dtype;
        o.shape = at_batch(*value.shape, b.batch);
        o.offset = total;
        o.bytes = static_cast<size_t>(element_count(o.shape)) * dtype_size(o.dtype);
        total += staging_bytes(value, b.max_batch);
        list.push_back(std::move(o));
      }
      return list;
    };
    auto inputs = operands(inputs_, program_graph_->inputs);
    auto outputs = operands(outputs_, program_graph_->outputs);
    return std::unique_ptr<Launch>(std::make_unique<HostLaunch>(std::move(run), b.batch, std::move(inputs),
                                                                std::move(outputs), layer_text(node_)));
  }

 private:
  static size_t staging_bytes(const Value& value, int64_t batch) {
    const auto bytes =
        static_cast<size_t>(element_count(at_batch(*value.shape, batch))) * dtype_size(value.dtype);
    return (bytes + 255) / 256 * 256;
  }

  // Made once a context.
  Result<std::shared_ptr<HostRun>> run_of(const Binding& b) const {
    std::shared_ptr<void>& known = (*b.shared)[this];
    if (known) return std::static_pointer_cast<HostRun>(known);
    auto run = std::make_shared<HostRun>();
    ContextOptions options;
    options.max_batch = b.max_batch;
    options.workspace_bytes = INT64_MAX;
    VTL_ASSIGN(run->context, program_->create_context(options));
    size_t total = 0;
    for (const auto* ids : {&program_graph_->inputs, &program_graph_->outputs})
      for (ValueId id : *ids) total += staging_bytes(program_graph_->value(id), b.max_batch);
    VTL_ASSIGN(run->staging, allocate_pinned(total, layer_text(node_)));
    known = run;
    return run;
  }

  Status load() {
    const auto cpu = make_cpu_backend();
    VTL_TRY(cpu->compile(*single_, {}).status());
    program_graph_ = single_;
    VTL_ASSIGN(program_, cpu->load(program_graph_, {}));
    return {};
  }

  const Node& node_;
  std::shared_ptr<Graph> single_;
  std::shared_ptr<const Graph> program_graph_;
  std::vector<ValueId> inputs_, outputs_;  // in the whole graph, in the order of the single node's
  std::shared_ptr<const Program> program_;
  Status loaded_;
};

}  // namespace

std::unique_ptr<Step> make_host_step(const Graph& graph, const Node& node) {
  return std::make_unique<HostStep>(graph, node);
}

}  // namespace vitrail::cuda
