// SPDX-License-Identifier: Apache-2.0
#include "runtime/binding.h"

#include <algorithm>

#include "core/error.h"
#include "runtime/finite.h"

namespace vitrail {
namespace {

std::string describe(const Value& value) {
  return fmt::format("'{}' {}{}", value.name, dtype_name(value.dtype), to_string(*value.shape));
}

std::string list(const Graph& graph, const std::vector<ValueId>& ids) {
  std::string out;
  for (ValueId id : ids) out += (out.empty() ? "" : ", ") + describe(graph.value(id));
  return out;
}

// The names given must be those of the graph, each once.
template <class View>
Status match_names(const Graph& graph, const std::vector<ValueId>& ids, std::span<const View> views,
                   std::string_view what) {
  auto named = [](std::string_view name) { return [name](const View& v) { return v.name == name; }; };
  for (const View& v : views) {
    if (std::none_of(ids.begin(), ids.end(), [&](ValueId id) { return graph.value(id).name == v.name; }))
      return bad_input("the engine has no {} '{}'; it has: {}", what, v.name, list(graph, ids));
    if (std::count_if(views.begin(), views.end(), named(v.name)) > 1)
      return bad_input("{} '{}' is given twice", what, v.name);
  }
  for (ValueId id : ids)
    if (std::none_of(views.begin(), views.end(), named(graph.value(id).name)))
      return bad_input("{} {} is missing", what, describe(graph.value(id)));
  return {};
}

template <class View>
const View& with_name(std::span<const View> views, std::string_view name) {
  return *std::find_if(views.begin(), views.end(), [&](const View& v) { return v.name == name; });
}

bool shape_is(const SymShape& expected, const Shape& shape, int64_t batch) {
  return std::equal(expected.begin(), expected.end(), shape.begin(), shape.end(),
                    [&](Dim d, int64_t extent) { return d.at(batch) == extent; });
}

constexpr int64_t kMaxBatch = int64_t{1} << 20;  // no extent overflows below it

// N for which this shape is the expected one at its first extent that depends on N; 0 when there is none.
int64_t solve_batch(const SymShape& expected, const Shape& shape) {
  for (size_t i = 0; i < expected.size() && i < shape.size(); ++i) {
    const Dim d = expected[i];
    if (d.is_fixed()) continue;
    const bool exact =
        shape[i] >= d.at(1) && shape[i] <= d.at(kMaxBatch) && (shape[i] - d.fixed) % d.per_batch == 0;
    return exact ? (shape[i] - d.fixed) / d.per_batch : 0;
  }
  return 0;
}

// A template, because making a TensorView of a MutableTensorView copies its shape.
template <class View>
Status check_tensor(const Value& value, const View& tensor, int64_t batch, std::string_view what) {
  if (tensor.dtype != value.dtype || !shape_is(*value.shape, tensor.shape, batch))
    return bad_input("{} '{}': expected {}{}{}, got {}{}", what, value.name, dtype_name(value.dtype),
                     to_string(*value.shape),
                     is_fixed(*value.shape) ? "" : fmt::format(" with N = {}", batch),
                     dtype_name(tensor.dtype), to_string(tensor.shape));
  if (tensor.data == nullptr && tensor.count() > 0)
    return bad_input("{} '{}' has no memory", what, value.name);
  if (reinterpret_cast<uintptr_t>(tensor.data) % dtype_size(tensor.dtype) != 0)
    return bad_input("{} '{}': its memory is not aligned to its {}-byte elements", what, value.name,
                     dtype_size(tensor.dtype));
  return {};
}

}  // namespace

bool depends_on_batch(const Graph& graph) {
  return std::any_of(graph.inputs.begin(), graph.inputs.end(),
                     [&](ValueId id) { return !is_fixed(*graph.value(id).shape); });
}

Result<int64_t> match_inputs(const Graph& graph, std::span<const NamedView> inputs) {
  VTL_TRY(match_names(graph, graph.inputs, inputs, "input"));
  int64_t batch = depends_on_batch(graph) ? 0 : 1;
  for (ValueId id : graph.inputs) {
    const Value& value = graph.value(id);
    if (batch == 0) batch = solve_batch(*value.shape, with_name(inputs, value.name).tensor.shape);
  }
  // Where no N fits, at 1 the check below fails on the input that does not fit.
  batch = std::max(batch, int64_t{1});
  for (ValueId id : graph.inputs)
    VTL_TRY(check_tensor(graph.value(id), with_name(inputs, graph.value(id).name).tensor, batch, "input"));
  return batch;
}

Status match_outputs(const Graph& graph, std::span<const NamedMutableView> outputs, int64_t batch) {
  VTL_TRY(match_names(graph, graph.outputs, outputs, "output"));
  for (ValueId id : graph.outputs)
    VTL_TRY(check_tensor(graph.value(id), with_name(outputs, graph.value(id).name).tensor, batch, "output"));
  return {};
}

Status check_finite(std::span<const NamedView> inputs) {
  for (const NamedView& input : inputs) {
    const NonFinite found = find_non_finite(input.tensor);
    if (found.count > 0)
      return bad_input("input '{}': {} of {} elements are NaN or infinite, the first at index {}", input.name,
                       found.count, input.tensor.count(), found.first);
  }
  return {};
}

}  // namespace vitrail
