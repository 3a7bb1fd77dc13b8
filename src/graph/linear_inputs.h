// SPDX-License-Identifier: Apache-2.0
// Linear and QuantizedLinear end alike: a bias, an activation and a residual. Where their inputs are.
#pragma once

#include "graph/graph.h"

namespace vitrail {

inline bool is_linear(const Node& node) { return node.op == Op::Linear || node.op == Op::QuantizedLinear; }

inline size_t bias_input(const Node& linear) { return linear.op == Op::QuantizedLinear ? 3 : 2; }
inline size_t residual_input(const Node& linear) { return bias_input(linear) + 1; }

inline ValueId bias_of(const Node& linear) { return linear.input(bias_input(linear)); }
inline ValueId residual_of(const Node& linear) { return linear.input(residual_input(linear)); }

}  // namespace vitrail
