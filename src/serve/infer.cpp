// SPDX-License-Identifier: Apache-2.0
#include "serve/infer.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "core/datatype.h"
#include "core/error.h"
#include "preprocess/preprocess.h"
#include "runtime/classes.h"
#include "runtime/finite.h"

namespace vitrail::serve {
namespace {

constexpr int64_t kMaxExtent = int64_t{1} << 40;

std::string names_of(const std::vector<TensorDescription>& tensors) {
  std::string out;
  for (const TensorDescription& t : tensors)
    out += fmt::format("{}'{}' {} {}", out.empty() ? "" : ", ", t.name, datatype_name(t.dtype), to_string(t.shape));
  return out;
}

Status check_rows(const ServedModel& model, int64_t rows) {
  const int64_t most = std::max<int64_t>(model.max_batch(), 1);
  if (rows >= 1 && rows <= most) return {};
  return bad_input("a batch of {}; model '{}' takes 1 to {} rows a request", rows, model.name(), most);
}

// The batch size of an input of this shape, nothing where the input does not tell.
Result<std::optional<int64_t>> match_shape(const TensorDescription& wanted, const SymShape& symbolic,
                                           const Shape& shape) {
  std::optional<int64_t> rows;
  bool fits = shape.size() == symbolic.size();
  for (size_t i = 0; fits && i < shape.size(); ++i) {
    const Dim d = symbolic[i];
    if (shape[i] < 0 || shape[i] > kMaxExtent) {
      fits = false;
    } else if (d.is_fixed()) {
      fits = shape[i] == d.fixed;
    } else {
      fits = (shape[i] - d.fixed) % d.per_batch == 0 && (!rows || *rows == (shape[i] - d.fixed) / d.per_batch);
      rows = (shape[i] - d.fixed) / d.per_batch;
    }
  }
  if (!fits) return bad_input("input '{}': shape {}, expected {}", wanted.name, to_string(shape), to_string(wanted.shape));
  return rows;
}

Status prepare_pictures(const ServedModel& model, const InferInput& input, PreparedJob& prepared) {
  VTL_TRY(model.takes_pictures());
  if (input.shape.empty() || input.shape.size() > 2 || (input.shape.size() == 2 && input.shape[1] != 1))
    return bad_input("input '{}': encoded pictures come as BYTES [N] or [N,1], not {}", input.name,
                     to_string(input.shape));
  VTL_TRY(check_rows(model, input.shape[0]));
  VTL_ASSIGN(prepared.pictures, bytes_elements(input, input.shape[0]));
  prepared.job.rows = input.shape[0];
  prepared.picture_owner = input.owner;
  return {};
}

}  // namespace

Result<std::vector<std::span<const std::byte>>> bytes_elements(const InferInput& input, int64_t count) {
  std::vector<std::span<const std::byte>> out;
  std::span<const std::byte> rest = input.data;
  while (!rest.empty()) {
    uint32_t length = 0;
    if (rest.size() < sizeof length) return bad_input("input '{}': {} bytes after its last element", input.name, rest.size());
    std::memcpy(&length, rest.data(), sizeof length);
    rest = rest.subspan(sizeof length);
    if (length > rest.size())
      return bad_input("input '{}': element {} says that it has {} bytes, but {} are left", input.name, out.size(),
                       length, rest.size());
    out.push_back(rest.first(length));
    rest = rest.subspan(length);
    if (static_cast<int64_t>(out.size()) > count) break;
  }
  if (static_cast<int64_t>(out.size()) != count)
    return bad_input("input '{}': its data holds {}{} elements, its shape {} says {}", input.name,
                     static_cast<int64_t>(out.size()) > count ? "more than " : "",
                     std::min<int64_t>(static_cast<int64_t>(out.size()), count), to_string(input.shape), count);
  return out;
}

Fault read_regions(const SharedMemory& memory, InferRequest& request) {
  for (InferInput& input : request.inputs) {
    if (!input.region) continue;
    const auto bytes = memory.read(*input.region);
    if (!bytes.ok()) return {bytes.fault().cause, "input '" + input.name + "': " + bytes.fault().message};
    input.data = std::as_bytes(std::span(**bytes));
    input.owner = *bytes;
  }
  return {};
}

Fault write_regions(const SharedMemory& memory, InferResponse& response) {
  for (InferOutput& output : response.outputs) {
    if (!output.region) continue;
    const Fault failed = memory.write(*output.region, output.data);
    if (!failed.ok()) return {failed.cause, "output '" + output.name + "': " + failed.message};
    output.region->byte_size = output.data.size();
    output.data = {};
  }
  return {};
}

Result<PreparedJob> prepare_job(const ServedModel& model, const InferRequest& request) {
  const Graph& graph = model.graph();
  PreparedJob prepared;
  Job& job = prepared.job;
  job.priority = request.priority;
  job.timeout_ns = request.timeout_us * 1000;
  job.run_here = request.run_here;
  auto owners = std::make_shared<std::vector<std::shared_ptr<const void>>>();
  std::optional<int64_t> rows;
  for (size_t i = 0; i < model.inputs().size(); ++i) {
    const TensorDescription& wanted = model.inputs()[i];
    const auto matches = [&](const InferInput& input) { return input.name == wanted.name; };
    const auto it = std::ranges::find_if(request.inputs, matches);
    if (it == request.inputs.end())
      return bad_input("input '{}' is missing; model '{}' takes {}", wanted.name, model.name(), names_of(model.inputs()));
    if (std::count_if(request.inputs.begin(), request.inputs.end(), matches) > 1)
      return bad_input("input '{}' is there more than once", wanted.name);
    const InferInput& input = *it;
    if (input.datatype == kBytes) {
      VTL_TRY(prepare_pictures(model, input, prepared));
      break;
    }
    if (datatype_from_name(input.datatype) != wanted.dtype)
      return bad_input("input '{}': datatype '{}', expected {}{}", wanted.name, input.datatype,
                       datatype_name(wanted.dtype),
                       model.takes_pictures().ok() ? ", or BYTES with encoded pictures" : "");
    const SymShape& symbolic = *graph.value(graph.inputs[i]).shape;
    VTL_ASSIGN(const std::optional<int64_t> own, match_shape(wanted, symbolic, input.shape));
    if (own) VTL_TRY(check_rows(model, *own));
    if (own && rows && *own != *rows)
      return bad_input("input '{}' has {} rows, the inputs before it {}", wanted.name, *own, *rows);
    if (own) rows = own;
    const auto bytes = static_cast<size_t>(element_count(input.shape)) * dtype_size(wanted.dtype);
    if (input.data.size() != bytes)
      return bad_input("input '{}': {} bytes of data, but {} {} is {} bytes", wanted.name, input.data.size(),
                       input.datatype, to_string(input.shape), bytes);
    job.inputs.push_back(input.data);
    owners->push_back(input.owner);
  }
  for (const InferInput& input : request.inputs)
    if (std::ranges::find(model.inputs(), input.name, &TensorDescription::name) == model.inputs().end())
      return bad_input("unknown input '{}'; model '{}' takes {}", input.name, model.name(), names_of(model.inputs()));
  for (const OutputWish& wish : request.outputs) {
    const auto it = std::ranges::find(model.outputs(), wish.name, &TensorDescription::name);
    if (it == model.outputs().end())
      return bad_input("unknown output '{}'; model '{}' gives {}", wish.name, model.name(), names_of(model.outputs()));
    if (wish.classes > 0 && (it->dtype != DType::kF32 || it->shape.size() != 2))
      return bad_input("output '{}' is {} {}: classes are taken of FP32 [-1,classes] only", wish.name,
                       datatype_name(it->dtype), to_string(it->shape));
  }
  if (!prepared.pictures.empty()) job.run_here = false;  // they change threads, and the next picture waits for that one
  if (prepared.pictures.empty()) job.rows = rows.value_or(1);
  job.owner = std::move(owners);
  return prepared;
}

Status decode_pictures(const ServedModel& model, PreparedJob& prepared, PixelLimit limit) {
  const TensorDescription& input = model.inputs()[0];
  const PreprocessContract& contract = model.info().preprocess;
  const auto count = static_cast<int64_t>(prepared.pictures.size());
  auto pixels = std::make_shared<Tensor>(input.dtype, at_batch(*model.graph().value(model.graph().inputs[0]).shape, count));
  const size_t row = static_cast<size_t>(pixels->count() / count);
  for (size_t i = 0; i < prepared.pictures.size(); ++i) {
    const Status status =
        input.dtype == DType::kU8
            ? preprocess_encoded(prepared.pictures[i], contract, pixels->as_mutable<uint8_t>().data() + i * row, limit)
            : preprocess_encoded(prepared.pictures[i], contract, pixels->as_mutable<float>().data() + i * row, limit);
    VTL_TRY(status.with_context(count > 1 ? fmt::format("picture {}", i) : "the picture"));
  }
  prepared.job.inputs = {{static_cast<const std::byte*>(pixels->data()), pixels->bytes()}};
  prepared.job.owner = std::move(pixels);
  prepared.pictures.clear();
  prepared.picture_owner.reset();
  return {};
}

namespace {

// Triton's classification extension: BYTES [N,k] of "score:index:label", raw scores, best first.
Result<InferOutput> classes_of(const ServedModel& model, const Tensor& scores, int64_t classes) {
  const int64_t rows = scores.dim(0), width = scores.dim(1);
  const int64_t k = std::min(classes, width);
  auto text = std::make_shared<std::string>();
  for (int64_t r = 0; r < rows; ++r) {
    const auto row = scores.as<float>().subspan(static_cast<size_t>(r * width), static_cast<size_t>(width));
    for (const Classification& c : top_classes(row, model.info().labels, static_cast<int>(k))) {
      std::string element = fmt::format("{:.6f}:{}", row[static_cast<size_t>(c.index)], c.index);
      if (!c.label.empty()) element += ":" + c.label;
      const auto length = static_cast<uint32_t>(element.size());
      text->append(reinterpret_cast<const char*>(&length), sizeof length).append(element);
    }
  }
  return InferOutput{"", std::string(kBytes), {rows, k}, std::as_bytes(std::span(*text)), text, false, {}};
}

}  // namespace

Result<InferResponse> make_response(const ServedModel& model, const InferRequest& request, const JobResult& result) {
  InferResponse response{model.name(), model.version(), request.id, {}};
  std::vector<OutputWish> wishes = request.outputs;
  if (wishes.empty())
    for (const TensorDescription& t : model.outputs()) wishes.push_back({t.name, {}, 0, {}});
  for (const OutputWish& wish : wishes) {
    const auto it = std::ranges::find(model.outputs(), wish.name, &TensorDescription::name);
    const auto index = static_cast<size_t>(it - model.outputs().begin());
    const Tensor& tensor = result.outputs[index];
    InferOutput output{wish.name, std::string(datatype_name(tensor.dtype())), tensor.shape(),
                       {static_cast<const std::byte*>(tensor.data()), tensor.bytes()},
                       std::make_shared<Tensor>(tensor), wish.binary.value_or(request.binary_outputs), wish.region};
    if (wish.classes > 0) {
      if (const NonFinite found = find_non_finite(tensor.view()); found.count > 0)
        return internal_error("{} of the {} scores are NaN or infinite", found.count, tensor.count());
      const bool binary = output.binary;
      VTL_ASSIGN(output, classes_of(model, tensor, wish.classes));
      output.name = wish.name;
      output.binary = binary;
      output.region = wish.region;
    }
    response.outputs.push_back(std::move(output));
  }
  return response;
}

}  // namespace vitrail::serve
