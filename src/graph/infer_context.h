// SPDX-License-Identifier: Apache-2.0
// What the inference functions of all operators share: access to operands and checked setting of results.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "graph/graph.h"
#include "graph/infer_dims.h"

namespace vitrail::infer {

using Content = std::vector<Dim>;  // of an integer or bool scalar or vector; bools are 0 and 1

inline constexpr size_t kMaxContent = 4096;  // elements that content is kept for
inline constexpr size_t kMaxRank = 64;
inline constexpr int64_t kMaxElements = int64_t{1} << 40;  // of one value: more is a broken file
inline constexpr int64_t kMaxWindow = int64_t{1}
                                      << 20;  // kernel sizes, strides, pads, … : more is a broken file

class Context {
 public:
  Context(Graph& graph, Node& node) : graph_(graph), node_(node) {}

  const Node& node() const { return node_; }
  size_t input_count() const { return node_.inputs.size(); }
  size_t output_count() const { return node_.outputs.size(); }
  bool has(size_t i) const { return node_.input(i) != kNoValue; }
  const Value& in(size_t i) const { return graph_.value(node_.inputs[i]); }  // has(i) only

  DType dtype(size_t i) const { return has(i) ? in(i).dtype : DType::kUndefined; }
  // Null when the input is absent or its shape is not known.
  const SymShape* shape(size_t i) const { return has(i) && in(i).shape ? &*in(i).shape : nullptr; }
  // Of an integer or bool input of rank 0 or 1, from its constant or its inferred integers.
  std::optional<Content> content(size_t i) const;
  // content() where it does not depend on the batch.
  std::optional<std::vector<int64_t>> numbers(size_t i) const;
  // A constant of float32 or float64, empty when the input is neither.
  std::vector<double> reals(size_t i) const;
  // The shape already set on an output before this inference.
  const std::optional<SymShape>& known_output(size_t i) const { return graph_.value(node_.outputs[i]).shape; }

  // An attribute that is an axis of a value of this rank, counted from the front.
  Result<size_t> axis(std::string_view attribute, int64_t fallback, size_t rank) const;
  Result<size_t> axis(int64_t axis, size_t rank) const;
  // Distinct axes; which[a] is true for those that are named.
  Result<std::vector<bool>> axes(const std::vector<int64_t>& axes, size_t rank) const;

  // Sets an output that the node has; ignores one that is absent. Fails on extents that cannot be.
  Status set(size_t output, DType dtype, std::optional<SymShape> shape, std::optional<Content> content = {});

  // "layer 'name' (Op): message; inputs [N,3], [4]"
  template <class... Args>
  Status error(fmt::format_string<Args...> format, Args&&... args) const {
    return describe(fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  Status describe(const std::string& message) const;
  Graph& graph_;
  Node& node_;
};

// One function an operator or family, in the files infer_*.cpp; the table is in infer.cpp.
Status same_as_input(Context&);
Status cast(Context&);
Status cast_like(Context&);
Status dropout(Context&);
Status arithmetic(Context&);
Status comparison(Context&);
Status where(Context&);
Status arg_max(Context&);
Status reduce(Context&);
Status concat(Context&);
Status constant(Context&);
Status constant_of_shape(Context&);
Status depth_to_space(Context&);
Status expand(Context&);
Status flatten(Context&);
Status gather(Context&);
Status gather_elements(Context&);
Status gather_nd(Context&);
Status is_nan(Context&);
Status scatter(Context&);
Status top_k(Context&);
Status trilu(Context&);
Status pad(Context&);
Status range(Context&);
Status reshape(Context&);
Status resize(Context&);
Status shape(Context&);
Status size(Context&);
Status slice(Context&);
Status space_to_depth(Context&);
Status split(Context&);
Status squeeze(Context&);
Status tile(Context&);
Status transpose(Context&);
Status unsqueeze(Context&);
Status pool(Context&);
Status batch_normalization(Context&);
Status conv(Context&);
Status conv_transpose(Context&);
Status gemm(Context&);
Status global_average_pool(Context&);
Status layer_normalization(Context&);
Status matmul(Context&);
Status softmax(Context&);
Status quantize(Context&);
Status dequantize(Context&);
Status linear(Context&);
Status multi_head_attention(Context&);
Status patch_embed(Context&);
Status row_stats(Context&);
Status plan(Context&);

}  // namespace vitrail::infer
