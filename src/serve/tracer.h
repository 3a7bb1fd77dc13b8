// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "serve/log.h"
#include "serve/otlp.h"
#include "serve/trace_file.h"
#include "serve/trace_settings.h"

namespace vitrail::serve {

struct TraceOptions {
  TraceValues start;
  bool opentelemetry = false;  // else Triton's file
  std::string file;
  std::string url = "http://localhost:4318/v1/traces";
  Attributes resource{{"service.name", "vitrail"}};
  // Of requests, where OpenTelemetry's own words mean spans.
  size_t max_queue = 2048, max_batch = 512;
  std::chrono::milliseconds delay{5000};  // longest that a trace waits for others to be sent with it
};

// Takes over one --trace-config as Triton's command line has it: "rate=100", "triton,file=/tmp/trace.json",
// "opentelemetry,url=…". kUsage names what there is.
Status read_trace_config(const std::string& text, TraceOptions& options);

// Which requests are traced, and the thread that writes or sends their traces. Nobody waits for it: what comes while
// the queue is full is dropped and counted.
class Tracer {
 public:
  // `log` outlives this.
  static Result<std::unique_ptr<Tracer>> create(TraceOptions options, Log& log);
  ~Tracer();  // what is queued is written first; a collector that does not answer is given up

  TraceSettings& settings() { return settings_; }
  // Triton's names and strings; `model` is empty for the global settings.
  nlohmann::ordered_json describe(const std::string& model) const;
  void add(RequestRecord record);

  uint64_t written() const { return written_; }
  uint64_t dropped() const { return dropped_; }

 private:
  Tracer(TraceOptions options, Log& log);
  void work();
  void write(std::vector<RequestRecord>& batch);
  void send(std::vector<RequestRecord>& batch);
  void complain(const Status& status, size_t lost);

  const TraceOptions options_;
  Log& log_;
  TraceSettings settings_;
  std::unique_ptr<TraceFile> file_;
  std::unique_ptr<OtlpExporter> exporter_;
  std::atomic<uint64_t> written_{0}, dropped_{0};
  uint64_t next_id_ = 1;
  int64_t complained_ns_ = 0;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<RequestRecord> queue_;
  size_t queued_bytes_ = 0;  // of tensors
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace vitrail::serve
