// SPDX-License-Identifier: Apache-2.0
#include "serve/otlp.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/clock.h"
#include "core/error.h"
#include "serve/trace_file.h"
#include "vitrail/version.h"

namespace vitrail::serve {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr int kServer = 2, kInternal = 1;  // SpanKind
constexpr int kError = 2;                  // StatusCode
constexpr std::chrono::milliseconds kTimeout{2000};

template <size_t N>
std::array<uint8_t, N> random_id(std::mt19937_64& random) {
  std::array<uint8_t, N> id{};
  for (size_t at = 0; at < N; at += sizeof(uint64_t)) {
    const uint64_t word = std::max<uint64_t>(random(), 1);  // zeros are no id
    std::memcpy(id.data() + at, &word, sizeof word);
  }
  return id;
}

OrderedJson text_attribute(std::string_view key, const std::string& value) {
  return {{"key", key}, {"value", {{"stringValue", value}}}};
}

// 64-bit integers are strings in protobuf's JSON.
OrderedJson whole_attribute(std::string_view key, int64_t value) {
  return {{"key", key}, {"value", {{"intValue", std::to_string(value)}}}};
}

struct Spans {
  const RequestRecord& record;
  const int64_t to_unix_ns;
  const std::string trace;
  OrderedJson list = OrderedJson::array();

  std::string time(int64_t ns) const { return std::to_string(ns + to_unix_ns); }

  // Adds one with those of the request's points that lie on its level as events.
  OrderedJson& add(const std::string& name, const SpanId& id, const std::string& parent, int kind, int64_t start,
                   int64_t end, std::initializer_list<std::string_view> points) {
    OrderedJson events = OrderedJson::array();
    for (const auto& [point, ns] : timestamps_of(record))
      if (std::ranges::find(points, point) != points.end()) events.push_back({{"timeUnixNano", time(ns)}, {"name", point}});
    OrderedJson span = {{"traceId", trace}, {"spanId", hex_of(id)}};
    if (!parent.empty()) span["parentSpanId"] = parent;
    span["name"] = name;
    span["kind"] = kind;
    span["startTimeUnixNano"] = time(start);
    span["endTimeUnixNano"] = time(std::max(start, end));
    span["attributes"] = OrderedJson::array();
    span["events"] = std::move(events);
    list.push_back(std::move(span));
    return list.back();
  }
};

void add_request(const RequestRecord& r, int64_t to_unix_ns, std::mt19937_64& random, OrderedJson& to) {
  const auto points = timestamps_of(r);
  if (points.empty()) return;
  const bool child = r.parent.valid();
  Spans spans{r, to_unix_ns, hex_of(child ? r.parent.trace : random_id<16>(random))};
  const SpanId root = random_id<8>(random), model = random_id<8>(random);
  OrderedJson& top = spans.add("InferRequest", root, child ? hex_of(r.parent.span) : "", kServer, points.front().second,
                               points.back().second,
                               {"HTTP_RECV_START", "HTTP_RECV_END", "HTTP_SEND_START", "HTTP_SEND_END",
                                "GRPC_WAITREAD_START", "GRPC_WAITREAD_END", "GRPC_SEND_START", "GRPC_SEND_END"});
  OrderedJson& attributes = top["attributes"];
  attributes.push_back(text_attribute(r.grpc ? "rpc.method" : "url.path", r.path));
  attributes.push_back(whole_attribute(r.grpc ? "rpc.grpc.status_code" : "http.response.status_code", r.status));
  if (r.failed)
    top["status"] = {{"message", r.error}, {"code", kError}};
  else if (!r.error.empty())  // a client's mistake is no error of the server's span
    attributes.push_back(text_attribute("vitrail.refused", r.error));
  if (r.request_start_ns > 0) {
    OrderedJson& span = spans.add(r.model, model, hex_of(root), kInternal, r.request_start_ns, r.request_end_ns,
                                  {"REQUEST_START", "QUEUE_START", "REQUEST_END"});
    OrderedJson& more = span["attributes"];
    more.push_back(text_attribute("triton.model_name", r.model));
    if (!r.version.empty()) more.push_back(text_attribute("triton.model_version", r.version));
    if (!r.id.empty()) more.push_back(text_attribute("triton.request_id", r.id));
  }
  if (r.compute_start_ns > 0 && r.compute_end_ns > 0) {
    OrderedJson& span = spans.add("compute", random_id<8>(random), hex_of(model), kInternal, r.compute_start_ns,
                                  r.compute_end_ns,
                                  {"COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END"});
    span["attributes"].push_back(whole_attribute("vitrail.rows", r.rows));
    span["attributes"].push_back(whole_attribute("vitrail.batch_rows", r.batch_rows));
  }
  for (OrderedJson& span : spans.list) to.push_back(std::move(span));
}

}  // namespace

std::string otlp_json(std::span<const RequestRecord> records, const Attributes& resource, int64_t to_unix_ns,
                      std::mt19937_64& random) {
  OrderedJson spans = OrderedJson::array(), attributes = OrderedJson::array();
  for (const auto& [key, value] : resource) attributes.push_back(text_attribute(key, value));
  for (const RequestRecord& r : records) add_request(r, to_unix_ns, random, spans);
  const OrderedJson scope = {{"scope", {{"name", "vitrail"}, {"version", version()}}}, {"spans", std::move(spans)}};
  const OrderedJson all = {
      {"resourceSpans", {{{"resource", {{"attributes", attributes}}}, {"scopeSpans", OrderedJson::array({scope})}}}}};
  return all.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

Result<std::unique_ptr<OtlpExporter>> OtlpExporter::create(const std::string& url, Attributes resource) {
  if (!url.starts_with("http://") && !url.starts_with("https://"))
    return usage_error("--trace-config opentelemetry,url={}: it must be like http://localhost:4318/v1/traces", url);
  const size_t slash = std::min(url.find('/', url.find("//") + 2), url.size());
  std::unique_ptr<OtlpExporter> exporter(new OtlpExporter);
  exporter->path_ = slash == url.size() ? "/v1/traces" : url.substr(slash);
  exporter->resource_ = std::move(resource);
  VTL_ASSIGN(exporter->client_, client::HttpClient::create(url.substr(0, slash), kTimeout));
  return exporter;
}

Status OtlpExporter::send(std::span<const RequestRecord> records) {
  const int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();
  const std::string body = otlp_json(records, resource_, now - steady_nanoseconds(), random_);
  const auto response = client_->request("POST", path_, std::array{std::string_view(body)}, {{"Content-Type", "application/json"}});
  if (!response.ok()) return unavailable("{}", response.status().message());
  const int status = response->status;
  if (status >= 200 && status < 300) return {};
  if (status == 429 || status == 502 || status == 503 || status == 504) return unavailable("the collector answered {}", status);
  return check_failed("the collector answered {}: {}", status, response->body.substr(0, 200));
}

}  // namespace vitrail::serve
