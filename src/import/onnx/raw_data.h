// SPDX-License-Identifier: Apache-2.0
// Nearly all bytes of a model are raw data of initializers, which protobuf would copy twice on the way to a tensor.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitrail::onnx_import {

struct LeanMessage {
  std::string message;                     // the ModelProto without the raw data below
  std::vector<std::string_view> raw_data;  // in the original bytes, by initializer; empty where `message` has it
};

// Takes raw data of at least `least` bytes out of a serialized ModelProto. Only well-formed fields in their usual
// encoding are touched; nothing when there is any doubt: then the message is to be parsed whole, and protobuf says what
// is wrong with it.
std::optional<LeanMessage> leave_out_raw_data(std::string_view model, size_t least);

}  // namespace vitrail::onnx_import
