// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "import/onnx/external_data.h"
#include "import/onnx/model_file.h"
#include "vitrail/tensor.h"

namespace vitrail::onnx_import {

// The element type with this number in TensorProto.DataType; kUndefined for those that Vitrail does not have.
DType dtype_from_onnx(int32_t type);
int32_t dtype_to_onnx(DType dtype);  // 0 (undefined) for kUndefined
std::string onnx_type_name(int32_t type);  // "float16", "string", "data type 99"

// Makes tensors of TensorProtos of one model. Data is shared with the message or the mapped file, not copied,
// unless it is not aligned for its type or stored in a wider field.
class TensorReader {
 public:
  // `model` is kept alive by the tensors; `folder` is where its external data lies.
  TensorReader(ModelPtr model, std::filesystem::path folder)
      : model_(std::move(model)), external_(std::move(folder)) {}

  // May be called from several threads.
  Result<Tensor> read(const onnx::TensorProto& proto);

 private:
  ModelPtr model_;
  ExternalData external_;
};

}  // namespace vitrail::onnx_import
