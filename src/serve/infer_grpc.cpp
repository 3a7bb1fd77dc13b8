// SPDX-License-Identifier: Apache-2.0
#include "serve/infer_grpc.h"

#include <utility>

#include "core/datatype.h"
#include "core/error.h"

namespace vitrail::serve {
namespace {

using inference::InferParameter;
using inference::InferTensorContents;

// Typed elements as little-endian bytes of the datatype; each value must fit.
template <class T, class Field>
Status pack(const Field& field, std::string_view datatype, std::string& to) {
  to.reserve(static_cast<size_t>(field.size()) * sizeof(T));
  for (const auto value : field) {
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
      if (!std::in_range<T>(value)) return bad_input("{} is outside the range of {}", value, datatype);
    const T element = static_cast<T>(value);
    to.append(reinterpret_cast<const char*>(&element), sizeof element);
  }
  return {};
}

Status pack_contents(const InferTensorContents& contents, std::string_view datatype, std::string& to) {
  if (datatype == kBytes) {
    for (const std::string& element : contents.bytes_contents()) {
      const auto length = static_cast<uint32_t>(element.size());
      to.append(reinterpret_cast<const char*>(&length), sizeof length).append(element);
    }
    return {};
  }
  switch (datatype_from_name(datatype)) {
    case DType::kBool:
      return pack<bool>(contents.bool_contents(), datatype, to);
    case DType::kI8:
      return pack<int8_t>(contents.int_contents(), datatype, to);
    case DType::kI16:
      return pack<int16_t>(contents.int_contents(), datatype, to);
    case DType::kI32:
      return pack<int32_t>(contents.int_contents(), datatype, to);
    case DType::kI64:
      return pack<int64_t>(contents.int64_contents(), datatype, to);
    case DType::kU8:
      return pack<uint8_t>(contents.uint_contents(), datatype, to);
    case DType::kU16:
      return pack<uint16_t>(contents.uint_contents(), datatype, to);
    case DType::kU32:
      return pack<uint32_t>(contents.uint_contents(), datatype, to);
    case DType::kU64:
      return pack<uint64_t>(contents.uint64_contents(), datatype, to);
    case DType::kF32:
      return pack<float>(contents.fp32_contents(), datatype, to);
    case DType::kF64:
      return pack<double>(contents.fp64_contents(), datatype, to);
    default:
      return bad_input("datatype '{}' comes only in raw_input_contents", datatype);
  }
}

// The parameter as a whole number in [0, most]; `fallback` when it is not there.
template <class Map>
Result<int64_t> whole(const Map& parameters, const char* name, int64_t most, int64_t fallback) {
  const auto it = parameters.find(name);
  if (it == parameters.end()) return fallback;
  const InferParameter& p = it->second;
  const bool is_signed = p.parameter_choice_case() == InferParameter::kInt64Param;
  if (!is_signed && p.parameter_choice_case() != InferParameter::kUint64Param)
    return bad_input("parameter '{}' must be a whole number", name);
  if (is_signed ? p.int64_param() < 0 || p.int64_param() > most : std::cmp_greater(p.uint64_param(), most))
    return bad_input("parameter '{}' must be 0 to {}", name, most);
  return is_signed ? p.int64_param() : static_cast<int64_t>(p.uint64_param());
}

// What the parameters say of shared memory; nothing when they do not.
template <class Map>
Result<std::optional<RegionPart>> region_of(const Map& parameters) {
  const auto it = parameters.find("shared_memory_region");
  if (it == parameters.end()) return std::optional<RegionPart>();
  VTL_ASSIGN(const int64_t size, whole(parameters, "shared_memory_byte_size", INT64_MAX, 0));
  VTL_ASSIGN(const int64_t offset, whole(parameters, "shared_memory_offset", INT64_MAX, 0));
  return std::optional(
      RegionPart{it->second.string_param(), static_cast<uint64_t>(offset), static_cast<uint64_t>(size)});
}

}  // namespace

Result<InferRequest> read_infer_request(std::shared_ptr<const inference::ModelInferRequest> message) {
  const inference::ModelInferRequest& m = *message;
  InferRequest request;
  request.model = m.model_name();
  request.version = m.model_version();
  request.id = m.id();
  VTL_ASSIGN(const int64_t priority, whole(m.parameters(), "priority", INT32_MAX, 0));
  request.priority = static_cast<int>(priority);
  VTL_ASSIGN(request.timeout_us, whole(m.parameters(), "timeout", INT64_MAX / 1000, 0));
  if (std::cmp_greater(m.inputs_size(), kMaxTensors) || std::cmp_greater(m.outputs_size(), kMaxTensors))
    return bad_input("more than {} inputs or outputs", kMaxTensors);
  const bool raw = m.raw_input_contents_size() > 0;
  int next_raw = 0;
  for (int i = 0; i < m.inputs_size(); ++i) {
    const auto& tensor = m.inputs(i);
    InferInput input{tensor.name(), tensor.datatype(), Shape(tensor.shape().begin(), tensor.shape().end()), {}, message, {}};
    VTL_ASSIGN(input.region, region_of(tensor.parameters()));
    if (input.shape.size() > kMaxRank) return bad_input("input '{}': more than {} extents", input.name, kMaxRank);
    if (raw && tensor.has_contents())
      return bad_input("input '{}' has contents beside raw_input_contents", input.name);
    if (input.region) {
    } else if (raw) {
      if (next_raw == m.raw_input_contents_size()) return bad_input("input '{}' has no raw_input_contents", input.name);
      input.data = std::as_bytes(std::span(m.raw_input_contents(next_raw++)));
    } else {
      auto packed = std::make_shared<std::string>();
      VTL_TRY(pack_contents(tensor.contents(), input.datatype, *packed).with_context("input '" + input.name + "'"));
      input.data = std::as_bytes(std::span(*packed));
      input.owner = std::move(packed);
    }
    request.inputs.push_back(std::move(input));
  }
  if (next_raw != m.raw_input_contents_size())
    return bad_input("{} raw_input_contents, but {} inputs that use them", m.raw_input_contents_size(), next_raw);
  for (const auto& output : m.outputs()) {
    VTL_ASSIGN(auto region, region_of(output.parameters()));
    VTL_ASSIGN(const int64_t classes, whole(output.parameters(), "classification", 1'000'000, 0));
    request.outputs.push_back({output.name(), true, classes, std::move(region)});
  }
  return request;
}

void write_infer_response(const InferResponse& response, inference::ModelInferResponse& message) {
  message.set_model_name(response.model);
  message.set_model_version(response.version);
  message.set_id(response.id);
  for (const InferOutput& output : response.outputs) {
    auto& tensor = *message.add_outputs();
    tensor.set_name(output.name);
    tensor.set_datatype(output.datatype);
    for (const int64_t extent : output.shape) tensor.add_shape(extent);
    if (output.region) {
      auto& parameters = *tensor.mutable_parameters();
      parameters["shared_memory_region"].set_string_param(output.region->region);
      parameters["shared_memory_offset"].set_int64_param(static_cast<int64_t>(output.region->offset));
      parameters["shared_memory_byte_size"].set_int64_param(static_cast<int64_t>(output.region->byte_size));
    }
    // One for each output, also where it is empty: clients count them.
    message.add_raw_output_contents(output.data.data(), output.data.size());
  }
}

}  // namespace vitrail::serve
