// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/context.h"

#include <algorithm>
#include <cstring>

#include "backends/tensorrt/module/input_check.h"
#include "backends/tensorrt/module/plan_backend.h"
#include "core/error.h"

namespace vitrail::tensorrt {
namespace {

using cuda::cuda_status;

// A context that changes its shapes is captured when the same batch size comes for the third time in a row: by the second run
// the server's warm-up judges what a batch costs.
constexpr int kRepeats = 2;

const std::string kRunning = "running a batch";  // made once: a run allocates nothing

int64_t align(int64_t bytes) { return (bytes + 255) / 256 * 256; }

bool is_pinned(const void* data) {
  cudaPointerAttributes attributes{};
  const bool known = cudaPointerGetAttributes(&attributes, data) == cudaSuccess;
  (void)cudaGetLastError();
  return known && attributes.type == cudaMemoryTypeHost;
}

}  // namespace

// Sums what TensorRT tells of the engine's layers; the order of the calls is that of the layers.
struct PlanContext::Profiled : nv::IProfiler {
  std::vector<std::pair<std::string, double>> layers;
  void reportLayerTime(const char* name, float ms) noexcept override {
    try {
      layers.emplace_back(name, static_cast<double>(ms) * 1e3);
    } catch (...) {  // a time that is missing is shown as 0
    }
  }
};

PlanContext::~PlanContext() {
  if (stream_) (void)cudaStreamSynchronize(stream_.get());
  bounds_.clear();
}

Result<std::unique_ptr<Context>> PlanContext::create(std::shared_ptr<const PlanProgram> program,
                                                     const ContextOptions& options) {
  VTL_ASSIGN(const MemoryPlan plan, program->plan(options.max_batch, 1));
  if (plan.total() > options.workspace_bytes)
    return resource_error(
        "the workspace of {} bytes is too small: batch {} needs {} bytes ({} for TensorRT's activations, {} "
        "for inputs and "
        "outputs); give --workspace {} or run smaller batches",
        options.workspace_bytes, options.max_batch, plan.total(), plan.arena_bytes, plan.scratch_bytes,
        plan.total());
  auto context = std::unique_ptr<PlanContext>(new PlanContext(std::move(program), options.max_batch));
  context->context_bytes_ = plan.arena_bytes;
  VTL_TRY(context->allocate());
  return std::unique_ptr<Context>(std::move(context));
}

size_t PlanContext::bytes_of(ValueId id, int64_t batch) const {
  const Value& v = program_->graph().value(id);
  size_t bytes = dtype_size(v.dtype);
  for (const Dim& d : *v.shape) bytes *= static_cast<size_t>(d.at(batch));
  return bytes;
}

Status PlanContext::allocate() {
  VTL_ASSIGN(engine_, program_->lease());
  VTL_ASSIGN(stream_, cuda::make_stream());
  for (cuda::Event* event : {&begin_, &copied_, &computed_, &end_}) {
    VTL_ASSIGN(*event, cuda::make_event());
  }
  const int64_t io = program_->io_bytes(max_batch_);
  VTL_ASSIGN(memory_, cuda::allocate_device(static_cast<size_t>(align(context_bytes_) + io),
                                            "TensorRT's activations"));
  VTL_ASSIGN(pinned_, cuda::allocate_pinned(static_cast<size_t>(io), "the inputs and outputs"));
  VTL_ASSIGN(flag_, cuda::allocate_pinned(sizeof(int), "a flag"));
  *flag() = 0;
  checks_inputs_ = std::ranges::all_of(program_->graph().inputs, [&](ValueId id) {
    return can_check(program_->graph().value(id).dtype);
  });
  int64_t at = 0;
  for (const auto& [ids, ports] :
       {std::pair{&program_->graph().inputs, &inputs_}, {&program_->graph().outputs, &outputs_}})
    for (ValueId id : *ids) {
      ports->push_back({id, memory_.data() + align(context_bytes_) + at, pinned_.data() + at});
      at += align(static_cast<int64_t>(bytes_of(id, max_batch_)));
    }
  return {};
}

Result<std::unique_ptr<nv::IExecutionContext>> PlanContext::make(nv::ICudaEngine& engine, int profile) {
  auto context = make_context(engine);
  if (!context) return explain_failure(program_->logger(), {}, "a TensorRT context");
  set_context_memory(*context, memory_.data(), context_bytes_);
  quieten(*context);
  if (profile > 0 && !context->setOptimizationProfileAsync(profile, stream_.get()))
    return explain_failure(program_->logger(), {}, fmt::format("profile {}", profile));
  VTL_TRY(cuda_status(cudaStreamSynchronize(stream_.get()), "a TensorRT context"));
  for (const auto* ports : {&inputs_, &outputs_})
    for (const Port& port : *ports)
      if (!context->setTensorAddress(program_->graph().value(port.id).name.c_str(), port.device))
        return explain_failure(program_->logger(), {}, "a TensorRT context");
  return context;
}

Status PlanContext::set_shapes(nv::IExecutionContext& context, int64_t batch) {
  for (const Port& port : inputs_) {
    const Value& v = program_->graph().value(port.id);
    if (is_fixed(*v.shape)) continue;
    nv::Dims d{};
    const Shape shape = at_batch(*v.shape, batch);
    d.nbDims = static_cast<int32_t>(shape.size());
    for (size_t i = 0; i < shape.size(); ++i) d.d[i] = static_cast<Extent>(shape[i]);
    if (!context.setInputShape(v.name.c_str(), d))
      return explain_failure(program_->logger(), {}, fmt::format("batch {}", batch));
  }
  return {};
}

Status PlanContext::enqueue(nv::IExecutionContext& context, int64_t batch) {
  if (context.enqueueV3(stream_.get())) return {};
  return explain_failure(program_->logger(), {}, fmt::format("running batch {}", batch));
}

// After a first run, in which TensorRT does what a new shape needs (and allocates).
void PlanContext::capture(Bound& bound) {
  cuda::CapturedGraph captured;
  if (cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal) == cudaSuccess) {
    const bool queued = bound.context->enqueueV3(stream_.get());
    const bool ended = cudaStreamEndCapture(stream_.get(), captured.put()) == cudaSuccess;
    if (!queued || !ended || cudaGraphInstantiate(bound.graph.put(), captured.get(), 0) != cudaSuccess)
      bound.graph = cuda::GraphExec();
  }
  (void)cudaGetLastError();  // an engine that cannot be captured runs layer by layer
}

Result<PlanContext::Bound*> PlanContext::bind(int64_t batch) {
  if (const auto it = bounds_.find(batch); it != bounds_.end()) {
    Bound& known = it->second;
    if (!known.graph && known.repeats < kRepeats && ++known.repeats == kRepeats) capture(known);
    return &known;
  }
  Bound bound;
  bound.profile = program_->profile_of(batch);
  if (bound.profile < 0)
    return bad_input("batch {} is in no profile of the plan ({}); build it with a --profile that holds it", batch,
                     program_->profiles_text());
  // A graph holds the state of its context, which must keep its shapes: where a profile has one context only,
  // the context moves on and the old graph goes.
  if (!kProfilesAreShared)
    for (auto it = bounds_.begin(); it != bounds_.end(); ++it)
      if (it->second.profile == bound.profile) {
        bound.context = std::move(it->second.context);
        bounds_.erase(it);
        break;
      }
  const bool fresh = !bound.context;
  if (fresh) {
    VTL_ASSIGN(bound.context, make(*engine_->engine, bound.profile));
  }
  VTL_TRY(set_shapes(*bound.context, batch));
  if (fresh) {
    VTL_TRY(enqueue(*bound.context, batch));
    VTL_TRY(cuda_status(cudaStreamSynchronize(stream_.get()), fmt::format("batch {}", batch)));
    capture(bound);
  }
  return &(bounds_[batch] = std::move(bound));
}

// In a context of its own: a profiler slows every later run of the one that it was set on.
Status PlanContext::profile(int64_t batch, Observer& observer) {
  VTL_ASSIGN(const auto engine, program_->lease());
  Profiled profiled;
  VTL_ASSIGN(const auto context, make(*engine->engine, program_->profile_of(batch)));
  VTL_TRY(set_shapes(*context, batch));
  VTL_TRY(enqueue(*context, batch));  // what a new context does once is nobody's time
  VTL_TRY(cuda_status(cudaStreamSynchronize(stream_.get()), "timing the layers"));
  context->setProfiler(&profiled);
  VTL_TRY(enqueue(*context, batch));
  VTL_TRY(cuda_status(cudaStreamSynchronize(stream_.get()), "timing the layers"));
  const auto names = program_->node().attributes.find(kLayerNames);
  const auto* known = names == program_->node().attributes.end()
                          ? nullptr
                          : std::get_if<std::vector<std::string>>(&names->second);
  const std::vector<int64_t> reports = program_->node().integers(kLayerReports);
  if (!known || known->size() != reports.size()) return {};
  std::map<int64_t, double> sums;
  for (const auto& [name, us] : profiled.layers) {
    const auto it = std::ranges::find(*known, name);
    if (it != known->end()) sums[reports[static_cast<size_t>(it - known->begin())]] += us;
  }
  for (const auto& [report, us] : sums)
    if (report >= 0) observer.on_layer(static_cast<size_t>(report), us);
  return {};
}

Status PlanContext::run(int64_t batch, std::span<const TensorView> inputs,
                        std::span<const MutableTensorView> outputs, Observer* observer) {
  VTL_ASSIGN(Bound * bound, bind(batch));  // first: it may run the engine on what lies there
  cudaStream_t stream = stream_.get();
  *flag() = 0;
  VTL_TRY(cuda_status(cudaEventRecord(begin_.get(), stream), kRunning));
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const size_t bytes = bytes_of(inputs_[i].id, batch);
    const void* from = inputs[i].data;
    if (!is_pinned(from)) from = std::memcpy(inputs_[i].pinned, from, bytes);
    VTL_TRY(cuda_status(cudaMemcpyAsync(inputs_[i].device, from, bytes, cudaMemcpyHostToDevice, stream),
                        kRunning));
    const DType dtype = inputs[i].dtype;
    const auto count = static_cast<int64_t>(bytes / dtype_size(dtype));
    if (checks_inputs_) VTL_TRY(cuda_status(queue_check(inputs_[i].device, dtype, count, flag(), stream), kRunning));
  }
  VTL_TRY(cuda_status(cudaEventRecord(copied_.get(), stream), kRunning));
  if (observer && observer->wants_times()) {
    VTL_TRY(profile(batch, *observer));
  } else if (bound->graph) {
    VTL_TRY(cuda_status(cudaGraphLaunch(bound->graph.get(), stream), kRunning));
  } else {
    VTL_TRY(enqueue(*bound->context, batch));
  }
  VTL_TRY(cuda_status(cudaEventRecord(computed_.get(), stream), kRunning));
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const size_t bytes = bytes_of(outputs_[i].id, batch);
    void* to = is_pinned(outputs[i].data) ? outputs[i].data : outputs_[i].pinned;
    VTL_TRY(cuda_status(cudaMemcpyAsync(to, outputs_[i].device, bytes, cudaMemcpyDeviceToHost, stream),
                        kRunning));
  }
  VTL_TRY(cuda_status(cudaEventRecord(end_.get(), stream), kRunning));
  VTL_TRY(cuda_status(cudaStreamSynchronize(stream), kRunning));
  for (size_t i = 0; i < outputs_.size(); ++i)
    if (!is_pinned(outputs[i].data))
      std::memcpy(outputs[i].data, outputs_[i].pinned, bytes_of(outputs_[i].id, batch));
  float ms[3] = {0, 0, 0};
  VTL_TRY(cuda_status(cudaEventElapsedTime(&ms[0], begin_.get(), copied_.get()), kRunning));
  VTL_TRY(cuda_status(cudaEventElapsedTime(&ms[1], copied_.get(), computed_.get()), kRunning));
  VTL_TRY(cuda_status(cudaEventElapsedTime(&ms[2], computed_.get(), end_.get()), kRunning));
  times_ = DeviceTimes{static_cast<double>(ms[0]) * 1e3, static_cast<double>(ms[1]) * 1e3,
                       static_cast<double>(ms[2]) * 1e3};
  if (observer && observer->wants_values())
    for (size_t i = 0; i < outputs_.size(); ++i) observer->on_value(outputs_[i].id, outputs[i]);
  return {};
}

}  // namespace vitrail::tensorrt
