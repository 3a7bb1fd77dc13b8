// SPDX-License-Identifier: Apache-2.0
// What a client of the server sends: the JSON of an inference, with and without binary tensors behind it, compressed
// bodies, paths, headers, settings, the same as gRPC messages; and a model's configuration and the command line's words.
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>

#include "serve/compression.h"
#include "serve/http_message.h"
#include "serve/infer_grpc.h"
#include "serve/infer_json.h"
#include "serve/model_config.h"
#include "serve/settings_grpc.h"
#include "serve/telemetry.h"

namespace {

// An input's elements lie in the body or are no more than its text can say.
void check(const vitrail::Result<vitrail::serve::InferRequest>& request, size_t size) {
  if (!request.ok()) return;
  size_t total = 0;
  for (const auto& input : request->inputs) {
    for (const std::byte b : input.data) total += static_cast<size_t>(b) & 1;  // readable
    if (input.data.size() > size * 8) std::abort();
    (void)vitrail::serve::bytes_elements(input, 2);
  }
  volatile size_t kept = total;
  (void)kept;
}

// What came compressed is no larger than allowed, and what it inflates to is the same once more.
void check_compression(std::string_view data) {
  using namespace vitrail::serve;
  constexpr uint64_t kMost = 1 << 16;
  (void)accepted_coding(data);
  for (const Coding coding : {Coding::kGzip, Coding::kDeflate}) {
    HeldBody body, again;
    const Fault fault = inflate_body(coding, data, kMost, body);
    if (body.size() > kMost + 1) std::abort();
    if (!fault.ok()) continue;
    if (!inflate_body(coding, deflate_body(coding, body.view()), kMost, again).ok() || again.view() != body.view()) std::abort();
  }
}

template <class Message>
nlohmann::json settings_of(const std::string& body) {
  Message message;
  return message.ParseFromString(body) ? vitrail::serve::read_settings(message) : nlohmann::json();
}

// Settings are taken over whole or not at all, and a line of the log stays one.
void check_telemetry(const std::string& body) {
  using namespace vitrail::serve;
  static const auto log = Log::open({LogLevel::kError, LogFormat::kText, "/dev/null"});
  static TraceSettings traces({});
  for (const auto& json : {nlohmann::json::parse(body, nullptr, false), settings_of<inference::LogSettingsRequest>(body),
                           settings_of<inference::TraceSettingRequest>(body)}) {
    if (json.is_discarded()) continue;
    const auto before = (*log)->settings();
    if (!(*log)->update(json).ok() && (*log)->settings() != before) std::abort();
    for (const char* model : {"", "model"}) {
      (void)traces.update(model, json);
      (void)traces.sample(model, false);
    }
  }
  if (const auto parent = parse_traceparent(body); parent && !parent->valid()) std::abort();
  TraceOptions options;
  (void)read_trace_config(body, options);
  const LogField field{"id", std::string_view(body)};
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson})
    if (log_line(format, LogLevel::kInfo, {}, body, {&field, 1}).find('\n') != std::string::npos) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrail::serve;
  [[maybe_unused]] static const auto talkative = google::protobuf::SetLogHandler(nullptr);
  auto body = std::make_shared<const std::string>(reinterpret_cast<const char*>(data), size);
  const auto bytes = std::as_bytes(std::span(*body));
  check(parse_infer_request(bytes, size, body), size);
  check(parse_infer_request(bytes, std::min(body->find('\n'), size), body), size);
  (void)parse_target(*body);
  check_compression(*body);
  check_telemetry(*body);
  (void)read_config(*body, "model", {});
  auto message = std::make_shared<inference::ModelInferRequest>();
  if (message->ParseFromString(*body)) check(read_infer_request(message), size);
  return 0;
}
