// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "graph/graph.h"

namespace vitrail {

// Computes the outputs of one node from its inputs (a null pointer for one that is absent). Import and passes stand left of
// the backends, so whoever runs them hands in the reference backend's evaluate_node().
using Evaluator = std::function<Result<std::vector<Tensor>>(const Node&, std::span<const Tensor* const>)>;

// The tensor that a value's inferred integers stand for, when neither they nor its shape depend on the batch.
std::optional<Tensor> tensor_of_integers(const Value& value);

// Makes the value a constant: type, shape and, for int64 scalars and vectors, integers are the tensor's.
void set_constant(Value& value, const Tensor& tensor);

}  // namespace vitrail
