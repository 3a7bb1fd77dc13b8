// SPDX-License-Identifier: Apache-2.0
// Operators of restated.def, written in simpler ones.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "import/onnx/normalise.h"

namespace vitrail::onnx_import {

// One call of such an operator and the nodes that take its place. Failures do not name the layer.
class Restatement {
 public:
  using Attributes = std::map<std::string, Attribute, std::less<>>;

  // `call` has the name, inputs, outputs and attributes; its op means nothing. New nodes go to the end of
  // context.graph.
  Restatement(const NormaliseContext& context, const Node& call) : context_(context), call_(call) {}

  const Node& call() const { return call_; }
  int64_t opset() const { return context_.opset; }
  ValueId input(size_t i) const { return call_.input(i); }
  bool wants(size_t output) const {
    return output < call_.outputs.size() && call_.outputs[output] != kNoValue;
  }
  DType dtype(ValueId id);
  // All extents; kBadInput, with the name of the value, when its shape is not known.
  Result<SymShape> shape(ValueId id);
  // One extent that does not depend on the batch.
  Result<int64_t> extent(ValueId id, int64_t axis);

  ValueId emit(Op op, std::vector<ValueId> inputs, Attributes attributes = {});
  void finish(size_t output, Op op, std::vector<ValueId> inputs, Attributes attributes = {});
  ValueId integers(const std::vector<int64_t>& values);
  ValueId constant(Tensor tensor);
  ValueId number(double value, DType dtype);  // a scalar of a float type

 private:
  const NormaliseContext& context_;
  const Node& call_;
};

// One function an operator or family.
Status restate_attention(Restatement& r);
Status restate_einsum(Restatement& r);
Status restate_group_norm(Restatement& r, int64_t groups);
Status restate_rms_norm(Restatement& r);
Status restate_rotary_embedding(Restatement& r);

bool is_restated(std::string_view op_type);
Status restate(std::string_view op_type, Restatement& r);

}  // namespace vitrail::onnx_import
