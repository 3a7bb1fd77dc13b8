// SPDX-License-Identifier: Apache-2.0
// The protocol's JSON of an inference, with the binary tensor extension.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "serve/infer.h"

namespace vitrail::serve {

inline constexpr int kMaxJsonDepth = 32;

// Reads the body of POST …/infer. `header_length` is that of the JSON when binary tensors follow it
// (Inference-Header-Content-Length), else the body's. Numbers go straight into the tensors; nothing else is kept of
// "data". Inputs point into the body, which `owner` keeps. kBadInput says what is wrong and where.
Result<InferRequest> parse_infer_request(std::span<const std::byte> body, size_t header_length,
                                         std::shared_ptr<const void> owner);

struct InferBody {
  std::string content;     // JSON, then the binary outputs
  size_t header_length = 0;  // of the JSON; 0: nothing follows it
};
// kInternal when a value has no form in JSON (NaN); binary outputs may hold anything.
Result<InferBody> write_infer_response(const InferResponse& response);

// A JSON string with its quotes; what is not UTF-8 is replaced.
std::string json_string(std::string_view text);

}  // namespace vitrail::serve
