// SPDX-License-Identifier: Apache-2.0
// Traces for OpenTelemetry: OTLP over HTTP with JSON (opentelemetry.io/docs/specs/otlp).
#pragma once

#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "client/http_client.h"
#include "serve/record.h"

namespace vitrail::serve {

using Attributes = std::vector<std::pair<std::string, std::string>>;

// An ExportTraceServiceRequest of three spans a request, as Triton names them: InferRequest, which is the child of the
// caller's span, in it one with the model's name, and in that compute. `to_unix_ns` is what steady nanoseconds lack to
// be the time of day.
std::string otlp_json(std::span<const RequestRecord> records, const Attributes& resource, int64_t to_unix_ns,
                      std::mt19937_64& random);

// Used by one thread.
class OtlpExporter {
 public:
  // `url` is that of the collector: http://host:port/v1/traces, or https://…. kUsage when it is not.
  static Result<std::unique_ptr<OtlpExporter>> create(const std::string& url, Attributes resource);
  // kUnavailable: it may work later. kCheckFailed: the collector does not take it.
  Status send(std::span<const RequestRecord> records);

 private:
  OtlpExporter() : random_(std::random_device()()) {}
  std::unique_ptr<client::HttpClient> client_;
  std::string path_;
  Attributes resource_;
  std::mt19937_64 random_;
};

}  // namespace vitrail::serve
