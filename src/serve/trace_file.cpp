// SPDX-License-Identifier: Apache-2.0
#include "serve/trace_file.h"

#include <cerrno>
#include <cstring>

#include "core/error.h"
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

std::string trace_json(const RequestRecord& r, uint64_t id) {
  std::string out = fmt::format("{{\"id\":{},\"model_name\":{},\"model_version\":{}", id, json_string(r.model),
                                r.version.empty() ? "-1" : r.version);
  if (!r.id.empty()) out += ",\"request_id\":" + json_string(r.id);
  out += fmt::format("}},\n{{\"id\":{},\"timestamps\":[", id);
  for (const auto& [name, ns] : timestamps_of(r))
    out += fmt::format("{}{{\"name\":\"{}\",\"ns\":{}}}", out.back() == '[' ? "" : ",", name, ns);
  return out + "]}";
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
