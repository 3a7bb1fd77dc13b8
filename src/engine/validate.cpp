// SPDX-License-Identifier: Apache-2.0
#include "engine/validate.h"

#include <algorithm>

#include "core/error.h"
#include "engine/json_cursor.h"

namespace vitrail {
namespace {

// Far above any model, low enough that no sum or product made of these overflows 64 bits.
constexpr size_t kMaxRank = 16;
constexpr int64_t kMaxExtent = int64_t{1} << 40;
constexpr int64_t kMaxTensorBytes = int64_t{1} << 46;
constexpr int64_t kMaxBatch = int64_t{1} << 16;
constexpr size_t kMaxNodes = size_t{1} << 16;  // memory planning is quadratic in them

Status check_profiles(const std::vector<Profile>& profiles) {
  if (profiles.empty()) return bad_input("metadata: there is no profile, so no batch size could run");
  for (const Profile& p : profiles) {
    if (p.min < 1 || p.opt < p.min || p.max < p.opt || p.max > kMaxBatch)
      return bad_input("metadata: profile {}:{}:{} must be 1 <= min <= opt <= max <= {}", p.min, p.opt, p.max,
                       kMaxBatch);
  }
  return {};
}

bool fits(const Value& value, int64_t batch) {
  for (const Dim& d : *value.shape) {
    if (d.per_batch < 0 || d.per_batch > kMaxExtent || d.fixed < -kMaxExtent || d.fixed > kMaxExtent)
      return false;
  }
  // Affine extents are least at batch 1 and largest at the largest batch.
  return checked_bytes(value.dtype, at_batch(*value.shape, 1)) &&
         checked_bytes(value.dtype, at_batch(*value.shape, batch));
}

Status check_value(const Value& v, int64_t batch) {
  if (v.constant && v.constant->dtype() == DType::kUndefined)
    return bad_input("graph: constant '{}' has no type", v.name);
  if (v.constant && v.dtype != v.constant->dtype())
    return bad_input("graph: constant '{}' is {} but its content is {}", v.name, dtype_name(v.dtype),
                     dtype_name(v.constant->dtype()));
  if (v.constant && v.shape && *v.shape != sym_shape(v.constant->shape()))
    return bad_input("graph: constant '{}' has shape {} but its content {}", v.name, to_string(*v.shape),
                     to_string(v.constant->shape()));
  if (v.shape && !fits(v, batch))
    return bad_input("graph: value '{}' of shape {} does not fit memory at batch {}", v.name,
                     to_string(*v.shape), batch);
  return {};
}

Status check_attributes(const Node& node) {
  for (const auto& [name, attribute] : node.attributes) {
    const auto* tensor = std::get_if<Tensor>(&attribute);
    if (tensor && tensor->dtype() == DType::kUndefined)
      return bad_input("graph: layer '{}': attribute '{}' is a tensor without a type", node.name, name);
  }
  return {};
}

Status check_interface(const Graph& graph, const std::vector<ValueId>& ids, std::string_view what) {
  for (size_t i = 0; i < ids.size(); ++i) {
    const Value& v = graph.value(ids[i]);
    if (v.dtype == DType::kUndefined || !v.shape)
      return bad_input("graph: {} '{}' has no known type and shape", what, v.name);
    if (std::find(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(i), ids[i]) !=
        ids.begin() + static_cast<std::ptrdiff_t>(i))
      return bad_input("graph: {} '{}' is listed twice", what, v.name);
  }
  return {};
}

}  // namespace

std::optional<int64_t> checked_bytes(DType dtype, const Shape& shape) {
  if (shape.size() > kMaxRank) return std::nullopt;
  auto bytes = static_cast<int64_t>(dtype_size(dtype));
  for (int64_t extent : shape) {
    if (extent < 0 || extent > kMaxExtent || __builtin_mul_overflow(bytes, extent, &bytes) ||
        bytes > kMaxTensorBytes)
      return std::nullopt;
  }
  return bytes;
}

Status validate_engine(const EngineInfo& info, const Graph& graph) {
  VTL_TRY(check_profiles(info.profiles));
  VTL_TRY(verify_graph(graph).with_context("graph"));
  VTL_TRY(check_interface(graph, graph.inputs, "input"));
  VTL_TRY(check_interface(graph, graph.outputs, "output"));
  for (ValueId id : graph.inputs)
    if (graph.is_constant(id)) return bad_input("graph: input '{}' is a constant", graph.value(id).name);
  if (graph.outputs.empty()) return bad_input("graph: it has no output");
  if (graph.nodes.size() > kMaxNodes)
    return bad_input("graph: {} layers are more than the {} that fit", graph.nodes.size(), kMaxNodes);

  int64_t batch = 1;
  for (const Profile& p : info.profiles) batch = std::max(batch, p.max);
  for (const Value& v : graph.values) VTL_TRY(check_value(v, batch));
  for (const Node& n : graph.nodes) VTL_TRY(check_attributes(n));
  if (!info.certificate_json.empty())
    VTL_TRY(parse_json(info.certificate_json).status().with_context("certificate"));
  return {};
}

}  // namespace vitrail
