// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "../passes/graph_builder.h"

namespace vitrail::testing {

// What shape inference finds for a value, as text: "float32[N,3]", "int64[2]{N,3}", "float32[?]", or the
// error.
inline std::string inferred(GraphBuilder& b, ValueId id) {
  if (Status s = infer_shapes(b.graph); !s.ok()) return s.message();
  const Value& v = b.graph.value(id);
  std::string text = std::string(dtype_name(v.dtype)) + (v.shape ? to_string(*v.shape) : "[?]");
  if (!v.integers) return text;
  const std::string content = to_string(*v.integers);
  return text + "{" + content.substr(1, content.size() - 2) + "}";
}

}  // namespace vitrail::testing
