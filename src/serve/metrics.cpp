// SPDX-License-Identifier: Apache-2.0
#include "serve/metrics.h"

#include <fmt/format.h>

#include "core/memory_usage.h"

namespace vitrail::serve {
namespace {

// Backslash, quote and line end are escaped in a label's value.
std::string label(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out;
}

struct Series {
  std::string labels;  // model="…",version="…"
  Snapshot now;
  size_t waiting = 0;
};

void head(std::string& to, std::string_view name, std::string_view type, std::string_view help) {
  to += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

template <class F>
void family(std::string& to, const std::vector<Series>& all, std::string_view name, std::string_view type,
            std::string_view help, F&& value) {
  head(to, name, type, help);
  for (const Series& s : all) to += fmt::format("{}{{{}}} {}\n", name, s.labels, value(s));
}

void histogram(std::string& to, const std::vector<Series>& all, std::string_view name, std::string_view help,
               Histogram Snapshot::*which) {
  head(to, name, "histogram", help);
  for (const Series& s : all) {
    const Histogram& h = s.now.*which;
    uint64_t below = 0;
    for (size_t i = 0; i < h.counts().size(); ++i) {
      below += h.counts()[i];
      const std::string bound = i < h.bounds().size() ? fmt::format("{:.6g}", h.bound(i)) : "+Inf";
      to += fmt::format("{}_bucket{{{},le=\"{}\"}} {}\n", name, s.labels, bound, below);
    }
    to += fmt::format("{0}_sum{{{1}}} {2}\n{0}_count{{{1}}} {3}\n", name, s.labels, h.sum(), h.count());
  }
}

}  // namespace

std::string metrics_text(Service& service, SystemMetrics& system) {
  std::vector<Series> all;
  for (const auto& model : service.repository().ready())
    all.push_back({fmt::format("model=\"{}\",version=\"{}\"", label(model->name()), label(model->version())),
                   model->statistics().snapshot(), model->scheduler().waiting()});
  std::string to;
  const auto counter = [&](std::string_view name, std::string_view help, auto value) {
    family(to, all, name, "counter", help, value);
  };
  counter("nv_inference_request_success", "Number of successful inference requests, all batch sizes",
          [](const Series& s) { return s.now.success.count; });
  head(to, "nv_inference_request_failure", "counter", "Number of failed inference requests, by reason");
  for (const Series& s : all)
    for (const auto& [reason, count] : {std::pair{"REJECTED", s.now.rejected}, {"CANCELED", s.now.cancelled},
                                        {"BACKEND", s.now.failed_backend}, {"OTHER", s.now.failed_other}})
      to += fmt::format("nv_inference_request_failure{{{},reason=\"{}\"}} {}\n", s.labels, reason, count);
  counter("nv_inference_count", "Number of inferences performed (a batch of n counts n)",
          [](const Series& s) { return s.now.inference_count; });
  counter("nv_inference_exec_count", "Number of model executions (a batch counts 1)",
          [](const Series& s) { return s.now.execution_count; });
  family(to, all, "nv_inference_pending_request_count", "gauge", "Requests that wait in the queue",
         [](const Series& s) { return s.waiting; });
  counter("nv_inference_request_duration_us", "Cumulative time from arrival to answer, microseconds",
          [](const Series& s) { return s.now.success.ns / 1000; });
  counter("nv_inference_queue_duration_us", "Cumulative time in the queue, microseconds",
          [](const Series& s) { return s.now.queue.ns / 1000; });
  counter("nv_inference_compute_input_duration_us", "Cumulative time of gathering inputs, microseconds",
          [](const Series& s) { return s.now.input.ns / 1000; });
  counter("nv_inference_compute_infer_duration_us", "Cumulative time of running the model, microseconds",
          [](const Series& s) { return s.now.infer.ns / 1000; });
  counter("nv_inference_compute_output_duration_us", "Cumulative time of giving outputs back, microseconds",
          [](const Series& s) { return s.now.output.ns / 1000; });
  histogram(to, all, "vitrail_request_duration_seconds", "From arrival to answer", &Snapshot::latency);
  histogram(to, all, "vitrail_queue_duration_seconds", "From arrival to the start of the batch", &Snapshot::queued);
  histogram(to, all, "vitrail_batch_rows", "Rows of the batches that ran", &Snapshot::rows);
  const auto single = [&](std::string_view name, std::string_view help, uint64_t value) {
    head(to, name, "counter", help);
    to += fmt::format("{} {}\n", name, value);
  };
  single("vitrail_log_lines_dropped_total", "Lines of the log that came faster than they could be written",
         service.telemetry().log().dropped());
  single("vitrail_traces_written_total", "Traces of requests written or sent", service.telemetry().tracer().written());
  single("vitrail_traces_dropped_total", "Traces of requests that were lost", service.telemetry().tracer().dropped());
  head(to, "process_resident_memory_bytes", "gauge", "Resident memory of the server");
  to += fmt::format("process_resident_memory_bytes {}\n", resident_bytes());
  return to + system.text();
}

}  // namespace vitrail::serve
