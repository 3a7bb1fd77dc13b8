// SPDX-License-Identifier: Apache-2.0
#include "serve/infer_json.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/datatype.h"
#include "core/error.h"

namespace vitrail::serve {
namespace {

using Json = nlohmann::json;

// One input as it is read: "data" becomes elements at once where the datatype is known by then.
struct ReadInput {
  InferInput input;
  std::optional<int64_t> binary_size;
  bool has_shape = false, has_data = false;
  std::shared_ptr<std::string> elements = std::make_shared<std::string>();
};

constexpr std::string_view kWhole = "a whole number", kBoolean = "true or false", kText = "a string";

template <class T>
void append(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T, class V>
Status append_integer(std::string& to, V value, std::string_view datatype) {
  if (!std::in_range<T>(value)) return bad_input("{} is outside the range of {}", value, datatype);
  append(to, static_cast<T>(value));
  return {};
}

template <class V>
Status append_whole(std::string& to, DType dtype, V value, std::string_view name) {
  switch (dtype) {
    case DType::kF32:
      return append(to, static_cast<float>(value)), Status();
    case DType::kF64:
      return append(to, static_cast<double>(value)), Status();
    case DType::kI8:
      return append_integer<int8_t>(to, value, name);
    case DType::kI16:
      return append_integer<int16_t>(to, value, name);
    case DType::kI32:
      return append_integer<int32_t>(to, value, name);
    case DType::kI64:
      return append_integer<int64_t>(to, value, name);
    case DType::kU8:
      return append_integer<uint8_t>(to, value, name);
    case DType::kU16:
      return append_integer<uint16_t>(to, value, name);
    case DType::kU32:
      return append_integer<uint32_t>(to, value, name);
    case DType::kU64:
      return append_integer<uint64_t>(to, value, name);
    default:
      return bad_input("a number cannot be an element of {}{}", name,
                       dtype == DType::kF16 || dtype == DType::kBF16 ? "; send it as a binary tensor" : "");
  }
}

Status append_real(std::string& to, DType dtype, double value, std::string_view name) {
  if (dtype == DType::kF64) return append(to, value), Status();
  if (dtype != DType::kF32) return bad_input("{} cannot be an element of {}", value, name);
  if (std::abs(value) > static_cast<double>(std::numeric_limits<float>::max()))
    return bad_input("{} is outside the range of {}", value, name);
  append(to, static_cast<float>(value));
  return {};
}

// nlohmann's SAX parser does not recurse, and this keeps no more than the request's own fields.
class Reader : public nlohmann::json_sax<Json> {
 public:
  // `datatypes` of the inputs as an earlier pass found them; empty in the first one.
  explicit Reader(const std::vector<std::string>& datatypes) : datatypes_(datatypes) {}

  Status status;
  InferRequest request;
  std::vector<ReadInput> inputs;
  bool again = false;  // "data" came before "datatype": another pass is needed

  bool null() override { return scalar("null", [] { return false; }); }
  bool boolean(bool value) override {
    if (where() == Where::kData) return element([&](std::string& to, DType t, std::string_view name) {
      if (t != DType::kBool) return bad_input("{} cannot be an element of {}", value, name);
      append(to, static_cast<uint8_t>(value));
      return Status();
    });
    return scalar(kBoolean, [&] {
      if (where() == Where::kRootParameters && key_ == "binary_data_output") request.binary_outputs = value;
      else if (where() == Where::kOutputParameters && key_ == "binary_data") request.outputs.back().binary = value;
      else return where() == Where::kInputParameters || where() == Where::kOutputParameters ||
                  where() == Where::kRootParameters;
      return true;
    });
  }
  bool number_integer(number_integer_t value) override { return whole(value); }
  bool number_unsigned(number_unsigned_t value) override { return whole(value); }
  bool number_float(number_float_t value, const string_t&) override {
    if (where() == Where::kData)
      return element([&](std::string& to, DType t, std::string_view name) { return append_real(to, t, value, name); });
    return scalar("a number with a fraction", [&] { return in_parameters(); });
  }
  bool string(string_t& value) override {
    if (where() == Where::kData) return text_element(value);
    return scalar(kText, [&] {
      if (where() == Where::kRoot && key_ == "id") request.id = value;
      else if (where() == Where::kInput && key_ == "name") inputs.back().input.name = value;
      else if (where() == Where::kInput && key_ == "datatype") inputs.back().input.datatype = value;
      else if (where() == Where::kOutput && key_ == "name") request.outputs.back().name = value;
      else if (RegionPart* part = region(); part && key_ == "shared_memory_region") part->region = value;
      else return in_parameters();
      return true;
    });
  }
  bool binary(binary_t&) override { return fail("binary values are not JSON"); }
  bool key(string_t& value) override {
    key_ = value;
    return true;
  }

  bool start_object(std::size_t) override {
    switch (where()) {
      case Where::kNothing:
        return enter(Where::kRoot);
      case Where::kRoot:
        return enter(key_ == "parameters" ? Where::kRootParameters : Where::kSkip);
      case Where::kInputs:
        if (inputs.size() == kMaxTensors) return fail(fmt::format("more than {} inputs", kMaxTensors));
        inputs.emplace_back();
        return enter(Where::kInput);
      case Where::kOutputs:
        if (request.outputs.size() == kMaxTensors) return fail(fmt::format("more than {} outputs", kMaxTensors));
        request.outputs.emplace_back();
        return enter(Where::kOutput);
      case Where::kInput:
        return enter(key_ == "parameters" ? Where::kInputParameters : Where::kSkip);
      case Where::kOutput:
        return enter(key_ == "parameters" ? Where::kOutputParameters : Where::kSkip);
      case Where::kData:
      case Where::kShape:
        return fail(fmt::format("{}: an object where numbers are expected", place()));
      default:
        return suits("an object") && enter(Where::kSkip);
    }
  }
  bool start_array(std::size_t) override {
    switch (where()) {
      case Where::kNothing:
        return fail("the request must be a JSON object");
      case Where::kRoot:
        return enter(key_ == "inputs" ? Where::kInputs : key_ == "outputs" ? Where::kOutputs : Where::kSkip);
      case Where::kInput:
        if (key_ == "shape") {
          inputs.back().has_shape = true;
          inputs.back().input.shape.clear();
          return enter(Where::kShape);
        }
        if (key_ != "data") return enter(Where::kSkip);
        inputs.back().has_data = true;
        inputs.back().elements->clear();
        return enter(Where::kData);
      case Where::kData:
        return enter(Where::kData);  // nested as the shape says, or flat: the order of elements is the same
      case Where::kInputs:
      case Where::kOutputs:
      case Where::kShape:
        return fail(fmt::format("{}: an array too many", place()));
      default:
        return suits("an array") && enter(Where::kSkip);
    }
  }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    return fail(fmt::format("not JSON at byte {}: {}", position, error.what()));
  }

 private:
  enum class Where {
    kNothing, kRoot, kRootParameters, kInputs, kInput, kInputParameters, kShape, kData,
    kOutputs, kOutput, kOutputParameters, kSkip,
  };

  Where where() const { return stack_.empty() ? Where::kNothing : stack_.back(); }
  bool in_parameters() const {
    return where() == Where::kRootParameters || where() == Where::kInputParameters ||
           where() == Where::kOutputParameters || where() == Where::kSkip;
  }
  bool enter(Where next) {
    if (static_cast<int>(stack_.size()) >= kMaxJsonDepth)
      return fail(fmt::format("JSON nested deeper than {} levels", kMaxJsonDepth));
    stack_.push_back(next);
    return true;
  }
  bool leave() {
    stack_.pop_back();
    return true;
  }
  bool fail(std::string message) {
    if (status.ok()) status = bad_input("{}", message);
    return false;
  }
  std::string place() const {
    const bool in_input = where() == Where::kInput || where() == Where::kInputParameters ||
                          where() == Where::kShape || where() == Where::kData;
    if (in_input && !inputs.back().input.name.empty())
      return fmt::format("input '{}', '{}'", inputs.back().input.name, key_);
    if (in_input) return fmt::format("input {}, '{}'", inputs.size() - 1, key_);
    return fmt::format("'{}'", key_);
  }
  // What a parameter that is known here has to be; empty where anything is passed over.
  std::string_view wanted() const {
    const bool root = where() == Where::kRootParameters, input = where() == Where::kInputParameters,
               output = where() == Where::kOutputParameters;
    if ((root && (key_ == "priority" || key_ == "timeout")) || (input && key_ == "binary_data_size") ||
        (output && key_ == "classification"))
      return kWhole;
    if ((root && key_ == "binary_data_output") || (output && key_ == "binary_data")) return kBoolean;
    if (!input && !output) return {};
    if (key_ == "shared_memory_offset" || key_ == "shared_memory_byte_size") return kWhole;
    return key_ == "shared_memory_region" ? kText : std::string_view();
  }
  // False, and the reason told, when something of this kind is no value for the parameter that is read.
  bool suits(std::string_view kind) {
    const std::string_view need = wanted();
    return need.empty() || need == kind || fail(fmt::format("{} must be {}, not {}", place(), need, kind));
  }
  // `taken` stores the value and tells whether it belongs here; keys that are not known are passed over.
  template <class F>
  bool scalar(std::string_view what, F&& taken) {
    if (where() == Where::kNothing) return fail("the request must be a JSON object");
    if (!suits(what)) return false;
    if (taken()) return true;
    const bool known = key_ == "id" || key_ == "name" || key_ == "datatype" || key_ == "shape" || key_ == "data" ||
                       key_ == "inputs" || key_ == "outputs" || key_ == "parameters" || where() == Where::kShape ||
                       where() == Where::kInputs || where() == Where::kOutputs;
    return known ? fail(fmt::format("{} cannot be {}", place(), what)) : true;
  }
  template <class V>
  bool whole(V value) {
    const auto number = [&](int64_t least, int64_t most) -> std::optional<int64_t> {
      if (std::cmp_less(value, least) || std::cmp_greater(value, most)) {
        fail(fmt::format("{}: {} is outside {} to {}", place(), value, least, most));
        return std::nullopt;
      }
      return static_cast<int64_t>(value);
    };
    constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
    if (!suits(kWhole)) return false;
    switch (where()) {
      case Where::kData:
        return element([&](std::string& to, DType t, std::string_view name) { return append_whole(to, t, value, name); });
      case Where::kShape: {
        Shape& shape = inputs.back().input.shape;
        if (shape.size() == kMaxRank) return fail(fmt::format("{}: more than {} extents", place(), kMaxRank));
        const auto extent = number(0, kMost);
        if (extent) shape.push_back(*extent);
        return extent.has_value();
      }
      case Where::kRootParameters:
        if (key_ == "priority") {
          const auto priority = number(0, std::numeric_limits<int>::max());
          if (priority) request.priority = static_cast<int>(*priority);
          return priority.has_value();
        }
        if (key_ == "timeout") {
          const auto timeout = number(0, kMost / 1000);
          if (timeout) request.timeout_us = *timeout;
          return timeout.has_value();
        }
        return true;
      case Where::kInputParameters:
        if (key_ == "binary_data_size") {
          inputs.back().binary_size = number(0, kMost);
          return inputs.back().binary_size.has_value();
        }
        return region_number(number);
      case Where::kOutputParameters:
        if (key_ == "classification") {
          const auto classes = number(0, 1'000'000);
          if (classes) request.outputs.back().classes = *classes;
          return classes.has_value();
        }
        return region_number(number);
      default:
        return scalar(kWhole, [&] { return where() == Where::kSkip; });
    }
  }
  // Where a parameter that is read now puts what it says of shared memory; null elsewhere.
  RegionPart* region() {
    if (!key_.starts_with("shared_memory_")) return nullptr;
    auto* part = where() == Where::kInputParameters    ? &inputs.back().input.region
                 : where() == Where::kOutputParameters ? &request.outputs.back().region
                                                       : nullptr;
    if (part && !*part) part->emplace();
    return part ? &**part : nullptr;
  }
  template <class F>
  bool region_number(F&& number) {
    RegionPart* part = region();
    if (!part || (key_ != "shared_memory_offset" && key_ != "shared_memory_byte_size")) return true;
    const std::optional<int64_t> value = number(0, std::numeric_limits<int64_t>::max());
    if (value) (key_ == "shared_memory_offset" ? part->offset : part->byte_size) = static_cast<uint64_t>(*value);
    return value.has_value();
  }
  // The datatype of the input that is being read; empty: not known yet.
  std::string_view datatype() const {
    const ReadInput& input = inputs.back();
    if (!input.input.datatype.empty()) return input.input.datatype;
    return inputs.size() <= datatypes_.size() ? std::string_view(datatypes_[inputs.size() - 1]) : std::string_view();
  }
  template <class F>
  bool element(F&& store) {
    const std::string_view name = datatype();
    if (name.empty()) {
      again = true;
      return true;
    }
    const DType dtype = datatype_from_name(name);
    const Status stored = dtype == DType::kUndefined && name != kBytes
                              ? bad_input("datatype '{}' is not known", name)
                              : store(*inputs.back().elements, dtype, name);
    return stored.ok() || fail(place() + ": " + stored.message());
  }
  bool text_element(const std::string& value) {
    return element([&](std::string& to, DType, std::string_view name) {
      if (name != kBytes) return bad_input("a string cannot be an element of {}", name);
      append(to, static_cast<uint32_t>(value.size()));
      to += value;
      return Status();
    });
  }

  const std::vector<std::string>& datatypes_;
  std::vector<Where> stack_;
  std::string key_;
};

Status read(std::string_view text, Reader& reader) {
  try {
    const bool done = Json::sax_parse(text.begin(), text.end(), &reader);
    if (!done && reader.status.ok()) return bad_input("not JSON");
  } catch (const std::exception& error) {
    return bad_input("not JSON: {}", error.what());
  }
  return reader.status;
}

}  // namespace

Result<InferRequest> parse_infer_request(std::span<const std::byte> body, size_t header_length,
                                         std::shared_ptr<const void> owner) {
  if (header_length > body.size())
    return bad_input("Inference-Header-Content-Length is {}, but the body has {} bytes", header_length, body.size());
  const std::string_view text(reinterpret_cast<const char*>(body.data()), header_length);
  std::span<const std::byte> rest = body.subspan(header_length);
  std::vector<std::string> datatypes;
  auto reader = std::make_unique<Reader>(datatypes);
  VTL_TRY(read(text, *reader));
  std::vector<std::string> found;
  if (reader->again) {
    for (const ReadInput& input : reader->inputs) found.push_back(input.input.datatype);
    reader = std::make_unique<Reader>(found);
    VTL_TRY(read(text, *reader));
  }
  InferRequest request = std::move(reader->request);
  for (ReadInput& read : reader->inputs) {
    InferInput& input = read.input;
    if (input.name.empty()) return bad_input("an input has no 'name'");
    if (input.datatype.empty()) return bad_input("input '{}' has no 'datatype'", input.name);
    if (!read.has_shape) return bad_input("input '{}' has no 'shape'", input.name);
    if (read.binary_size.has_value() + read.has_data + input.region.has_value() != 1)
      return bad_input("input '{}' needs either 'data' or the parameter 'binary_data_size' or 'shared_memory_region'",
                       input.name);
    if (input.region) {
    } else if (read.has_data) {
      input.data = std::as_bytes(std::span(*read.elements));
      input.owner = read.elements;
    } else {
      const auto size = static_cast<size_t>(*read.binary_size);
      if (size > rest.size())
        return bad_input("input '{}': binary_data_size is {}, but {} bytes are left of the body", input.name, size,
                         rest.size());
      input.data = rest.first(size);
      input.owner = owner;
      rest = rest.subspan(size);
    }
    request.inputs.push_back(std::move(input));
  }
  for (const OutputWish& wish : request.outputs)
    if (wish.name.empty()) return bad_input("an output has no 'name'");
  if (!rest.empty()) return bad_input("{} bytes of the body belong to no input", rest.size());
  return request;
}

std::string json_string(std::string_view text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

namespace {

template <class T>
void write_numbers(std::string& to, std::span<const std::byte> data) {
  for (size_t at = 0; at < data.size(); at += sizeof(T)) {
    T value;
    std::memcpy(&value, data.data() + at, sizeof value);
    if (at > 0) to += ',';
    fmt::format_to(std::back_inserter(to), "{}", value);
  }
}

template <class T>
Status write_reals(std::string& to, const InferOutput& output) {
  for (size_t at = 0; at < output.data.size(); at += sizeof(T)) {
    T value;
    std::memcpy(&value, output.data.data() + at, sizeof value);
    if (!std::isfinite(value))
      return internal_error("output '{}' holds {}, which JSON cannot say; ask for binary data", output.name, value);
  }
  write_numbers<T>(to, output.data);
  return {};
}

void write_texts(std::string& to, std::span<const std::byte> data) {
  for (bool first = true; data.size() >= sizeof(uint32_t); first = false) {
    uint32_t length = 0;
    std::memcpy(&length, data.data(), sizeof length);
    data = data.subspan(sizeof length);
    if (!first) to += ',';
    to += json_string({reinterpret_cast<const char*>(data.data()), length});
    data = data.subspan(length);
  }
}

Status write_data(std::string& to, const InferOutput& output) {
  if (output.datatype == kBytes) return write_texts(to, output.data), Status();
  switch (datatype_from_name(output.datatype)) {
    case DType::kF32:
      return write_reals<float>(to, output);
    case DType::kF64:
      return write_reals<double>(to, output);
    case DType::kI8:
      return write_numbers<int8_t>(to, output.data), Status();
    case DType::kI16:
      return write_numbers<int16_t>(to, output.data), Status();
    case DType::kI32:
      return write_numbers<int32_t>(to, output.data), Status();
    case DType::kI64:
      return write_numbers<int64_t>(to, output.data), Status();
    case DType::kU8:
      return write_numbers<uint8_t>(to, output.data), Status();
    case DType::kU16:
      return write_numbers<uint16_t>(to, output.data), Status();
    case DType::kU32:
      return write_numbers<uint32_t>(to, output.data), Status();
    case DType::kU64:
      return write_numbers<uint64_t>(to, output.data), Status();
    case DType::kBool:
      return write_numbers<bool>(to, output.data), Status();
    default:
      return bad_input("output '{}' is {}, which JSON has no form for; ask for binary data", output.name,
                       output.datatype);
  }
}

}  // namespace

Result<InferBody> write_infer_response(const InferResponse& response) {
  InferBody body;
  std::string& json = body.content;
  json = fmt::format("{{\"model_name\":{},\"model_version\":{}", json_string(response.model), json_string(response.version));
  if (!response.id.empty()) json += ",\"id\":" + json_string(response.id);
  json += ",\"outputs\":[";
  size_t binary = 0;
  for (const InferOutput& output : response.outputs) {
    if (json.back() != '[') json += ',';
    json += fmt::format("{{\"name\":{},\"datatype\":\"{}\",\"shape\":[{}]", json_string(output.name), output.datatype,
                        fmt::join(output.shape, ","));
    if (output.region) {
      json += fmt::format(
          ",\"parameters\":{{\"shared_memory_region\":{},\"shared_memory_offset\":{},\"shared_memory_byte_size\":{}}}}}",
          json_string(output.region->region), output.region->offset, output.region->byte_size);
      continue;
    }
    if (output.binary) {
      json += fmt::format(",\"parameters\":{{\"binary_data_size\":{}}}}}", output.data.size());
      binary += output.data.size();
      continue;
    }
    json += ",\"data\":[";
    VTL_TRY(write_data(json, output));
    json += "]}";
  }
  json += "]}";
  if (binary == 0) return body;
  body.header_length = json.size();
  json.reserve(json.size() + binary);
  for (const InferOutput& output : response.outputs)
    if (output.binary && !output.region) json.append(reinterpret_cast<const char*>(output.data.data()), output.data.size());
  return body;
}

}  // namespace vitrail::serve
