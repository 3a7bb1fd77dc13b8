// SPDX-License-Identifier: Apache-2.0
#include "import/safetensors/file.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "core/half.h"

namespace vitrail::safetensors {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr size_t kMaxHeaderBytes = 100'000'000;  // of the reference implementation
constexpr size_t kMaxIndexBytes = 64 << 20;
constexpr size_t kMaxRank = 16;

struct Type {
  std::string_view name;
  int bits;
};
constexpr Type kTypes[] = {{"F64", 64},     {"F32", 32},     {"F16", 16}, {"BF16", 16}, {"I64", 64}, {"I32", 32},
                           {"I16", 16},     {"I8", 8},       {"U64", 64}, {"U32", 32},  {"U16", 16}, {"U8", 8},
                           {"BOOL", 8},     {"F8_E4M3", 8},  {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F4", 4}};

// A count of a header; nothing for what is no whole number or does not fit.
bool read_count(const Json& value, int64_t& out) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) return false;
  out = value.get<int64_t>();
  return true;
}

Result<Entry> read_entry(const Json& value, std::span<const std::byte> data) {
  Entry entry;
  if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") || !value.contains("data_offsets"))
    return bad_input("has no dtype, shape and data_offsets");
  const Json &dtype = value["dtype"], &shape = value["shape"], &offsets = value["data_offsets"];
  if (dtype.is_string()) entry.dtype = dtype.get<std::string>();
  const auto* type = std::ranges::find(kTypes, entry.dtype, &Type::name);
  if (type == std::end(kTypes)) return bad_input("is of type '{}', which is not known", entry.dtype.substr(0, 40));
  if (!shape.is_array() || shape.size() > kMaxRank) return bad_input("its shape is no list of up to {}", kMaxRank);
  int64_t bits = type->bits;
  for (const Json& extent : shape) {
    int64_t n = 0;
    if (!read_count(extent, n)) return bad_input("its shape is no list of whole numbers");
    entry.shape.push_back(n);
    if (__builtin_mul_overflow(bits, std::max<int64_t>(n, 1), &bits))
      return bad_input("its shape {} is not possible", to_string(entry.shape));
  }
  int64_t begin = 0, end = 0;
  if (!offsets.is_array() || offsets.size() != 2 || !read_count(offsets[0], begin) || !read_count(offsets[1], end) ||
      begin > end)
    return bad_input("its data_offsets are no two whole numbers");
  const int64_t needed = std::ranges::find(entry.shape, 0) != entry.shape.end() ? 0 : bits / 8;
  if (end - begin != needed)
    return bad_input("has {} bytes, but its shape {} of {} needs {}", end - begin, to_string(entry.shape), entry.dtype,
                     needed);
  if (static_cast<uint64_t>(end) > data.size())
    return bad_input("ends at byte {} of {}: the file is cut off", end, data.size());
  entry.data = data.data() + begin;
  entry.bytes = static_cast<size_t>(needed);
  return entry;
}

Status parse_header(const std::shared_ptr<const MappedFile>& file, Entries& entries) {
  if (file->size() < 8) return bad_input("has {} bytes: no safetensors file", file->size());
  uint64_t length = 0;
  for (size_t i = 8; i-- > 0;) length = length << 8 | std::to_integer<uint64_t>(file->data()[i]);
  if (length > std::min(file->size() - 8, kMaxHeaderBytes))
    return bad_input("its header claims {} bytes; {} follow and {} are allowed", length, file->size() - 8,
                     kMaxHeaderBytes);
  const auto* text = reinterpret_cast<const char*>(file->data()) + 8;
  const Json header = Json::parse(text, text + length, nullptr, false);
  if (!header.is_object()) return bad_input("its header is not a JSON object");
  const std::span data(file->data() + 8 + length, file->size() - 8 - length);
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") continue;
    auto entry = read_entry(value, data);
    if (!entry.ok()) return entry.status().with_context(fmt::format("tensor '{}'", name.substr(0, 200)));
    entry->file = file;
    if (!entries.emplace(name, std::move(*entry)).second)
      return bad_input("tensor '{}' is in two files", name.substr(0, 200));
  }
  return {};
}

template <class In, class Convert>
Tensor converted(const Entry& entry, Convert convert) {
  Tensor out(DType::kF32, entry.shape);
  const auto values = out.as_mutable<float>();
  for (size_t i = 0; i < values.size(); ++i) {
    In in;
    std::memcpy(&in, entry.data + i * sizeof(In), sizeof(In));
    values[i] = convert(in);
  }
  return out;
}

// The shards that an index names, each once. They lie beside it: a name that leads elsewhere is refused. Links are
// followed, as the cache of the Hugging Face hub consists of them.
Result<std::vector<std::string>> shards_of(const std::string& index) {
  VTL_ASSIGN(const std::string text, vitrail::read_file(index, kMaxIndexBytes));
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
    return bad_input("{}: no index of safetensors: it has no weight_map", index);
  std::set<std::string> names;
  for (const auto& [tensor, name] : json["weight_map"].items()) {
    if (!name.is_string()) return bad_input("{}: the file of tensor '{}' is no name", index, tensor.substr(0, 200));
    names.insert(name.get<std::string>());
  }
  std::vector<std::string> paths;
  for (const std::string& name : names) {
    if (name.empty() || name == ".." || name.find('/') != std::string::npos || name.find('\0') != std::string::npos)
      return bad_input("{}: the shard '{}' is not a file beside the index", index, name.substr(0, 200));
    paths.push_back((fs::path(index).parent_path() / name).string());
  }
  if (paths.empty()) return bad_input("{}: names no file", index);
  return paths;
}

bool ends_with_index(const std::string& path) { return path.ends_with(".safetensors.index.json"); }

}  // namespace

Status parse(std::shared_ptr<const MappedFile> file, Entries& entries) try {
  return parse_header(file, entries);
} catch (const std::exception& e) {
  return resource_error("its header cannot be read: {}", e.what());
}

Status read_file(const std::string& path, Entries& entries) {
  VTL_ASSIGN(auto file, MappedFile::open(path));
  return parse(std::move(file), entries).with_context(path);
}

bool is_checkpoint(const std::string& path) {
  std::error_code error;
  return path.ends_with(".safetensors") || ends_with_index(path) || fs::is_directory(path, error);
}

Result<Checkpoint> open_checkpoint(const std::string& path) try {
  Checkpoint checkpoint;
  std::error_code error;
  std::string file = path;
  if (fs::is_directory(path, error)) {
    checkpoint.folder = path;
    file = (fs::path(path) / "model.safetensors").string();
    if (!fs::exists(file, error)) file += ".index.json";
    if (!fs::exists(file, error))
      return bad_input("{}: holds no model.safetensors and no model.safetensors.index.json", path);
  } else {
    checkpoint.folder = fs::path(path).parent_path().string();
  }
  checkpoint.files = {file};
  if (ends_with_index(file)) {
    VTL_ASSIGN(checkpoint.files, shards_of(file));
  }
  for (const std::string& name : checkpoint.files) VTL_TRY(read_file(name, checkpoint.entries));
  return checkpoint;
} catch (const std::exception& e) {
  return io_error("{}: {}", path, e.what());
}

Result<Tensor> to_float(const Entry& entry) {
  if (entry.dtype == "F32") {
    if (entry.bytes == 0) return Tensor(DType::kF32, entry.shape);
    if (reinterpret_cast<uintptr_t>(entry.data) % alignof(float) == 0)
      return Tensor(DType::kF32, entry.shape, entry.data, entry.file);
    return converted<float>(entry, [](float v) { return v; });
  }
  if (entry.dtype == "BF16") return converted<uint16_t>(entry, bfloat16_to_float);
  if (entry.dtype == "F16") return converted<uint16_t>(entry, half_to_float);
  if (entry.dtype == "F64") return converted<double>(entry, [](double v) { return static_cast<float>(v); });
  return bad_input("is of type {}; weights are read from F32, F16, BF16 and F64", entry.dtype);
}

}  // namespace vitrail::safetensors
