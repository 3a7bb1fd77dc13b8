// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/program.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>

#include "backends/cuda/context.h"
#include "backends/cuda/kernel_list.h"
#include "backends/cuda/steps/steps.h"
#include "core/error.h"
#include "graph/batch_rows.h"
#include "runtime/memory_plan.h"

namespace vitrail::cuda {
namespace {

int64_t align(int64_t bytes) {
  return (bytes + kOperandAlignment - 1) / kOperandAlignment * kOperandAlignment;
}

}  // namespace

Result<std::shared_ptr<const Program>> CudaProgram::create(std::shared_ptr<const Graph> graph,
                                                           const Device& device, bool plan_only) {
  auto program = std::shared_ptr<CudaProgram>(new CudaProgram(std::move(graph), device));
  VTL_TRY(program->make_steps());
  program->find_roots();
  program->independent_ = !program->has_host_steps() && vitrail::rows_are_independent(*program->graph_);
  program->plan_only_ = plan_only;
  if (!plan_only) {
    if (program->needs_lt_) {
      VTL_ASSIGN(program->lt_, Lt::open());
    }
    VTL_TRY(program->upload());
  }
  return std::shared_ptr<const Program>(std::move(program));
}

Status CudaProgram::make_steps() {
  for (const Value& v : graph_->values)
    if (!v.shape || dtype_size(v.dtype) == 0)
      return bad_input(
          "value '{}' has no shape or type, so it cannot be planned; the reference backend runs it", v.name);
  for (const Node& node : graph_->nodes) {
    const std::string kernel = kernel_of(node);
    if (kernel == kHostKernel) {
      steps_.push_back(make_host_step(*graph_, node));
      continue;
    }
    const KernelEntry* entry = find_entry(kernel, node.op);
    if (!entry)
      return bad_input(
          "layer '{}': this build has no kernel '{}' for {}; rebuild the engine with `vitrail build`",
          node.name, kernel, op_name(node.op));
    steps_.push_back(entry->make ? entry->make(*graph_, node) : nullptr);
    needs_lt_ |= steps_.back() && steps_.back()->needs_lt();
  }
  return {};
}

void CudaProgram::find_roots() {
  roots_.resize(graph_->values.size());
  for (size_t i = 0; i < roots_.size(); ++i) {
    roots_[i].value = static_cast<ValueId>(i);
    if (graph_->values[i].constant) roots_[i].kind = Root::kConstant;
  }
  for (const Node& node : graph_->nodes)
    if (is_view(node))
      roots_[static_cast<size_t>(node.outputs[0])] = roots_[static_cast<size_t>(node.input(0))];
  // A copy for the outside must be made.
  std::vector<bool> leaves(roots_.size());
  for (ValueId id : graph_->outputs)
    leaves[static_cast<size_t>(roots_[static_cast<size_t>(id)].value)] = true;
  for (size_t n = 0; n < steps_.size(); ++n) {
    const Node& node = graph_->nodes[n];
    if (!steps_[n] || !steps_[n]->alias_offset(1) || leaves[static_cast<size_t>(node.outputs[0])]) continue;
    roots_[static_cast<size_t>(node.outputs[0])].may_alias = roots_[static_cast<size_t>(node.input(0))].value;
  }
  for (Root& root : roots_) root.may_alias = roots_[static_cast<size_t>(root.value)].may_alias;
}

bool CudaProgram::is_alias(size_t node, int64_t batch) const {
  return steps_[node] && graph_->nodes[node].outputs[0] != kNoValue &&
         roots_[static_cast<size_t>(graph_->nodes[node].outputs[0])].may_alias != kNoValue &&
         steps_[node]->alias_offset(batch);
}

std::vector<std::byte*> CudaProgram::alias(std::vector<std::byte*> buffers, int64_t batch) const {
  for (size_t n = 0; n < steps_.size(); ++n) {
    const Node& node = graph_->nodes[n];
    const auto to = static_cast<size_t>(node.outputs[0]);
    if (is_view(node))
      buffers[to] = buffers[static_cast<size_t>(node.input(0))];
    else if (is_alias(n, batch))
      buffers[to] = buffers[static_cast<size_t>(node.input(0))] + *steps_[n]->alias_offset(batch);
  }
  return buffers;
}

Status CudaProgram::upload() {
  weights_.assign(graph_->values.size(), nullptr);
  std::vector<bool> read(graph_->values.size());
  for (const Node& node : graph_->nodes)
    if (!is_host(node))
      for (ValueId id : node.inputs)
        if (id != kNoValue) read[static_cast<size_t>(id)] = true;
  for (ValueId id : graph_->outputs) read[static_cast<size_t>(roots_[static_cast<size_t>(id)].value)] = true;
  int64_t total = 0;
  for (size_t i = 0; i < weights_.size(); ++i)
    if (read[i] && graph_->values[i].constant)
      total += align(static_cast<int64_t>(graph_->values[i].constant->bytes()));
  VTL_ASSIGN(memory_, allocate_device(static_cast<size_t>(total), "the weights"));
  device_bytes_ = total;
  std::byte* next = memory_.data();
  for (size_t i = 0; i < weights_.size(); ++i) {
    if (!read[i] || !graph_->values[i].constant) continue;
    const Tensor& t = *graph_->values[i].constant;
    weights_[i] = next;
    next += align(static_cast<int64_t>(t.bytes()));
    VTL_TRY(cuda_status(cudaMemcpy(weights_[i], t.data(), t.bytes(), cudaMemcpyHostToDevice),
                        "weight '" + graph_->values[i].name + "'"));
  }
  return {};
}

bool CudaProgram::has_host_steps() const {
  return std::any_of(steps_.begin(), steps_.end(), [](const auto& step) { return step && step->on_host(); });
}

int64_t CudaProgram::step_scratch_bytes(int64_t batch) const {
  int64_t scratch = 0;
  for (const auto& step : steps_)
    if (step) scratch = std::max(scratch, step->scratch_bytes(batch));
  return align(scratch);
}

Result<MemoryPlan> CudaProgram::plan(int64_t batch, int) const {
  std::map<ValueId, BufferRequest> requests;
  const auto root = [&](ValueId id) { return roots_[static_cast<size_t>(id)]; };
  // What may lie inside another value keeps that one alive as well.
  const auto read = [&](ValueId id, int at) {
    for (; id != kNoValue && root(id).kind == Root::kArena; id = root(id).may_alias)
      requests[root(id).value].last = at;
  };
  const auto request = [&](ValueId id, int at) {
    const int64_t count = element_count(at_batch(*graph_->value(id).shape, batch));
    requests[id] = {id, align(count * static_cast<int64_t>(dtype_size(graph_->value(id).dtype))), at, at};
  };
  for (ValueId id : graph_->inputs) request(id, 0);
  for (size_t n = 0; n < graph_->nodes.size(); ++n) {
    const int at = static_cast<int>(n);
    const Node& node = graph_->nodes[n];
    if (!is_view(node))
      for (size_t i = 0; i < node.outputs.size(); ++i)
        if (node.outputs[i] != kNoValue && !(i == 0 && node.integer("only_q", 0)))
          request(node.outputs[i], at);
    for (ValueId id : node.inputs) read(id, at);
  }
  for (ValueId id : graph_->outputs) read(id, static_cast<int>(graph_->nodes.size()));
  std::vector<BufferRequest> list;
  for (const auto& [id, r] : requests) list.push_back(r);
  MemoryPlan plan = plan_memory(list);
  plan.scratch_bytes = step_scratch_bytes(batch) + static_cast<int64_t>(workspace_bytes());
  return plan;
}

Result<std::unique_ptr<Context>> CudaProgram::create_context(const ContextOptions& options) const {
  if (plan_only_) return internal_error("the engine was loaded for planning only");
  return CudaContext::create(shared_from_this(), options);
}

bool CudaProgram::steps_check_inputs() const {
  return std::ranges::all_of(graph_->inputs, [&](ValueId id) {
    for (size_t i = 0; i < steps_.size(); ++i)
      if (steps_[i] && steps_[i]->checks_input() && graph_->nodes[i].input(0) == id) return true;
    return dtype_size(graph_->value(id).dtype) == 1;
  });
}

std::optional<DeviceInfo> CudaProgram::device_info() const {
  DeviceInfo info;
  info.name = device_.name;
  info.compute_capability = fmt::format("{}.{}", device_.cc / 10, device_.cc % 10);
  std::ifstream file("/proc/driver/nvidia/version");
  info.driver = driver_version({std::istreambuf_iterator<char>(file), {}});
  info.driver_cuda = version_text(device_.driver);
  info.runtime_cuda = version_text(device_.runtime);
  info.multiprocessors = device_.multiprocessors;
  info.memory_bytes = static_cast<int64_t>(device_.memory);
  return info;
}

std::shared_ptr<void> CudaProgram::allocate_host(size_t bytes) const {
  void* data = nullptr;
  if (cudaMallocHost(&data, std::max<size_t>(bytes, 1)) != cudaSuccess) {
    (void)cudaGetLastError();
    return nullptr;
  }
  return {data, [](void* p) { (void)cudaFreeHost(p); }};
}

}  // namespace vitrail::cuda
