// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/mapped_file.h"
#include "onnx/onnx.pb.h"
#include "vitrail/status.h"

namespace vitrail::onnx_import {

struct ModelFile {
  onnx::ModelProto proto;
  std::shared_ptr<const MappedFile> map;
  // Of large initializers, which `proto` holds without it (raw_data.h); points into `map`.
  std::unordered_map<const onnx::TensorProto*, std::string_view> raw_data;
};
using ModelPtr = std::shared_ptr<ModelFile>;

// Parses the file. Fails when it is no protobuf, holds no graph or is larger than a protobuf message can be.
Result<ModelPtr> read_model(const std::string& path);

// Version of the default domain that the model asks for; fails outside of 11 to 23.
Result<int64_t> read_opset(const onnx::ModelProto& model);

// The operator set "ai.onnx", which has two spellings.
bool is_default_domain(const std::string& domain);

}  // namespace vitrail::onnx_import
