// SPDX-License-Identifier: Apache-2.0
#include "runtime/session.h"

#include <algorithm>
#include <new>

#include "core/error.h"

namespace vitrail {
namespace {

constexpr int kMaxStreams = 256;
constexpr int kMaxThreads = 1024;

std::string to_string(const std::vector<Profile>& profiles) {
  std::string out;
  for (const Profile& p : profiles)
    out += fmt::format("{}{}:{}:{}", out.empty() ? "" : ", ", p.min, p.opt, p.max);
  return out;
}

int64_t largest_batch(const EngineInfo& info) {
  int64_t largest = 1;
  for (const Profile& p : info.profiles) largest = std::max(largest, p.max);
  return largest;
}

Status check_interface(const Graph& graph) {
  for (const auto* ids : {&graph.inputs, &graph.outputs})
    for (ValueId id : *ids)
      if (!graph.value(id).shape || graph.value(id).dtype == DType::kUndefined)
        return bad_input("'{}' has no known type and shape", graph.value(id).name);
  return {};
}

}  // namespace

// A context and room for its arguments in the graph's order; their shapes keep their capacity from batch to
// batch.
struct Session::Stream {
  std::unique_ptr<Context> context;
  std::vector<TensorView> inputs;
  std::vector<MutableTensorView> outputs;
};

// Holds one stream for as long as it lives. Tickets keep the order of arrival.
class Session::Lease {
 public:
  explicit Lease(Session& session) : session_(session) {
    {
      std::unique_lock lock(session.mutex_);
      const uint64_t ticket = session.next_ticket_++;
      session.turn_.wait(lock, [&] { return ticket == session.serving_ && !session.free_.empty(); });
      ++session.serving_;
      stream_ = session.free_.back();
      session.free_.pop_back();
    }
    session.turn_.notify_all();
  }
  ~Lease() {
    {
      std::lock_guard lock(session_.mutex_);
      session_.free_.push_back(stream_);
    }
    session_.turn_.notify_all();
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  Stream* operator->() const { return stream_; }

 private:
  Session& session_;
  Stream* stream_;
};

Session::Session(std::shared_ptr<const Engine> engine, std::shared_ptr<const Program> program,
                 SessionOptions options)
    : engine_(std::move(engine)), program_(std::move(program)), options_(options) {}

Session::~Session() = default;

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<const Engine> engine,
                                                 std::shared_ptr<const Program> program,
                                                 const SessionOptions& options) {
  std::unique_ptr<Session> session(new Session(std::move(engine), std::move(program), options));
  VTL_TRY(check_interface(*session->engine_->graph));
  VTL_TRY(session->resolve_options());
  session->free_.reserve(static_cast<size_t>(options.streams));
  for (int i = 0; i < options.streams; ++i) VTL_TRY(session->add_stream());
  return session;
}

Status Session::resolve_options() {
  SessionOptions& o = options_;
  if (o.streams < 1 || o.streams > kMaxStreams)
    return usage_error("streams: {} is not between 1 and {}", o.streams, kMaxStreams);
  if (o.threads < 1 || o.threads > kMaxThreads)
    return usage_error("threads: {} is not between 1 and {}", o.threads, kMaxThreads);
  if (o.workspace_bytes < 0) return usage_error("workspace: {} bytes are too few", o.workspace_bytes);
  if (o.workspace_bytes == 0) o.workspace_bytes = engine_->info.workspace_bytes;
  if (o.workspace_bytes == 0) o.workspace_bytes = ContextOptions().workspace_bytes;

  const int64_t largest = depends_on_batch(*engine_->graph) ? largest_batch(engine_->info) : 1;
  if (o.max_batch == 0) o.max_batch = largest;
  if (o.max_batch < 1 || o.max_batch > largest)
    return usage_error(
        "max_batch: {} is not between 1 and {}, the largest batch of the engine's profiles ({})", o.max_batch,
        largest, to_string(engine_->info.profiles));

  VTL_ASSIGN(plan_, program_->plan(o.max_batch, o.threads));
  int64_t needed = 0;
  if (__builtin_mul_overflow(plan_.total(), int64_t{o.streams}, &needed) || needed > o.workspace_bytes)
    return resource_error(
        "{} stream(s) at batch {} need {} bytes ({:.1f} MiB: {} activations and {} scratch each) beyond the "
        "weights, "
        "but the workspace cap is {} bytes; the smallest cap that works is --workspace {}, or lower the "
        "streams, the "
        "threads or the largest batch",
        o.streams, o.max_batch, needed, static_cast<double>(needed) / (1 << 20), plan_.arena_bytes,
        plan_.scratch_bytes, o.workspace_bytes, needed);
  return {};
}

Status Session::add_stream() {
  auto stream = std::make_unique<Stream>();
  VTL_ASSIGN(stream->context,
             program_->create_context(
                 {options_.max_batch, options_.workspace_bytes / options_.streams, options_.threads}));
  const Graph& graph = *engine_->graph;
  for (ValueId id : graph.inputs)
    stream->inputs.push_back(
        {graph.value(id).dtype, at_batch(*graph.value(id).shape, options_.max_batch), nullptr});
  for (ValueId id : graph.outputs)
    stream->outputs.push_back(
        {graph.value(id).dtype, at_batch(*graph.value(id).shape, options_.max_batch), nullptr});
  free_.push_back(stream.get());
  streams_.push_back(std::move(stream));
  return {};
}

Status Session::check_batch(int64_t batch) const {
  const auto& profiles = engine_->info.profiles;
  if (!depends_on_batch(*engine_->graph)) return {};
  if (std::none_of(profiles.begin(), profiles.end(),
                   [&](Profile p) { return p.min <= batch && batch <= p.max; }))
    return bad_input(
        "batch {} is in none of the engine's profiles ({}); send another batch or rebuild it with `vitrail "
        "build "
        "--profile 1:{}:{}`",
        batch, to_string(profiles), batch, batch);
  if (batch > options_.max_batch)
    return bad_input("batch {} is above this session's max_batch {}", batch, options_.max_batch);
  return {};
}

Status Session::run(std::span<const NamedView> inputs, std::span<const NamedMutableView> outputs,
                    Observer* observer, std::optional<DeviceTimes>* times) {
  const Graph& graph = *engine_->graph;
  VTL_ASSIGN(const int64_t batch, match_inputs(graph, inputs));
  VTL_TRY(check_batch(batch));
  VTL_TRY(match_outputs(graph, outputs, batch));
  Lease stream(*this);
  const bool here = options_.check_finite && !stream->context->checks_inputs();
  if (here) VTL_TRY(check_finite(inputs));
  // Copies keep each slot's capacity, so nothing is allocated.
  auto fill = [&](auto& slots, const std::vector<ValueId>& ids, auto views) {
    for (size_t i = 0; i < slots.size(); ++i)
      for (const auto& view : views)
        if (view.name == graph.value(ids[i]).name) slots[i] = view.tensor;
  };
  fill(stream->inputs, graph.inputs, inputs);
  fill(stream->outputs, graph.outputs, outputs);
  VTL_TRY(stream->context->run(batch, stream->inputs, stream->outputs, observer));
  // The device has seen one: the scan finds which input it was, and where.
  if (options_.check_finite && !here && stream->context->found_non_finite()) VTL_TRY(check_finite(inputs));
  // Read while the stream is still ours: the next caller's run replaces them.
  if (times) *times = stream->context->device_times();
  return {};
}

Result<std::vector<NamedTensor>> Session::run(const std::vector<NamedTensor>& inputs, Observer* observer) {
  const Graph& graph = *engine_->graph;
  std::vector<NamedView> input_views;
  for (const NamedTensor& t : inputs) input_views.push_back({t.name, t.tensor.view()});
  VTL_ASSIGN(const int64_t batch, match_inputs(graph, input_views));
  VTL_TRY(check_batch(batch));

  std::vector<NamedTensor> outputs;
  std::vector<NamedMutableView> output_views;
  const std::vector<Shape> shapes = output_shapes(batch);
  for (size_t i = 0; i < shapes.size(); ++i) {
    const Value& value = graph.value(graph.outputs[i]);
    try {
      outputs.push_back({value.name, Tensor(value.dtype, shapes[i])});
    } catch (const std::bad_alloc&) {
      return resource_error("no memory for output '{}' {}", value.name, vitrail::to_string(shapes[i]));
    }
    output_views.push_back({value.name, outputs.back().tensor.mutable_view()});
  }
  VTL_TRY(run(input_views, output_views, observer));
  return outputs;
}

int64_t Session::device_bytes() const {
  int64_t bytes = program_->device_bytes();
  for (const auto& stream : streams_) bytes += stream->context->device_bytes();
  return bytes;
}

std::vector<Shape> Session::output_shapes(int64_t batch) const {
  std::vector<Shape> shapes;
  for (ValueId id : engine_->graph->outputs)
    shapes.push_back(at_batch(*engine_->graph->value(id).shape, batch));
  return shapes;
}

}  // namespace vitrail
