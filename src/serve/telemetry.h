// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "serve/log.h"
#include "serve/record.h"
#include "serve/tracer.h"

namespace vitrail::serve {

// What the server tells of itself: its log and its traces.
class Telemetry {
 public:
  // kUsage, kIo: what is wrong with a path or an address.
  static Result<std::shared_ptr<Telemetry>> create(LogOptions log, TraceOptions traces);

  Log& log() { return *log_; }
  Tracer& tracer() { return *tracer_; }

  // What is to be told of a request that has come, null when nothing is. `model` is empty where it is no inference.
  // `traceparent` is the header; one that is none counts as absent. This must outlive the record.
  RecordPtr begin(bool grpc, std::string_view model, std::string_view traceparent);

 private:
  void end(RequestRecord& record);
  std::unique_ptr<Log> log_;
  std::unique_ptr<Tracer> tracer_;  // uses the log
};

}  // namespace vitrail::serve
