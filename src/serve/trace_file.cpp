// SPDX-License-Identifier: Apache-2.0
#include "serve/trace_file.h"

#include <cerrno>
#include <cstring>
#include <iterator>

#include "core/datatype.h"
#include "core/error.h"
#include "core/half.h"
#include "serve/infer_json.h"

namespace vitrail::serve {

std::vector<std::pair<std::string_view, int64_t>> timestamps_of(const RequestRecord& r) {
  std::vector<std::pair<std::string_view, int64_t>> out;
  for (const auto& [name, ns] : std::initializer_list<std::pair<std::string_view, int64_t>>{
           {r.grpc ? "GRPC_WAITREAD_START" : "HTTP_RECV_START", r.receive_start_ns},
           {r.grpc ? "GRPC_WAITREAD_END" : "HTTP_RECV_END", r.receive_end_ns},
           {"REQUEST_START", r.request_start_ns},
           {"QUEUE_START", r.queue_start_ns},
           {"COMPUTE_START", r.compute_start_ns},
           {"COMPUTE_INPUT_END", r.input_end_ns},
           {"COMPUTE_OUTPUT_START", r.output_start_ns},
           {"COMPUTE_END", r.compute_end_ns},
           {"REQUEST_END", r.request_end_ns},
           {r.grpc ? "GRPC_SEND_START" : "HTTP_SEND_START", r.send_start_ns},
           {r.grpc ? "GRPC_SEND_END" : "HTTP_SEND_END", r.send_end_ns}})
    if (ns > 0) out.emplace_back(name, ns);
  return out;
}

namespace {

template <class T, class Show>
void append_as(const Tensor& tensor, std::string& out, Show show) {
  const char* separator = "";
  for (const T value : tensor.as<T>()) {
    fmt::format_to(std::back_inserter(out), "{}{}", separator, show(value));
    separator = ",";
  }
}

// As Triton lists them, but with all digits, and 16-bit floats as well.
void append_elements(const Tensor& t, std::string& out) {
  const auto plain = [](auto v) { return v; };
  const auto number = [](auto v) { return static_cast<int>(v); };  // not a character
  switch (t.dtype()) {
    case DType::kF32: return append_as<float>(t, out, plain);
    case DType::kF64: return append_as<double>(t, out, plain);
    case DType::kF16: return append_as<uint16_t>(t, out, half_to_float);
    case DType::kBF16: return append_as<uint16_t>(t, out, bfloat16_to_float);
    case DType::kI8: return append_as<int8_t>(t, out, number);
    case DType::kU8:
    case DType::kBool: return append_as<uint8_t>(t, out, number);
    case DType::kI16: return append_as<int16_t>(t, out, plain);
    case DType::kU16: return append_as<uint16_t>(t, out, plain);
    case DType::kI32: return append_as<int32_t>(t, out, plain);
    case DType::kU32: return append_as<uint32_t>(t, out, plain);
    case DType::kI64: return append_as<int64_t>(t, out, plain);
    case DType::kU64: return append_as<uint64_t>(t, out, plain);
    default: return;  // the protocol has no name for it
  }
}

}  // namespace

std::string trace_json(const RequestRecord& r, uint64_t id) {
  std::string out = fmt::format("{{\"id\":{},\"model_name\":{},\"model_version\":{}", id, json_string(r.model),
                                r.version.empty() ? "-1" : r.version);
  if (!r.id.empty()) out += ",\"request_id\":" + json_string(r.id);
  out += "}";
  if (r.traced->values.timestamps) {
    out += fmt::format(",\n{{\"id\":{},\"timestamps\":[", id);
    for (const auto& [name, ns] : timestamps_of(r))
      out += fmt::format("{}{{\"name\":\"{}\",\"ns\":{}}}", out.back() == '[' ? "" : ",", name, ns);
    out += "]}";
  }
  for (const TracedTensor& t : r.tensors) {
    out += fmt::format(",\n{{\"id\":{},\"activity\":\"{}\",\"tensor\":{{\"name\":{},\"data\":\"", id, t.activity, json_string(t.name));
    append_elements(t.tensor, out);
    out += fmt::format("\",\"shape\":\"{}\",\"dtype\":\"{}\"}}}}", fmt::join(t.tensor.shape(), ","), datatype_name(t.tensor.dtype()));
  }
  return out;
}

Status TraceFile::append(Array& array, const std::string& path, const std::string& text) {
  const auto failed = [&] {
    const Status status = io_error("{}: {}", path, std::strerror(errno));
    array = {};
    return status;
  };
  if (!array.file) {
    array.file.reset(std::fopen(path.c_str(), "w"));
    if (!array.file) return failed();
  }
  constexpr std::string_view kEnd = "\n]\n";
  const std::string whole = (array.traces == 0 ? "[\n" : ",\n") + text;
  std::FILE* const file = array.file.get();
  if (std::fseek(file, array.end, SEEK_SET) != 0) return failed();
  if (std::fwrite(whole.data(), 1, whole.size(), file) != whole.size()) return failed();
  const long end = std::ftell(file);
  if (end < 0 || std::fwrite(kEnd.data(), 1, kEnd.size(), file) != kEnd.size() || std::fflush(file) != 0) return failed();
  array.end = end;
  ++array.traces;
  return {};
}

Status TraceFile::write(const RequestRecord& record, uint64_t id) {
  const std::string text = trace_json(record, id);
  const TraceValues& values = record.traced->values;
  if (values.log_frequency == 0 && values.count < 0) return append(all_, path_, text);
  const Status status = append(part_, fmt::format("{}.{}", path_, index_), text);
  const bool last = values.count >= 0 && record.counted && record.traced->unwritten.fetch_sub(1) <= 1;
  if (last || (values.log_frequency > 0 && part_.traces >= values.log_frequency)) {
    part_ = {};
    ++index_;
  }
  return status;
}

}  // namespace vitrail::serve
