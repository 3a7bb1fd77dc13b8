// SPDX-License-Identifier: Apache-2.0
#include "serve/tracer.h"

#include <iterator>
#include <limits>

#include "core/clock.h"
#include "core/error.h"
#include "core/parse_number.h"

namespace vitrail::serve {
namespace {

constexpr int kAttempts = 3;  // at a batch that the collector does not take now
constexpr int64_t kComplaintNs = 60'000'000'000;
constexpr size_t kMaxTensorBytes = 256 << 20;  // of the traces that wait to be written

template <class T>
Status read_number(const std::string& text, T least, T most, std::string_view name, T& to) {
  T value{};
  if (!parse_number(text, value) || value < least || value > most)
    return usage_error("--trace-config {}={}: it must be a whole number from {} to {}", name, text, least, most);
  to = value;
  return {};
}

}  // namespace

Status read_trace_config(const std::string& text, TraceOptions& o) {
  const size_t equals = text.find('='), comma = text.find(',');
  const bool of_mode = comma != std::string::npos && comma < equals;
  const std::string mode = of_mode ? text.substr(0, comma) : "";
  const size_t start = of_mode ? comma + 1 : 0;
  const std::string name = text.substr(start, equals == std::string::npos ? equals : equals - start);
  const std::string value = equals == std::string::npos ? "" : text.substr(equals + 1);
  constexpr uint32_t kMost = std::numeric_limits<int32_t>::max();
  if (mode.empty()) {
    if (name == "level" && value == "OFF") return o.start.timestamps = o.start.tensors = false, Status();
    if (name == "level" && value == "TIMESTAMPS") return o.start.timestamps = true, Status();
    if (name == "level" && value == "TENSORS") return o.start.tensors = true, Status();
    if (name == "level") return usage_error("--trace-config level={}: it must be TIMESTAMPS, TENSORS or OFF", value);
    if (name == "rate") return read_number<uint32_t>(value, 0, kMost, name, o.start.rate);
    if (name == "count") return read_number<int32_t>(value, -1, INT32_MAX, name, o.start.count);
    if (name == "mode" && (value == "triton" || value == "opentelemetry"))
      return o.opentelemetry = value == "opentelemetry", Status();
    if (name == "mode") return usage_error("--trace-config mode={}: it must be triton or opentelemetry", value);
  } else if (mode == "triton") {
    if (name == "file" && !value.empty()) return o.file = value, Status();
    if (name == "log-frequency") return read_number<uint32_t>(value, 0, kMost, name, o.start.log_frequency);
  } else if (mode == "opentelemetry") {
    if (name == "url") return o.url = value, Status();
    const size_t second = value.find('=');
    if (name == "resource" && second != std::string::npos && second > 0) {
      const std::string key = value.substr(0, second);
      std::erase_if(o.resource, [&](const auto& known) { return known.first == key; });
      o.resource.emplace_back(key, value.substr(second + 1));
      return {};
    }
    if (name == "bsp_max_queue_size") return read_number<size_t>(value, 1, 1'000'000, name, o.max_queue);
    if (name == "bsp_max_export_batch_size") return read_number<size_t>(value, 1, 100'000, name, o.max_batch);
    if (name == "bsp_schedule_delay") {
      int64_t ms = 0;
      VTL_TRY(read_number<int64_t>(value, 1, 3'600'000, name, ms));
      o.delay = std::chrono::milliseconds(ms);
      return {};
    }
  }
  return usage_error(
      "--trace-config {}: there are level=, rate=, count=, mode=, triton,file=, triton,log-frequency=, opentelemetry,url=, "
      "opentelemetry,resource=KEY=VALUE and opentelemetry,bsp_max_queue_size=, bsp_max_export_batch_size=, "
      "bsp_schedule_delay= (milliseconds)",
      text);
}

Tracer::Tracer(TraceOptions options, Log& log)
    : options_(std::move(options)),
      log_(log),
      settings_(options_.start, options_.opentelemetry || !options_.file.empty(), !options_.opentelemetry) {}

Result<std::unique_ptr<Tracer>> Tracer::create(TraceOptions options, Log& log) {
  if (options.start.tensors && options.opentelemetry)
    return usage_error("--trace-config level=TENSORS goes with mode=triton: OpenTelemetry's spans have no tensors");
  if (options.start.on() && !options.opentelemetry && options.file.empty())
    return usage_error("--trace-config level=… needs --trace-config triton,file=PATH or mode=opentelemetry");
  std::unique_ptr<Tracer> tracer(new Tracer(std::move(options), log));
  if (tracer->options_.opentelemetry) {
    VTL_ASSIGN(tracer->exporter_, OtlpExporter::create(tracer->options_.url, tracer->options_.resource));
  } else {
    tracer->file_ = std::make_unique<TraceFile>(tracer->options_.file);
  }
  tracer->thread_ = std::thread([t = tracer.get()] { t->work(); });
  return tracer;
}

Tracer::~Tracer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

nlohmann::ordered_json Tracer::describe(const std::string& model) const {
  const TraceValues v = settings_.values(model);
  auto levels = nlohmann::ordered_json::array();
  if (v.timestamps) levels.push_back("TIMESTAMPS");
  if (v.tensors) levels.push_back("TENSORS");
  if (levels.empty()) levels.push_back("OFF");
  nlohmann::ordered_json out = {{"trace_level", levels},
                                {"trace_rate", std::to_string(v.rate)},
                                {"trace_count", std::to_string(v.count)}};
  if (!options_.opentelemetry) {
    out["log_frequency"] = std::to_string(v.log_frequency);
    out["trace_file"] = options_.file;
  }
  out["trace_mode"] = options_.opentelemetry ? "opentelemetry" : "triton";
  return out;
}

void Tracer::add(RequestRecord record) {
  {
    const std::lock_guard lock(mutex_);
    const size_t bytes = tensor_bytes(record);
    if (queue_.size() >= options_.max_queue || (bytes > 0 && queued_bytes_ + bytes > kMaxTensorBytes)) {
      ++dropped_;
      return;
    }
    queued_bytes_ += bytes;
    queue_.push_back(std::move(record));
    if (exporter_ && queue_.size() != 1 && queue_.size() != options_.max_batch) return;
  }
  changed_.notify_one();
}

void Tracer::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (exporter_)
      changed_.wait_for(lock, options_.delay, [&] { return stopping_ || queue_.size() >= options_.max_batch; });
    if (queue_.empty() && stopping_) return;
    const size_t count = std::min(queue_.size(), options_.max_batch);
    std::vector<RequestRecord> batch(std::make_move_iterator(queue_.begin()),
                                     std::make_move_iterator(queue_.begin() + static_cast<std::ptrdiff_t>(count)));
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(count));
    for (const RequestRecord& record : batch) queued_bytes_ -= tensor_bytes(record);
    lock.unlock();
    exporter_ ? send(batch) : write(batch);
    lock.lock();
  }
}

void Tracer::write(std::vector<RequestRecord>& batch) {
  for (const RequestRecord& record : batch) {
    const Status status = file_->write(record, next_id_++);
    status.ok() ? (void)++written_ : complain(status, 1);
  }
}

void Tracer::send(std::vector<RequestRecord>& batch) {
  Status status;
  for (int attempt = 1;; ++attempt) {
    status = exporter_->send(batch);
    if (status.ok()) {
      written_ += batch.size();
      return;
    }
    std::unique_lock lock(mutex_);
    if (status.code() != Code::kUnavailable || attempt == kAttempts || stopping_) break;
    changed_.wait_for(lock, options_.delay, [&] { return stopping_; });
  }
  complain(status, batch.size());
  const std::lock_guard lock(mutex_);
  if (!stopping_) return;
  dropped_ += queue_.size();  // the end of the server waits once for a collector that is not there, not for each batch
  queue_.clear();
}

// Once a minute at the most.
void Tracer::complain(const Status& status, size_t lost) {
  dropped_ += lost;
  const int64_t now = steady_nanoseconds();
  if (complained_ns_ != 0 && now - complained_ns_ < kComplaintNs) return;
  complained_ns_ = now;
  log_.write(LogLevel::kWarning, "traces are lost", {{"reason", status.message()}, {"lost", static_cast<int64_t>(dropped_)}});
}

}  // namespace vitrail::serve
