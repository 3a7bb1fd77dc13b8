// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/graph_inputs.h"

#include <algorithm>
#include <cctype>

#include "core/error.h"
#include "import/onnx/tensor_reader.h"

namespace vitrail::onnx_import {
namespace {

constexpr int64_t kDefaultSize = 224;  // pixels, of nearly every Vision Transformer
constexpr int64_t kLargestSize = int64_t{1}
                                 << 31;  // of one dimension; keeps products of shapes far from overflow
constexpr int kHighestRank = 8;

bool is_batch_name(std::string name) {
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name == "batch" || name == "batch_size" || name == "batchsize" || name == "n";
}

Status check_size(const std::string& what, int64_t size) {
  if (size >= 1 && size <= kLargestSize) return {};
  return usage_error("the size of {} is {}; it must be between 1 and {}", what, size, kLargestSize);
}

}  // namespace

Status InputReader::check_options() const {
  if (options_.height) VTL_TRY(check_size("the height", options_.height));
  if (options_.width) VTL_TRY(check_size("the width", options_.width));
  for (const auto& [name, size] : options_.dims)
    VTL_TRY(check_size(fmt::format("dimension '{}'", name), size));
  return {};
}

void InputReader::warn_of_unused_names() {
  for (const auto& [name, size] : options_.dims)
    if (!seen_.contains(name))
      report_.warnings.push_back(
          fmt::format("no input has a dimension named '{}' (given as {}); there are: {}", name, size,
                      seen_.empty() ? "none" : fmt::format("{}", fmt::join(seen_, ", "))));
}

Result<Dim> InputReader::settle(const std::string& input, int axis, int rank, const Dimension& dimension) {
  // Some tools write 0 or -1 for an open dimension.
  if (dimension.dim_value() > 0) {
    if (dimension.dim_value() > kLargestSize)
      return bad_input("input '{}': dimension {} is {}, more than {}", input, axis, dimension.dim_value(),
                       kLargestSize);
    return Dim::of(dimension.dim_value());
  }
  const std::string& name = dimension.dim_param();
  if (!name.empty()) seen_.insert(name);
  if (const auto given = options_.dims.find(name); given != options_.dims.end())
    return Dim::of(given->second);
  if (axis == 0 || is_batch_name(name)) return Dim::batch();
  if (rank == 4 && axis >= 2) {
    const int64_t given = axis == 2 ? options_.height : options_.width;
    const int64_t size = given ? given : kDefaultSize;
    report_.warnings.push_back(fmt::format(
        "input '{}': the {}{} is open in the model; taken as {}{}", input, axis == 2 ? "height" : "width",
        name.empty() ? "" : fmt::format(" '{}'", name), size, given ? "" : " (the default)"));
    return Dim::of(size);
  }
  if (name.empty())
    return bad_input(
        "input '{}': dimension {} of {} is unknown and has no name: export the model with a fixed size "
        "there",
        input, axis, rank);
  return bad_input(
      "input '{}': the size of dimension {} of {}, '{}', is open: give its size with --dim {}=VALUE", input,
      axis, rank, name, name);
}

Result<Value> InputReader::read(const onnx::ValueInfoProto& input) {
  Value value;
  value.name = input.name();
  if (value.name.empty()) return bad_input("has an input without a name: export it again");
  if (!input.type().has_tensor_type())
    return bad_input("input '{}' is not a tensor; sequences, maps and optional inputs are not supported",
                     value.name);
  const auto& type = input.type().tensor_type();
  value.dtype = dtype_from_onnx(type.elem_type());
  if (value.dtype == DType::kUndefined)
    return bad_input("input '{}' is of type {}, which Vitrail does not have", value.name,
                     onnx_type_name(type.elem_type()));
  if (!type.has_shape())
    return bad_input(
        "input '{}' has no shape, not even a rank: export the model with the shapes of its inputs",
        value.name);
  const int rank = type.shape().dim_size();
  if (rank > kHighestRank)
    return bad_input("input '{}' has {} dimensions; at most {} are supported", value.name, rank,
                     kHighestRank);
  value.shape.emplace();
  double elements = 1;
  for (int axis = 0; axis < rank; ++axis) {
    VTL_ASSIGN(const Dim dim, settle(value.name, axis, rank, type.shape().dim(axis)));
    value.shape->push_back(dim);
    elements *= static_cast<double>(dim.at(1));
  }
  if (elements > 1e12)
    return bad_input("input '{}' of shape {} would have {:.3g} elements", value.name, to_string(*value.shape),
                     elements);
  return value;
}

}  // namespace vitrail::onnx_import
