// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/context.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "backends/cuda/kernel_list.h"
#include "core/error.h"

namespace vitrail::cuda {
namespace {

int64_t align(int64_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace

std::vector<int64_t> bucket_sizes(int64_t max_batch) {
  std::vector<int64_t> sizes;
  for (int64_t size = 1; size < max_batch; size *= 2) sizes.push_back(size);
  sizes.push_back(std::max<int64_t>(1, max_batch));
  return sizes;
}

std::vector<int64_t> sizes_to_bind(const CudaProgram& program, int64_t max_batch) {
  if (program.rows_are_independent()) return bucket_sizes(max_batch);
  std::vector<int64_t> sizes(static_cast<size_t>(max_batch));
  std::iota(sizes.begin(), sizes.end(), int64_t{1});
  return sizes;
}

int64_t CudaContext::Port::bytes(int64_t batch) const {
  return element_count(at_batch(*shape, batch)) * element;
}

CudaContext::~CudaContext() {
  // Memory goes back below: nothing may still be reading it.
  if (stream_) (void)cudaStreamSynchronize(stream_.get());
}

Result<std::unique_ptr<Context>> CudaContext::create(std::shared_ptr<const CudaProgram> program,
                                                     const ContextOptions& options) {
  VTL_ASSIGN(const MemoryPlan plan, program->plan(options.max_batch, 1));
  if (plan.total() > options.workspace_bytes)
    return resource_error(
        "the workspace of {} bytes is too small: batch {} on the GPU needs {} bytes, the smallest cap that "
        "works ({} "
        "activations, {} scratch); give --workspace {} or run smaller batches",
        options.workspace_bytes, options.max_batch, plan.total(), plan.arena_bytes, plan.scratch_bytes,
        plan.total());
  auto context = std::unique_ptr<CudaContext>(new CudaContext(std::move(program), options.max_batch));
  VTL_TRY(context->allocate());
  VTL_TRY(context->place(plan));
  VTL_TRY(context->bind_all());
  return std::unique_ptr<Context>(std::move(context));
}

Status CudaContext::bind_all() {
  const bool cut = program_->rows_are_independent();
  std::vector<Bucket> buckets;
  for (int64_t size : sizes_to_bind(*program_, max_batch_)) {
    VTL_ASSIGN(Bound bound, bind(size));
    VTL_TRY(warm_up(bound));
    VTL_TRY(capture(bound));
    double us = 0;
    // Host layers run first in the largest batch, which touches all of their memory.
    if (cut || size == max_batch_) VTL_TRY(measure(bound, &us));
    buckets.push_back({size, us});
    bounds_.push_back(std::move(bound));
  }
  if (cut) splitter_ = BatchSplitter(max_batch_, buckets);
  runs_.resize(std::max<size_t>(splitter_.most_runs(), 1));
  while (marks_.size() < runs_.size()) VTL_TRY(add_mark());
  return {};
}

Status CudaContext::allocate() {
  VTL_ASSIGN(stream_, make_stream());
  VTL_TRY(add_mark());
  layer_us_.resize(program_->steps().size());
  checks_inputs_ = program_->steps_check_inputs();
  VTL_ASSIGN(flag_, allocate_pinned(sizeof(int), "a flag"));
  return {};
}

Status CudaContext::add_mark() {
  Marks marks;
  for (Event* event : {&marks.begin, &marks.copied, &marks.computed, &marks.end}) {
    VTL_ASSIGN(*event, make_event());
  }
  marks_.push_back(std::move(marks));
  return {};
}

// The plan of the largest batch serves the smaller ones: their values are not larger.
Status CudaContext::place(const MemoryPlan& plan) {
  const Graph& graph = program_->graph();
  VTL_ASSIGN(arena_, allocate_device(static_cast<size_t>(plan.total()), "the activations"));
  scratch_ = arena_.data() + align(plan.arena_bytes);
  workspace_ = scratch_ + program_->step_scratch_bytes(max_batch_);
  buffers_.assign(graph.values.size(), nullptr);
  for (const PlannedValue& p : plan.values) buffers_[static_cast<size_t>(p.value)] = arena_.data() + p.offset;
  for (size_t i = 0; i < buffers_.size(); ++i)
    if (program_->roots()[i].kind == CudaProgram::Root::kConstant &&
        program_->roots()[i].value == static_cast<ValueId>(i))
      buffers_[i] = program_->weight(static_cast<ValueId>(i));
  for (size_t i = 0; i < buffers_.size(); ++i)
    buffers_[i] = buffers_[static_cast<size_t>(program_->roots()[i].value)];

  int64_t total = 0;
  for (const auto& [ids, ports] : {std::pair{&graph.inputs, &inputs_}, std::pair{&graph.outputs, &outputs_}})
    for (ValueId id : *ids) {
      const Value& v = graph.value(id);
      Port port{id, buffers_[static_cast<size_t>(id)], nullptr, &*v.shape,
                static_cast<int64_t>(dtype_size(v.dtype))};
      total += align(port.bytes(max_batch_));
      ports->push_back(port);
    }
  VTL_ASSIGN(pinned_, allocate_pinned(static_cast<size_t>(total), "the inputs and outputs"));
  std::byte* next = pinned_.data();
  for (auto* ports : {&inputs_, &outputs_})
    for (Port& port : *ports) {
      port.pinned = next;
      next += align(port.bytes(max_batch_));
    }
  return {};
}

Result<CudaContext::Bound> CudaContext::bind(int64_t size) {
  Bound bound;
  bound.size = size;
  bound.buffers = program_->alias(buffers_, size);
  Binding b;
  b.batch = size;
  b.max_batch = max_batch_;
  b.shared = &shared_;
  b.buffers = bound.buffers;
  b.scratch = scratch_;
  b.workspace = workspace_;
  b.workspace_bytes = program_->workspace_bytes();
  b.device = &program_->device();
  b.lt = program_->lt();
  b.non_finite = checks_inputs_ ? flag() : nullptr;
  std::vector<int> stats_widths(buffers_.size(), kStatsColumns);
  b.stats_widths = stats_widths;
  for (size_t n = 0; n < program_->steps().size(); ++n) {
    const auto& step = program_->steps()[n];
    bound.launches.emplace_back();
    if (!step || program_->is_alias(n, size)) continue;
    VTL_ASSIGN(bound.launches.back(), step->bind(b));
  }
  return bound;
}

Status CudaContext::enqueue(const Bound& bound) const {
  bool dependent = false;
  for (const auto& launch : bound.launches) {
    if (!launch) continue;
    VTL_TRY(launch->enqueue(stream_.get(), dependent));
    dependent = launch->ends_in_own_kernel();
  }
  return {};
}

// Modules load and attributes are set here. Host layers are left out: they have no modules, and every size of
// them would take long. Kernels bear what stands in their place.
Status CudaContext::warm_up(const Bound& bound) const {
  for (size_t n = 0; n < bound.launches.size(); ++n)
    if (bound.launches[n] && !program_->steps()[n]->on_host())
      VTL_TRY(bound.launches[n]->enqueue(stream_.get(), false));
  return cuda_status(cudaStreamSynchronize(stream_.get()), "the first run");
}

Status CudaContext::capture(Bound& bound) {
  if (program_->has_host_steps()) return {};
  VTL_TRY(
      cuda_status(cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal), "the CUDA graph"));
  const Status status = enqueue(bound);
  CapturedGraph captured;
  const cudaError_t error = cudaStreamEndCapture(stream_.get(), captured.put());
  VTL_TRY(status);
  VTL_TRY(cuda_status(error, "the CUDA graph"));
  VTL_TRY(cuda_status(cudaGraphInstantiate(bound.graph.put(), captured.get(), 0), "the CUDA graph"));
  return cuda_status(cudaGraphUpload(bound.graph.get(), stream_.get()), "the CUDA graph");
}

// The second of two runs: the first finds the caches cold.
Status CudaContext::measure(const Bound& bound, double* us) {
  for (int i = 0; i < 2; ++i) {
    VTL_TRY(cuda_status(cudaEventRecord(marks_[0].begin.get(), stream_.get()), "an event"));
    if (bound.graph)
      VTL_TRY(cuda_status(cudaGraphLaunch(bound.graph.get(), stream_.get()), "the CUDA graph"));
    else
      VTL_TRY(enqueue(bound));
    VTL_TRY(cuda_status(cudaEventRecord(marks_[0].end.get(), stream_.get()), "an event"));
    VTL_TRY(cuda_status(cudaStreamSynchronize(stream_.get()), "the first runs"));
  }
  float ms = 0;
  VTL_TRY(cuda_status(cudaEventElapsedTime(&ms, marks_[0].begin.get(), marks_[0].end.get()), "an event"));
  *us = static_cast<double>(ms) * 1e3;
  return {};
}

Result<std::span<const int64_t>> CudaContext::runs_of(int64_t batch) {
  if (batch < 1 || batch > max_batch_)
    return usage_error("batch {} is not between 1 and {}, which this context was made for", batch,
                       max_batch_);
  if (program_->rows_are_independent()) return splitter_.split(batch, runs_);
  runs_[0] = batch;
  return std::span<const int64_t>(runs_).first(1);
}

const CudaContext::Bound& CudaContext::bound_of(int64_t size) const {
  return *std::ranges::find(bounds_, size, &Bound::size);
}

Status CudaContext::add_times(const Marks& m) {
  const auto add = [](double* sum, const Event& from, const Event& to) {
    float ms = 0;
    const cudaError_t error = cudaEventElapsedTime(&ms, from.get(), to.get());
    *sum += static_cast<double>(ms) * 1e3;
    return cuda_status(error, "an event");
  };
  VTL_TRY(add(&times_->h2d_us, m.begin, m.copied));
  VTL_TRY(add(&times_->compute_us, m.copied, m.computed));
  return add(&times_->d2h_us, m.computed, m.end);
}

bool CudaContext::is_pinned(const void* data) {
  cudaPointerAttributes attributes{};
  if (cudaPointerGetAttributes(&attributes, data) == cudaSuccess)
    return attributes.type == cudaMemoryTypeHost;
  (void)cudaGetLastError();
  return false;
}

Status CudaContext::run(int64_t batch, std::span<const TensorView> inputs,
                        std::span<const MutableTensorView> outputs, Observer* observer) {
  VTL_ASSIGN(const std::span<const int64_t> runs, runs_of(batch));
  times_ = DeviceTimes();
  *flag() = 0;
  std::fill(layer_us_.begin(), layer_us_.end(), 0.0);
  for (size_t i = 0; i < inputs_.size(); ++i) {
    Port& port = inputs_[i];
    // Only read from, so dropping the const is safe.
    port.host =
        is_pinned(inputs[i].data) ? static_cast<std::byte*>(const_cast<void*>(inputs[i].data)) : port.pinned;
    if (port.host == port.pinned) std::memcpy(port.pinned, inputs[i].data, inputs[i].bytes());
  }
  for (size_t i = 0; i < outputs_.size(); ++i)
    outputs_[i].host =
        is_pinned(outputs[i].data) ? static_cast<std::byte*>(outputs[i].data) : outputs_[i].pinned;
  int64_t first = 0;
  for (size_t i = 0; i < runs.size(); ++i) {
    const int64_t rows = std::min(runs[i], batch - first);
    VTL_TRY(run_slice(bound_of(runs[i]), first, rows, marks_[i], observer));
    first += rows;
  }
  VTL_TRY(cuda_status(cudaStreamSynchronize(stream_.get()), "the results"));
  for (size_t i = 0; i < runs.size(); ++i) VTL_TRY(add_times(marks_[i]));
  for (size_t i = 0; i < outputs_.size(); ++i)
    if (outputs_[i].host == outputs_[i].pinned)
      std::memcpy(outputs[i].data, outputs_[i].pinned, outputs[i].bytes());
  if (observer && observer->wants_times())
    for (size_t i = 0; i < layer_us_.size(); ++i) observer->on_layer(i, layer_us_[i]);
  return {};
}

Status CudaContext::run_slice(const Bound& bound, int64_t first, int64_t rows, const Marks& marks,
                              Observer* observer) {
  const auto where = [](const char* what) { return std::string(what); };
  cudaStream_t stream = stream_.get();
  // A part of a batch is rows `first` on: rows are as long as all of them together by their number.
  const auto at = [&](const Port& p) { return first == 0 ? p.host : p.host + p.bytes(1) * first; };
  VTL_TRY(cuda_status(cudaEventRecord(marks.begin.get(), stream), where("an event")));
  for (const Port& p : inputs_)
    VTL_TRY(cuda_status(
        cudaMemcpyAsync(p.device, at(p), static_cast<size_t>(p.bytes(rows)), cudaMemcpyHostToDevice, stream),
        where("the inputs")));
  VTL_TRY(cuda_status(cudaEventRecord(marks.copied.get(), stream), where("an event")));
  if (observer)
    VTL_TRY(observed(bound, rows, *observer));
  else if (bound.graph)
    VTL_TRY(cuda_status(cudaGraphLaunch(bound.graph.get(), stream), where("the CUDA graph")));
  else
    VTL_TRY(enqueue(bound));
  VTL_TRY(cuda_status(cudaEventRecord(marks.computed.get(), stream), where("an event")));
  for (const Port& p : outputs_)
    VTL_TRY(cuda_status(
        cudaMemcpyAsync(at(p), p.device, static_cast<size_t>(p.bytes(rows)), cudaMemcpyDeviceToHost, stream),
        where("the outputs")));
  return cuda_status(cudaEventRecord(marks.end.get(), stream), where("an event"));
}

}  // namespace vitrail::cuda
