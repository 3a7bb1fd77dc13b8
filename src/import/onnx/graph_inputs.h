// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>

#include "graph/graph.h"
#include "import/onnx/import.h"
#include "onnx/onnx.pb.h"

namespace vitrail::onnx_import {

// Gives each input of the model its dtype and shape, open dimensions being settled by the options or the
// batch.
class InputReader {
 public:
  InputReader(const ImportOptions& options, ImportReport& report) : options_(options), report_(report) {}

  Result<Value> read(const onnx::ValueInfoProto& input);

  // Fails on options of impossible values; after the last read(), warns of names in them that no input had.
  Status check_options() const;
  void warn_of_unused_names();

 private:
  using Dimension = onnx::TensorShapeProto::Dimension;
  Result<Dim> settle(const std::string& input, int axis, int rank, const Dimension& dimension);

  const ImportOptions& options_;
  ImportReport& report_;
  std::set<std::string> seen_;  // names of dimensions
};

}  // namespace vitrail::onnx_import
