// SPDX-License-Identifier: Apache-2.0
#include "serve/telemetry.h"

#include <algorithm>

#include "core/error.h"

namespace vitrail::serve {

Result<std::shared_ptr<Telemetry>> Telemetry::create(LogOptions log, TraceOptions traces) {
  auto telemetry = std::make_shared<Telemetry>();
  VTL_ASSIGN(telemetry->log_, Log::open(std::move(log)));
  VTL_ASSIGN(telemetry->tracer_, Tracer::create(std::move(traces), *telemetry->log_));
  return telemetry;
}

RecordPtr Telemetry::begin(bool grpc, std::string_view model, std::string_view traceparent) {
  const bool logged = log_->takes(LogLevel::kVerbose);
  std::shared_ptr<const TraceGroup> group;
  std::optional<TraceContext> parent;
  if (!model.empty()) {
    if (!traceparent.empty()) parent = parse_traceparent(traceparent);
    // A caller that does not sample its trace does not want a part of it.
    if (!parent || parent->sampled) group = tracer_->settings().sample(std::string(model), parent.has_value());
  }
  if (!logged && !group) return nullptr;
  RecordPtr record(new RequestRecord, [this](RequestRecord* r) {
    const std::unique_ptr<RequestRecord> owner(r);
    end(*r);
  });
  record->grpc = grpc;
  record->logged = logged;
  record->model = model;
  record->traced = std::move(group);
  record->counted = !parent.has_value();
  if (parent) record->parent = *parent;
  return record;
}

void Telemetry::end(RequestRecord& r) {
  if (r.logged) {
    std::vector<LogField> fields;
    const auto text = [&](std::string_view name, const std::string& value) {
      if (!value.empty()) fields.emplace_back(name, std::string_view(value));
    };
    const auto us = [&](std::string_view name, int64_t from, int64_t to) {
      if (from > 0 && to >= from) fields.emplace_back(name, static_cast<double>(to - from) * 1e-3);
    };
    fields.emplace_back("protocol", r.grpc ? "grpc" : "http");
    text("method", r.method);
    text("path", r.path);
    fields.emplace_back("status", static_cast<int64_t>(r.status));
    text("peer", r.peer);
    text("model", r.model);
    text("version", r.version);
    text("request_id", r.id);
    if (r.rows > 0) fields.emplace_back("rows", r.rows);
    if (r.batch_rows > 0) fields.emplace_back("batch", r.batch_rows);
    us("queue_us", r.queue_start_ns, r.compute_start_ns);
    us("compute_us", r.compute_start_ns, r.compute_end_ns);
    us("total_us", r.receive_start_ns, std::max({r.receive_end_ns, r.request_end_ns, r.send_end_ns}));
    text("error", r.error);
    const std::string trace = r.parent.valid() ? hex_of(r.parent.trace) : "";
    text("trace_id", trace);
    log_->put(LogLevel::kVerbose, "request", std::span<const LogField>(fields));
  }
  if (r.traced) tracer_->add(std::move(r));
}

}  // namespace vitrail::serve
