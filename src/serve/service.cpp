// SPDX-License-Identifier: Apache-2.0
#include "serve/service.h"

#include <boost/asio/post.hpp>
#include <algorithm>
#include <cstring>
#include <mutex>

#include "core/clock.h"
#include "core/datatype.h"
#include "core/memory_usage.h"
#include "runtime/finite.h"
#include "vitrail/version.h"

namespace vitrail::serve {
namespace {

constexpr int kMaxDecoding = 256;  // pictures that wait to be decoded and bodies to be inflated; more are refused
constexpr int kMaxAttempts = 5;    // a model may be replaced while a request is on its way to it

}  // namespace

// One request on its way: found, prepared, decoded, queued; again from the start when its model was replaced.
struct Service::Call {
  InferRequest request;
  std::function<void(const ServedModel& model, JobResult result)> done;  // fault or outputs
  std::function<void(Fault)> failed;
  int attempts = 0;
  std::shared_ptr<ServedModel> model;

  std::mutex mutex;  // guards what follows
  bool cancelled = false;
  std::shared_ptr<ServedModel> queued_in;
  Scheduler::Ticket ticket = 0;

  bool is_cancelled() {
    const std::lock_guard lock(mutex);
    return cancelled;
  }
  void fail(Fault fault) {
    if (model) model->statistics().failed(0, fault.cause);
    tell(fault);
    failed(std::move(fault));
  }
  void tell(const Fault& fault) {
    if (!request.record) return;
    RequestRecord& r = *request.record;
    r.id = request.id;
    if (model) r.version = model->version();
    r.request_end_ns = steady_nanoseconds();
    r.error = fault.message;
    r.failed = fault.cause == Cause::kInternal;
  }
  // The tensors that wait in the queue.
  void tell(const Job& job) {
    if (!request.record || !request.record->wants_tensors()) return;
    const Graph& graph = model->graph();
    request.record->tensors.clear();  // of an attempt at a version that is gone
    for (size_t i = 0; i < job.inputs.size(); ++i) {
      const Value& value = graph.value(graph.inputs[i]);
      Tensor copy(value.dtype, at_batch(*value.shape, job.rows));
      std::memcpy(copy.mutable_data(), job.inputs[i].data(), std::min(copy.bytes(), job.inputs[i].size()));
      request.record->tensors.push_back({"TENSOR_QUEUE_INPUT", value.name, std::move(copy)});
    }
  }
  void tell(const JobResult& result, int64_t rows) {
    if (!request.record) return;
    RequestRecord& r = *request.record;
    if (r.wants_tensors() && result.batch_rows > 0) {
      const size_t inputs = r.tensors.size();
      for (size_t i = 0; i < inputs; ++i)
        r.tensors.push_back({"TENSOR_BACKEND_INPUT", r.tensors[i].name, r.tensors[i].tensor});
      for (size_t i = 0; i < result.outputs.size(); ++i)
        r.tensors.push_back({"TENSOR_BACKEND_OUTPUT", model->outputs()[i].name, result.outputs[i].clone()});
    }
    r.rows = rows;
    r.queue_start_ns = result.arrival_ns;
    if (result.batch_rows > 0) {
      r.batch_rows = result.batch_rows;
      r.compute_start_ns = result.arrival_ns + result.queued_ns;
      r.input_end_ns = r.compute_start_ns + result.times.input_ns;
      r.output_start_ns = r.input_end_ns + result.times.infer_ns;
      r.compute_end_ns = result.arrival_ns + result.total_ns;
    }
    tell(result.fault);
  }
};

Service::Service(Repository& repository, Telemetry& telemetry, const ServiceOptions& options)
    : repository_(repository),
      telemetry_(telemetry),
      options_(options),
      decoders_(static_cast<size_t>(options.decode_threads)) {}

Service::~Service() {
  decoders_.join();
  changes_.join();
}

void Service::change(Fault (Repository::*what)(const std::string&), std::string model,
                     std::function<void(const Fault&)> done) {
  boost::asio::post(changes_, [this, what, model = std::move(model), done = std::move(done)] {
    done((repository_.*what)(model));
  });
}

void Service::poll(std::function<void()> done) {
  boost::asio::post(changes_, [this, done = std::move(done)] {
    repository_.poll();
    done();
  });
}

void Service::attempt(std::shared_ptr<Call> call) {
  auto found = repository_.find(call->request.model, call->request.version);
  if (!found.ok()) return call->fail(found.fault());
  call->model = *found;
  if (Fault bad = read_regions(shared_memory_, call->request); !bad.ok()) return call->fail(std::move(bad));
  auto made = prepare_job(*call->model, call->request);
  if (!made.ok()) return call->fail(fault_of(made.status()));
  auto prepared = std::make_shared<PreparedJob>(std::move(*made));
  if (prepared->pictures.empty()) return submit(std::move(call), std::move(prepared));
  // What would be refused behind them need not be decoded first.
  auto announced = call->model->scheduler().announce(prepared->job);
  if (!announced.ok()) return call->fail(announced.fault());
  prepared->job.announced = *announced;
  const std::shared_ptr<void> retracted(nullptr, [model = call->model, ticket = *announced](void*) { model->scheduler().retract(ticket); });
  const bool taken = offload([this, call, prepared, retracted] {
    const PixelLimit limit{options_.max_image_pixels, "--max-image-pixels"};
    const Status status = call->is_cancelled() ? Status(Code::kCancelled, "the client gave up")
                                               : decode_pictures(*call->model, *prepared, limit);
    if (!status.ok()) return call->fail(fault_of(status));
    submit(call, prepared);
  });
  if (!taken) call->fail(fault(Cause::kBusy, "{} pictures wait to be decoded; try again later", kMaxDecoding));
}

bool Service::offload(std::function<void()> work) {
  if (decoding_.fetch_add(1) >= kMaxDecoding) {
    --decoding_;
    return false;
  }
  boost::asio::post(decoders_, [this, work = std::move(work)] {
    work();
    --decoding_;
  });
  return true;
}

void Service::submit(std::shared_ptr<Call> call, std::shared_ptr<PreparedJob> prepared) {
  const std::shared_ptr<ServedModel> model = call->model;
  prepared->job.done = [this, call, model, rows = prepared->job.rows](JobResult result) {
    call->tell(result, rows);
    if (result.fault.cause == Cause::kInternal)
      telemetry_.log().write(LogLevel::kError, "a batch failed", {{"model", std::string_view(model->name())},
                                                                   {"version", std::string_view(model->version())},
                                                                   {"error", std::string_view(result.fault.message)}});
    call->done(*model, std::move(result));
  };
  call->tell(prepared->job);
  const auto ticket = model->scheduler().submit(prepared->job);
  if (!ticket) {
    if (++call->attempts < kMaxAttempts) return attempt(std::move(call));
    return call->fail({Cause::kUnready, "the model is being unloaded"});
  }
  std::unique_lock lock(call->mutex);
  call->queued_in = model;
  call->ticket = *ticket;
  if (!call->cancelled) return;
  lock.unlock();
  model->scheduler().cancel(*ticket);
}

Service::Cancel Service::start(std::shared_ptr<Call> call) {
  if (call->request.record) call->request.record->request_start_ns = steady_nanoseconds();
  attempt(call);
  return [call] {
    std::unique_lock lock(call->mutex);
    call->cancelled = true;
    const auto model = std::move(call->queued_in);
    const auto ticket = call->ticket;
    lock.unlock();
    if (model) model->scheduler().cancel(ticket);
  };
}

Service::Cancel Service::infer(InferRequest request, std::function<void(Reply<InferResponse>)> done) {
  auto call = std::make_shared<Call>();
  call->request = std::move(request);
  call->failed = [done](Fault fault) { done(std::move(fault)); };
  call->done = [this, c = call.get(), done](const ServedModel& model, JobResult result) {
    if (!result.fault.ok()) return done(std::move(result.fault));
    auto response = make_response(model, c->request, result);
    if (!response.ok()) return done(fault_of(response.status()));
    if (Fault bad = write_regions(shared_memory_, *response); !bad.ok()) return done(std::move(bad));
    done(std::move(*response));
  };
  return start(std::move(call));
}

Service::Cancel Service::classify(InferRequest request, std::string_view picture, int top,
                                  std::function<void(Reply<Classified>)> done) {
  auto call = std::make_shared<Call>();
  call->request = std::move(request);
  call->failed = [done](Fault fault) { done(std::move(fault)); };
  auto found = repository_.find(call->request.model, call->request.version);
  if (!found.ok()) return done(found.fault()), [] {};
  for (const Status& status : {(*found)->takes_pictures(), (*found)->gives_scores()})
    if (!status.ok()) return done(fault_of(status)), [] {};
  // A BYTES tensor of one element.
  auto data = std::make_shared<std::string>();
  const auto length = static_cast<uint32_t>(picture.size());
  data->reserve(picture.size() + sizeof length);
  data->append(reinterpret_cast<const char*>(&length), sizeof length).append(picture);
  call->request.inputs = {{(*found)->inputs()[0].name, std::string(kBytes), {1}, std::as_bytes(std::span(*data)), data, {}}};
  call->done = [top, done](const ServedModel& model, JobResult result) {
    if (!result.fault.ok()) return done(std::move(result.fault));
    const TensorView scores = result.outputs[0].view();
    if (const NonFinite bad = find_non_finite(scores); bad.count > 0)
      return done(fault(Cause::kInternal, "{} of the {} scores are NaN or infinite", bad.count, scores.count()));
    done(Classified{model.name(), model.version(), top_classes(scores.as<float>(), model.info().labels, top)});
  };
  return start(std::move(call));
}

OrderedJson Service::server_metadata() const {
  return {{"name", "vitrail"},
          {"version", version()},
          {"extensions",
           {"binary_tensor_data", "classification", "model_configuration", "model_repository", "schedule_policy",
            "statistics", "trace", "logging", "system_shared_memory"}}};
}

Reply<OrderedJson> Service::log_settings(const nlohmann::json& change) {
  if (Fault bad = telemetry_.log().update(change); !bad.ok()) return bad;
  return telemetry_.log().settings();
}

Reply<OrderedJson> Service::trace_settings(const std::string& model, const nlohmann::json& change) {
  if (!model.empty())
    if (const auto found = repository_.find(model, ""); !found.ok()) return found.fault();
  if (Fault bad = telemetry_.tracer().settings().update(model, change); !bad.ok()) return bad;
  return telemetry_.tracer().describe(model);
}

namespace {

OrderedJson describe(const std::vector<TensorDescription>& tensors) {
  OrderedJson list = OrderedJson::array();
  for (const TensorDescription& t : tensors)
    list.push_back({{"name", t.name}, {"datatype", datatype_name(t.dtype)}, {"shape", t.shape}});
  return list;
}

// As Triton's model configuration has it: TYPE_ and shapes without the batch.
OrderedJson configure(const ServedModel& model, const std::vector<TensorDescription>& tensors) {
  OrderedJson list = OrderedJson::array();
  for (const TensorDescription& t : tensors) {
    const bool batched = model.max_batch() > 0 && !t.shape.empty() && t.shape[0] == -1;
    list.push_back({{"name", t.name},
                    {"data_type", fmt::format("TYPE_{}", datatype_name(t.dtype))},
                    {"dims", Shape(t.shape.begin() + (batched ? 1 : 0), t.shape.end())}});
  }
  return list;
}

OrderedJson to_json(const Duration& d) { return {{"count", d.count}, {"ns", d.ns}}; }

OrderedJson to_json(const QueuePolicy& queue) {
  return {{"timeout_action", queue.delays ? "DELAY" : "REJECT"},
          {"default_timeout_microseconds", queue.default_timeout_ns / 1000},
          {"allow_timeout_override", queue.allow_timeout_override},
          {"max_queue_size", queue.max_queue}};
}

OrderedJson to_json(const ServedModel& model) {
  const Snapshot s = model.statistics().snapshot();
  OrderedJson batches = OrderedJson::array();
  for (const auto& [rows, b] : s.batches)
    batches.push_back({{"batch_size", rows},
                       {"compute_input", to_json(b.input)},
                       {"compute_infer", to_json(b.infer)},
                       {"compute_output", to_json(b.output)}});
  return {{"name", model.name()},
          {"version", model.version()},
          {"last_inference", s.last_inference_ms},
          {"inference_count", s.inference_count},
          {"execution_count", s.execution_count},
          {"inference_stats",
           {{"success", to_json(s.success)},
            {"fail", to_json(s.fail)},
            {"queue", to_json(s.queue)},
            {"compute_input", to_json(s.input)},
            {"compute_infer", to_json(s.infer)},
            {"compute_output", to_json(s.output)}}},
          {"batch_stats", batches},
          {"memory_usage",
           {{{"type", model.on_device() ? "GPU" : "CPU"}, {"id", 0}, {"byte_size", model.bytes()}}}}};
}

}  // namespace

Reply<OrderedJson> Service::model_metadata(const std::string& name, const std::string& version) const {
  auto found = repository_.find(name, version);
  if (!found.ok()) return found.fault();
  const ServedModel& model = **found;
  OrderedJson versions = OrderedJson::array();
  for (const auto& other : repository_.ready())
    if (other->name() == name) versions.push_back(other->version());
  return OrderedJson{{"name", model.name()},
                     {"versions", versions},
                     {"platform", model.platform()},
                     {"inputs", describe(model.inputs())},
                     {"outputs", describe(model.outputs())}};
}

Reply<OrderedJson> Service::model_config(const std::string& name, const std::string& version) const {
  auto found = repository_.find(name, version);
  if (!found.ok()) return found.fault();
  const ServedModel& model = **found;
  const SchedulerOptions& scheduler = model.settings().scheduler;
  const Policy policy = model.scheduler().policy();
  OrderedJson special = OrderedJson::object();
  for (const auto& [priority, queue] : scheduler.queue.special) special[std::to_string(priority)] = to_json(queue);
  return OrderedJson{
      {"name", model.name()},
      {"platform", model.platform()},
      {"backend", "vitrail"},
      {"max_batch_size", model.max_batch()},
      {"input", configure(model, model.inputs())},
      {"output", configure(model, model.outputs())},
      {"instance_group",
       {{{"name", model.name()},
         {"kind", model.on_device() ? "KIND_GPU" : "KIND_CPU"},
         {"count", model.scheduler().session().options().streams}}}},
      {"dynamic_batching",
       {{"preferred_batch_size", policy.preferred},
        {"max_queue_delay_microseconds", policy.max_delay_ns / 1000},
        {"preserve_ordering", scheduler.preserve_ordering},
        {"priority_levels", scheduler.priority_levels},
        {"default_priority_level", scheduler.default_priority},
        {"default_queue_policy", to_json(scheduler.queue.usual)},
        {"priority_queue_policy", special}}}};
}

Reply<OrderedJson> Service::statistics(const std::string& name, const std::string& version) const {
  OrderedJson list = OrderedJson::array();
  if (name.empty()) {
    for (const auto& model : repository_.ready()) list.push_back(to_json(*model));
  } else {
    auto found = repository_.find(name, version);
    if (!found.ok()) return found.fault();
    list.push_back(to_json(**found));
  }
  return OrderedJson{{"model_stats", list}};
}

namespace {

OrderedJson to_json(const Histogram& h) { return {{"bounds", h.bounds()}, {"counts", h.counts()}}; }

}  // namespace

OrderedJson Service::overview() const {
  OrderedJson models = OrderedJson::array();
  for (const auto& model : repository_.ready()) {
    const Snapshot s = model->statistics().snapshot();
    models.push_back({{"name", model->name()},
                      {"version", model->version()},
                      {"platform", model->platform()},
                      {"precision", model->info().precision},
                      {"max_batch", model->max_batch()},
                      {"classifies", model->takes_pictures().ok() && model->gives_scores().ok()},
                      {"inference_count", s.inference_count},
                      {"failed", s.fail.count},
                      {"waiting", model->scheduler().waiting()},
                      {"bytes", model->bytes()},
                      {"latency", to_json(s.latency)},
                      {"rows", to_json(s.rows)}});
  }
  return {{"version", version()}, {"ready", ready()}, {"resident_bytes", resident_bytes()}, {"models", models}};
}

OrderedJson Service::index(bool only_ready) const {
  OrderedJson list = OrderedJson::array();
  for (const IndexEntry& e : repository_.index()) {
    if (only_ready && e.state != "READY") continue;
    list.push_back({{"name", e.name}, {"version", e.version}, {"state", e.state}, {"reason", e.reason}});
  }
  return list;
}

}  // namespace vitrail::serve
