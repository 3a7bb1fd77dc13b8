// SPDX-License-Identifier: Apache-2.0
// What a client of the server sends: the JSON of an inference, with and without binary tensors behind it, paths, the same
// as a gRPC message, and a model's configuration.
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>

#include "serve/http_message.h"
#include "serve/infer_grpc.h"
#include "serve/infer_json.h"
#include "serve/model_config.h"

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrail::serve;
  [[maybe_unused]] static const auto talkative = google::protobuf::SetLogHandler(nullptr);
  auto body = std::make_shared<const std::string>(reinterpret_cast<const char*>(data), size);
  const auto bytes = std::as_bytes(std::span(*body));
  check(parse_infer_request(bytes, size, body), size);
  check(parse_infer_request(bytes, std::min(body->find('\n'), size), body), size);
  (void)parse_target(*body);
  (void)read_config(*body, "model", {});
  auto message = std::make_shared<inference::ModelInferRequest>();
  if (message->ParseFromString(*body)) check(read_infer_request(message), size);
  return 0;
}
