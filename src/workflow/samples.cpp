// SPDX-License-Identifier: Apache-2.0
#include "workflow/samples.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>

#include "core/error.h"
#include "core/widen.h"
#include "core/npy.h"
#include "core/thread_pool.h"
#include "preprocess/dataset.h"
#include "preprocess/preprocess.h"

namespace vitrail {
namespace {

namespace fs = std::filesystem;

Shape sample_shape(const Graph& graph, ValueId id) { return at_batch(*graph.value(id).shape, 1); }

struct InputFile {
  std::string path;
  int64_t row;
};

Result<std::vector<NamedTensor>> load_inputs(const Graph& graph, const std::string& path) {
  if (path.ends_with(".npz")) {
    VTL_ASSIGN(std::vector<NamedTensor> tensors, load_npz(path));
    widen_for(graph, tensors);
    return tensors;
  }
  if (graph.inputs.size() != 1)
    return usage_error("{}: a .npy file feeds one input, this model has {}; give .npz files", path,
                       graph.inputs.size());
  VTL_ASSIGN(Tensor tensor, load_npy(path));
  std::vector<NamedTensor> tensors{{graph.value(graph.inputs[0]).name, std::move(tensor)}};
  widen_for(graph, tensors);
  return tensors;
}

// How many samples a file holds: the common first extent of its inputs.
Result<int64_t> rows_in(const Graph& graph, const std::string& path) {
  VTL_ASSIGN(const std::vector<NamedTensor> tensors, load_inputs(graph, path));
  int64_t rows = -1;
  for (ValueId id : graph.inputs) {
    const auto& name = graph.value(id).name;
    const auto it =
        std::find_if(tensors.begin(), tensors.end(), [&](const NamedTensor& t) { return t.name == name; });
    if (it == tensors.end()) return bad_input("{}: has no array '{}' for the model's input", path, name);
    if (it->tensor.rank() == 0 || (rows >= 0 && it->tensor.dim(0) != rows))
      return bad_input("{}: array '{}' is {}, its first extent must count the samples", path, name,
                       to_string(it->tensor.shape()));
    rows = it->tensor.dim(0);
  }
  return rows;
}

}  // namespace

void widen_for(const Graph& graph, std::vector<NamedTensor>& tensors) {
  for (NamedTensor& t : tensors) {
    const ValueId id = graph.find(t.name);
    if (id != kNoValue && graph.value(id).dtype == DType::kF32 && is_half(t.tensor.dtype())) t.tensor = widened(t.tensor);
  }
}

Tensor row_of(const Tensor& tensor, int64_t row) {
  Shape shape = tensor.shape();
  const size_t bytes = tensor.bytes() / static_cast<size_t>(std::max<int64_t>(shape[0], 1));
  shape[0] = 1;
  Tensor out(tensor.dtype(), shape);
  std::memcpy(out.mutable_data(),
              static_cast<const std::byte*>(tensor.data()) + static_cast<size_t>(row) * bytes, bytes);
  return out;
}

Result<ValueId> image_input(const Graph& graph) {
  if (graph.inputs.size() == 1) {
    const Value& v = graph.value(graph.inputs[0]);
    const size_t channels = v.dtype == DType::kU8 ? 3 : 1;
    if ((v.dtype == DType::kF32 || v.dtype == DType::kU8) && v.shape && v.shape->size() == 4 &&
        (*v.shape)[channels] == Dim::of(3))
      return graph.inputs[0];
  }
  std::string names;
  for (ValueId id : graph.inputs)
    names += fmt::format(" '{}' {}", graph.value(id).name,
                         graph.value(id).shape ? to_string(*graph.value(id).shape) : "?");
  return usage_error(
      "images need one input float32 [N,3,H,W] or uint8 [N,H,W,3]; this model has{}; give arrays with "
      "--input NAME=F.npy",
      names);
}

Result<Tensor> image_batch(const std::vector<std::string>& files, const PreprocessContract& contract,
                           DType dtype) {
  const auto n = static_cast<int64_t>(files.size());
  const int64_t height = contract.height, width = contract.width;
  const bool bytes = dtype == DType::kU8;
  Tensor batch(dtype, bytes ? Shape{n, height, width, 3} : Shape{n, 3, height, width});
  ThreadPool pool(static_cast<int>(std::min<int64_t>(n, available_cores())));
  VTL_TRY(bytes ? preprocess_files(files, contract, pool, batch.as_mutable<uint8_t>().data())
                : preprocess_files(files, contract, pool, batch.as_mutable<float>().data()));
  return batch;
}

Tensor normalised(const Tensor& bytes, const PreprocessContract& contract) {
  Tensor out(DType::kF32, {bytes.dim(0), 3, contract.height, contract.width});
  const auto stride = static_cast<size_t>(out.count() / std::max<int64_t>(bytes.dim(0), 1));
  for (size_t i = 0; i < static_cast<size_t>(bytes.dim(0)); ++i)
    normalise(bytes.as<uint8_t>().data() + i * stride, contract, out.as_mutable<float>().data() + i * stride);
  return out;
}

Result<SampleSource> image_samples(const Graph& graph, const PreprocessContract& contract,
                                   const std::string& folder) {
  VTL_ASSIGN(const ValueId input, image_input(graph));
  VTL_ASSIGN(auto files, list_images(folder));
  SampleSource source;
  source.count = static_cast<int64_t>(files.size());
  source.description = fmt::format("{} ({} image{})", folder, files.size(), files.size() == 1 ? "" : "s");
  source.load = [files = std::move(files), contract, name = graph.value(input).name,
                 dtype = graph.value(input).dtype](int64_t index) -> Result<std::vector<NamedTensor>> {
    VTL_ASSIGN(Tensor tensor, image_batch({files[static_cast<size_t>(index)]}, contract, dtype));
    return std::vector<NamedTensor>{{name, std::move(tensor)}};
  };
  return source;
}

Result<SampleSource> file_samples(const Graph& graph, const std::string& folder) {
  std::error_code error;
  std::vector<std::string> paths;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (it->path().extension() == ".npy" || it->path().extension() == ".npz")
      paths.push_back(it->path().string());
  if (error) return io_error("{}: {}", folder, error.message());
  if (paths.empty()) return bad_input("{}: holds no .npy or .npz file", folder);
  std::sort(paths.begin(), paths.end());
  auto rows = std::make_shared<std::vector<InputFile>>();
  for (const std::string& path : paths) {
    VTL_ASSIGN(const int64_t count, rows_in(graph, path));
    for (int64_t i = 0; i < count; ++i) rows->push_back({path, i});
  }
  SampleSource source;
  source.count = static_cast<int64_t>(rows->size());
  source.description = fmt::format("{} ({} samples in {} files)", folder, rows->size(), paths.size());
  source.load = [rows, &graph](int64_t index) -> Result<std::vector<NamedTensor>> {
    const InputFile& file = (*rows)[static_cast<size_t>(index)];
    VTL_ASSIGN(const std::vector<NamedTensor> tensors, load_inputs(graph, file.path));
    std::vector<NamedTensor> sample;
    for (const NamedTensor& t : tensors)
      if (t.tensor.rank() > 0 && file.row < t.tensor.dim(0))
        sample.push_back({t.name, row_of(t.tensor, file.row)});
    return sample;
  };
  return source;
}

Result<SampleSource> folder_samples(const Graph& graph, const PreprocessContract& contract, const std::string& folder) {
  return image_input(graph).ok() ? image_samples(graph, contract, folder) : file_samples(graph, folder);
}

SampleSource random_samples(const Graph& graph, int64_t count) {
  SampleSource source;
  source.count = count;
  source.description = fmt::format("{} random inputs, seed 0", count);
  source.load = [&graph](int64_t index) -> Result<std::vector<NamedTensor>> {
    std::mt19937 random(static_cast<uint32_t>(index));
    std::normal_distribution<float> normal;
    std::vector<NamedTensor> sample;
    for (ValueId id : graph.inputs) {
      const Value& v = graph.value(id);
      Tensor tensor(v.dtype, sample_shape(graph, id));
      if (v.dtype == DType::kF32)
        for (float& x : tensor.as_mutable<float>()) x = normal(random);
      else if (v.dtype == DType::kI64)
        for (int64_t& x : tensor.as_mutable<int64_t>()) x = static_cast<int64_t>(random() & 1);
      else if (v.dtype == DType::kU8)
        for (uint8_t& x : tensor.as_mutable<uint8_t>()) x = static_cast<uint8_t>(random() & 255);
      else
        return usage_error("input '{}' is {}: random inputs are made for float32, int64 and uint8", v.name,
                           dtype_name(v.dtype));
      sample.push_back({v.name, std::move(tensor)});
    }
    return sample;
  };
  return source;
}

}  // namespace vitrail
