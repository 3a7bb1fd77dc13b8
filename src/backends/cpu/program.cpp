// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/program.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>

#include "backends/cpu/slicing.h"
#include "core/error.h"
#include "runtime/memory_plan.h"

namespace vitrail::cpu {
namespace {

constexpr int64_t kAlignment = 64;

int64_t round_up(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

bool is_view(const Node& node) { return node.text("kernel", "") == "view"; }

// Memory that the kernel hands out when it is first touched, so that a context for batch 64 that only ever
// sees batch 1 stays small.
class Pages {
 public:
  static Result<Pages> map(int64_t bytes) {
    Pages p;
    p.size_ = static_cast<size_t>(std::max<int64_t>(bytes, kAlignment));
    void* m =
        ::mmap(nullptr, p.size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) return resource_error("{} bytes of activations could not be mapped", bytes);
    ::madvise(m, p.size_, MADV_HUGEPAGE);
    p.data_ = static_cast<std::byte*>(m);
    return p;
  }
  Pages() = default;
  Pages(Pages&& o) noexcept : data_(std::exchange(o.data_, nullptr)), size_(o.size_) {}
  Pages& operator=(Pages&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(size_, o.size_);
    return *this;
  }
  ~Pages() {
    if (data_) ::munmap(data_, size_);
  }
  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace

// One stream. Where the values of each batch size lie is worked out beforehand, so that running one allocates
// nothing.
class CpuContext : public Context {
 public:
  static Result<std::unique_ptr<Context>> create(std::shared_ptr<const CpuProgram> program,
                                                 const ContextOptions& options) {
    VTL_ASSIGN(MemoryPlan plan, program->plan(options.max_batch, options.threads));
    if (plan.total() > options.workspace_bytes)
      return resource_error(
          "the workspace of {} bytes is too small: batch {} with {} threads needs {} bytes, the "
          "smallest cap that works; give --workspace {} or run smaller batches",
          options.workspace_bytes, options.max_batch, options.threads, plan.total(), plan.total());
    auto context = std::unique_ptr<CpuContext>(new CpuContext(std::move(program), options));
    VTL_ASSIGN(context->arena_, Pages::map(plan.arena_bytes));
    VTL_ASSIGN(context->scratch_, Pages::map(plan.scratch_bytes));
    VTL_TRY(context->place(std::move(plan)));
    return std::unique_ptr<Context>(std::move(context));
  }

  Status run(int64_t batch, std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs,
             Observer* observer) override {
    if (batch < 1 || batch > max_batch_)
      return usage_error("batch {} is not between 1 and {}, which this context was made for", batch,
                         max_batch_);
    if (observer) layer_us_.assign(program_->steps_.size(), 0);
    const int64_t slice = std::min(batch, program_->slice_);
    for (int64_t first = 0; first < batch; first += slice) {
      const Window window{batch, first, std::min(slice, batch - first)};
      VTL_TRY(run_slice(window, inputs, outputs, observer));
    }
    if (observer && observer->wants_times())
      for (size_t i = 0; i < layer_us_.size(); ++i) observer->on_layer(i, layer_us_[i]);
    return {};
  }

 private:
  CpuContext(std::shared_ptr<const CpuProgram> program, const ContextOptions& options)
      : program_(std::move(program)),
        max_batch_(options.max_batch),
        pool_(options.threads),
        buffers_(program_->graph_->values.size()) {}

  Status place(MemoryPlan largest) {
    for (int64_t images = 1; images < std::min(max_batch_, program_->slice_); ++images) {
      VTL_ASSIGN(MemoryPlan plan, program_->plan(images, pool_.threads()));
      // The packing is a heuristic: should a smaller batch come out larger, the places of the largest hold it
      // too.
      placements_.push_back(plan.arena_bytes <= largest.arena_bytes ? std::move(plan.values)
                                                                    : largest.values);
    }
    placements_.push_back(std::move(largest.values));
    return {};
  }

  // The images of the caller's batch that run now.
  struct Window {
    int64_t batch, first, images;
    // Where they begin in a tensor of the whole batch.
    template <class View>
    std::byte* begin(const View& view) const {
      auto* data = static_cast<std::byte*>(const_cast<void*>(static_cast<const void*>(view.data)));
      return first == 0 ? data : data + static_cast<int64_t>(view.bytes()) / batch * first;
    }
  };

  Status run_slice(const Window& window, std::span<const TensorView> inputs,
                   std::span<const MutableTensorView> outputs, Observer* observer) {
    bind(placements_[static_cast<size_t>(window.images) - 1], window, inputs, outputs);
    const RunState state{kernels_for(program_->isa_), pool_, window.images, buffers_.data(), scratch_.data()};
    for (size_t i = 0; i < program_->steps_.size(); ++i) {
      const auto start =
          observer ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point();
      if (const Step* step = program_->steps_[i].get()) VTL_TRY(step->run(state));
      if (!observer) continue;
      layer_us_[i] +=
          std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
      if (observer->wants_values()) show_values(program_->graph_->nodes[i], window.images, *observer);
    }
    copy_outputs(window, outputs);
    return {};
  }

  void show_values(const Node& node, int64_t images, Observer& observer) const {
    const Graph& graph = *program_->graph_;
    for (ValueId id : node.outputs)
      if (id != kNoValue)
        observer.on_value(id, {graph.value(id).dtype, at_batch(*graph.value(id).shape, images), buffer(id)});
  }

  std::byte* buffer(ValueId id) const { return buffers_[static_cast<size_t>(id)]; }

  void bind(const std::vector<PlannedValue>& placed, const Window& window, std::span<const TensorView> inputs,
            std::span<const MutableTensorView> outputs) {
    for (const PlannedValue& p : placed) buffers_[static_cast<size_t>(p.value)] = arena_.data() + p.offset;
    for (size_t i = 0; i < buffers_.size(); ++i) {
      const auto& root = program_->roots_[i];
      const Value& owner = program_->graph_->values[static_cast<size_t>(root.value)];
      // Kernels only read constants and inputs, so dropping their const is safe.
      if (root.kind == CpuProgram::Root::kConstant)
        buffers_[i] = static_cast<std::byte*>(const_cast<void*>(owner.constant->data()));
      else if (root.kind == CpuProgram::Root::kInput)
        buffers_[i] = window.begin(inputs[root.index]);
      else if (root.kind == CpuProgram::Root::kOutput)
        buffers_[i] = window.begin(outputs[root.index]);
    }
    for (size_t i = 0; i < buffers_.size(); ++i)
      if (program_->roots_[i].kind == CpuProgram::Root::kArena)
        buffers_[i] = buffer(program_->roots_[i].value);
  }

  // Outputs that are inputs, constants, views of such, or the same value twice were not computed in place.
  void copy_outputs(const Window& window, std::span<const MutableTensorView> outputs) const {
    const Graph& graph = *program_->graph_;
    for (size_t i = 0; i < outputs.size(); ++i) {
      std::byte* to = window.begin(outputs[i]);
      const size_t bytes =
          outputs[i].bytes() / static_cast<size_t>(window.batch) * static_cast<size_t>(window.images);
      if (const std::byte* from = buffer(graph.outputs[i]); from != to)
        std::memcpy(to, from, window.images == window.batch ? outputs[i].bytes() : bytes);
    }
  }

  std::shared_ptr<const CpuProgram> program_;
  int64_t max_batch_;
  ThreadPool pool_;
  Pages arena_, scratch_;
  std::vector<std::byte*> buffers_;                    // by ValueId
  std::vector<std::vector<PlannedValue>> placements_;  // by images in a slice, less 1
  std::vector<double> layer_us_;                       // of the batch under way, for an observer
};

CpuProgram::CpuProgram(std::shared_ptr<const Graph> graph, Isa isa) : graph_(std::move(graph)), isa_(isa) {}

Result<std::shared_ptr<const Program>> CpuProgram::create(std::shared_ptr<const Graph> graph, Isa isa) {
  auto program = std::shared_ptr<CpuProgram>(new CpuProgram(std::move(graph), isa));
  VTL_TRY(program->make_steps());
  program->find_roots();
  program->slice_ = images_per_slice(*program->graph_);
  return std::shared_ptr<const Program>(std::move(program));
}

Status CpuProgram::make_steps() {
  for (const Value& v : graph_->values)
    if (!v.shape || dtype_size(v.dtype) == 0)
      return bad_input(
          "value '{}' has no shape or type, so it cannot be planned; the reference backend runs it", v.name);
  for (const Node& node : graph_->nodes) {
    const std::string kernel = node.text("kernel", "");
    if (kernel == kReferenceKernel) {
      steps_.push_back(make_reference_step(*graph_, node));
      continue;
    }
    const KernelEntry* entry = find_entry(kernel, node.op);
    if (!entry)
      return bad_input(
          "layer '{}': this build has no kernel '{}' for {}; rebuild the engine with `vitrail build`",
          node.name, kernel, op_name(node.op));
    if (const std::string reason = entry->refuse(*graph_, node); !reason.empty())
      return bad_input("layer '{}': kernel '{}' cannot run it: {}", node.name, kernel, reason);
    steps_.push_back(entry->make ? entry->make(*graph_, node) : nullptr);
    if (steps_.back()) steps_.back()->load(*graph_, kernels_for(isa_));
  }
  return {};
}

void CpuProgram::find_roots() {
  roots_.resize(graph_->values.size());
  for (size_t i = 0; i < roots_.size(); ++i) {
    roots_[i].value = static_cast<ValueId>(i);
    if (graph_->values[i].constant) roots_[i].kind = Root::kConstant;
  }
  for (size_t i = 0; i < graph_->inputs.size(); ++i)
    roots_[static_cast<size_t>(graph_->inputs[i])] = {Root::kInput, graph_->inputs[i], i};
  // Outputs that a step makes go straight to the caller; a view of one then follows it.
  for (const Node& node : graph_->nodes) {
    for (ValueId id : node.outputs) {
      if (id == kNoValue) continue;
      auto& root = roots_[static_cast<size_t>(id)];
      if (is_view(node)) {
        root = roots_[static_cast<size_t>(node.input(0))];
        continue;
      }
      const auto at = std::find(graph_->outputs.begin(), graph_->outputs.end(), id);
      if (at != graph_->outputs.end())
        root = {Root::kOutput, id, static_cast<size_t>(at - graph_->outputs.begin())};
    }
  }
}

Result<MemoryPlan> CpuProgram::plan(int64_t batch, int threads) const {
  batch = std::min(batch, slice_);
  std::map<ValueId, BufferRequest> requests;
  int64_t scratch = 0;
  for (size_t n = 0; n < graph_->nodes.size(); ++n) {
    const int at = static_cast<int>(n);
    const Node& node = graph_->nodes[n];
    if (steps_[n]) scratch = std::max(scratch, steps_[n]->scratch_bytes(batch, threads));
    for (ValueId id : node.outputs) {
      if (id == kNoValue || is_view(node) || roots_[static_cast<size_t>(id)].kind != Root::kArena) continue;
      const int64_t count = element_count(at_batch(*graph_->value(id).shape, batch));
      requests[id] = {id, count * static_cast<int64_t>(dtype_size(graph_->value(id).dtype)), at, at};
    }
    for (ValueId id : node.inputs) {
      if (id == kNoValue || roots_[static_cast<size_t>(id)].kind != Root::kArena) continue;
      requests[roots_[static_cast<size_t>(id)].value].last = at;
    }
  }
  for (ValueId id : graph_->outputs)
    if (roots_[static_cast<size_t>(id)].kind == Root::kArena)
      requests[roots_[static_cast<size_t>(id)].value].last = static_cast<int>(graph_->nodes.size());
  std::vector<BufferRequest> list;
  for (const auto& [id, request] : requests) list.push_back(request);
  MemoryPlan plan = plan_memory(list);
  plan.scratch_bytes = round_up(scratch);
  return plan;
}

Result<std::unique_ptr<Context>> CpuProgram::create_context(const ContextOptions& options) const {
  return CpuContext::create(shared_from_this(), options);
}

}  // namespace vitrail::cpu
