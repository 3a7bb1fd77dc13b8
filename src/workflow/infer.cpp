// SPDX-License-Identifier: Apache-2.0
#include "workflow/infer.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "core/cancel.h"
#include "core/error.h"
#include "core/npy.h"
#include "preprocess/dataset.h"
#include "preprocess/png_writer.h"
#include "runtime/classes.h"
#include "verify/elements.h"
#include "workflow/open.h"
#include "workflow/samples.h"

namespace vitrail {
namespace {

constexpr int64_t kImageBatch = 8;

Result<std::vector<NamedTensor>> load_arrays(const InferOptions& options) {
  std::vector<NamedTensor> tensors;
  for (const auto& [name, path] : options.inputs) {
    if (!path.ends_with(".npz")) {
      VTL_ASSIGN(Tensor tensor, load_npy(path));
      tensors.push_back({name, std::move(tensor)});
      continue;
    }
    VTL_ASSIGN(const auto archive, load_npz(path));
    const auto it =
        std::find_if(archive.begin(), archive.end(), [&](const NamedTensor& t) { return t.name == name; });
    if (it == archive.end()) return bad_input("{}: holds no array '{}'", path, name);
    tensors.push_back(*it);
  }
  return tensors;
}

Result<std::vector<std::string>> image_files(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    VTL_ASSIGN(const auto found, list_images(path));
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

Result<OutputSummary> summarize_output(const NamedTensor& output) {
  VTL_ASSIGN(const std::vector<double> values, elements(output.tensor.view()));
  OutputSummary s{output.name, output.tensor.dtype(), output.tensor.shape(), 0, 0, 0};
  if (values.empty()) return s;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  s.min = *low;
  s.max = *high;
  for (double v : values) s.mean += v / static_cast<double>(values.size());
  return s;
}

// All rows of one output, one after the other.
Tensor join(const std::vector<std::vector<NamedTensor>>& batches, size_t output) {
  const Tensor& first = batches[0][output].tensor;
  if (batches.size() == 1) return first;
  Shape shape = first.shape();
  shape[0] = 0;
  for (const auto& batch : batches) shape[0] += batch[output].tensor.dim(0);
  Tensor all(first.dtype(), shape);
  auto* to = static_cast<std::byte*>(all.mutable_data());
  for (const auto& batch : batches) {
    std::memcpy(to, batch[output].tensor.data(), batch[output].tensor.bytes());
    to += batch[output].tensor.bytes();
  }
  return all;
}

// map.png for one row, map.0.png, map.1.png … for several.
Status write_maps(const Tensor& maps, const std::string& name, const std::string& path,
                  std::vector<std::string>& written) {
  const size_t rank = maps.rank();
  const bool map = maps.dtype() == DType::kF32 && ((rank == 4 && maps.dim(1) == 1) || rank == 3);
  if (!map)
    return usage_error("output '{}' is {}{}, no map [N,1,H,W]; write it to a .npy file", name,
                       dtype_name(maps.dtype()), to_string(maps.shape()));
  const int64_t height = maps.dim(rank - 2), width = maps.dim(rank - 1);
  const std::filesystem::path base(path);
  for (int64_t i = 0; i < maps.dim(0); ++i) {
    const std::string file =
        maps.dim(0) == 1 ? path
                         : (base.parent_path() / fmt::format("{}.{}.png", base.stem().string(), i)).string();
    VTL_TRY(save_grey_png(file,
                          maps.as<float>().subspan(static_cast<size_t>(i * height * width),
                                                   static_cast<size_t>(height * width)),
                          height, width));
    written.push_back(file);
  }
  return {};
}

Status write_outputs(const InferOptions& options, const std::vector<std::vector<NamedTensor>>& batches,
                     InferOutcome& outcome) {
  for (const auto& [name, path] : options.outputs) {
    const auto& first = batches[0];
    const auto it =
        std::find_if(first.begin(), first.end(),
                     [&, n = std::string_view(name)](const NamedTensor& t) { return t.name == n; });
    if (it == first.end()) {
      std::string names;
      for (const NamedTensor& t : first) names += " '" + t.name + "'";
      return usage_error("--output '{}': the engine has no such output, only{}", name, names);
    }
    const Tensor all = join(batches, static_cast<size_t>(it - first.begin()));
    if (path.ends_with(".png")) {
      VTL_TRY(write_maps(all, name, path, outcome.written));
      continue;
    }
    const std::vector<NamedTensor> one{{name, all}};
    VTL_TRY(path.ends_with(".npz") ? save_npz(path, one) : save_npy(path, all.view()));
    outcome.written.push_back(path);
  }
  return {};
}

Result<RowResult> row_result(const InferOptions& options, const EngineInfo& info, std::string source,
                             const std::vector<NamedTensor>& row) {
  RowResult result;
  result.source = std::move(source);
  for (const NamedTensor& t : row) {
    VTL_ASSIGN(OutputSummary summary, summarize_output(t));
    result.outputs.push_back(std::move(summary));
  }
  if (!row.empty() && row[0].tensor.rank() == 2 && row[0].tensor.dtype() == DType::kF32)
    result.top = top_classes(row[0].tensor.as<float>(), info.labels, options.top);
  return result;
}

}  // namespace

Result<InferOutcome> infer(const InferOptions& options) {
  VTL_ASSIGN(const OpenedEngine opened, open_engine(options.engine, {options.isa, options.threads}));
  const Engine& engine = *opened.engine;
  SessionOptions session_options;
  session_options.threads = options.threads;
  VTL_ASSIGN(const auto session, Session::create(opened.engine, opened.program, session_options));
  InferOutcome outcome;
  std::vector<std::vector<NamedTensor>> batches;
  if (!options.inputs.empty()) {
    VTL_ASSIGN(auto arrays, load_arrays(options));
    widen_for(*engine.graph, arrays);
    VTL_ASSIGN(auto outputs, session->run(arrays));
    for (const NamedTensor& t : outputs) {
      const int64_t rows = t.tensor.rank() ? t.tensor.dim(0) : 0;
      for (int64_t i = 0; t.name == outputs[0].name && t.tensor.rank() == 2 && i < rows; ++i) {
        VTL_ASSIGN(RowResult row, row_result(options, engine.info, "", {{t.name, row_of(t.tensor, i)}}));
        outcome.rows.push_back(std::move(row));
      }
    }
    if (outcome.rows.empty()) {
      VTL_ASSIGN(RowResult row, row_result(options, engine.info, "", outputs));
      outcome.rows.push_back(std::move(row));
    }
    batches.push_back(std::move(outputs));
  } else {
    VTL_ASSIGN(const ValueId input, image_input(*engine.graph));
    VTL_ASSIGN(const auto files, image_files(options.images));
    int64_t size = 1;
    for (const Profile& p : engine.info.profiles)
      size = std::max(size, p.min <= kImageBatch ? std::min(kImageBatch, p.max) : p.min);
    for (size_t at = 0; at < files.size(); at += static_cast<size_t>(size)) {
      if (cancel::requested()) return cancelled();
      const std::vector<std::string> part(files.begin() + static_cast<std::ptrdiff_t>(at),
                                          files.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                              files.size(), at + static_cast<size_t>(size))));
      VTL_ASSIGN(Tensor batch, image_batch(part, engine.info.preprocess, engine.graph->value(input).dtype));
      VTL_ASSIGN(auto outputs,
                 session->run(std::vector<NamedTensor>{{engine.graph->value(input).name, std::move(batch)}}));
      for (size_t i = 0; i < part.size(); ++i) {
        std::vector<NamedTensor> row;
        for (const NamedTensor& t : outputs)
          row.push_back({t.name, row_of(t.tensor, static_cast<int64_t>(i))});
        VTL_ASSIGN(RowResult result, row_result(options, engine.info, part[i], row));
        outcome.rows.push_back(std::move(result));
      }
      batches.push_back(std::move(outputs));
    }
  }
  VTL_TRY(write_outputs(options, batches, outcome));
  return outcome;
}

}  // namespace vitrail
