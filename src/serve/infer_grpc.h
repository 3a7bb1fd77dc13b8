// SPDX-License-Identifier: Apache-2.0
// The protocol's gRPC messages of an inference.
#pragma once

#include <memory>

#include "open_inference.pb.h"
#include "serve/infer.h"

namespace vitrail::serve {

// `message` is kept for as long as the request's inputs, which point into it. kBadInput says what is wrong.
Result<InferRequest> read_infer_request(std::shared_ptr<const inference::ModelInferRequest> message);
// Outputs are raw.
void write_infer_response(const InferResponse& response, inference::ModelInferResponse& message);

}  // namespace vitrail::serve
