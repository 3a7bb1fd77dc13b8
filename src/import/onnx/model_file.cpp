// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/model_file.h"

#include <climits>
#include <string_view>

#include "core/error.h"
#include "import/onnx/raw_data.h"

namespace vitrail::onnx_import {
namespace {

constexpr int64_t kOldestOpset = 11;
constexpr int64_t kNewestOpset = 23;
constexpr std::string_view kGitLfs = "version https://git-lfs";
constexpr size_t kLargeRawData = 4096;  // a page: what is smaller is as soon copied

bool parse(std::string_view bytes, onnx::ModelProto& proto) {
  return proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

bool parse(ModelFile& model, std::string_view text) {
  const auto lean = leave_out_raw_data(text, kLargeRawData);
  if (!lean) return parse(text, model.proto);
  if (!parse(lean->message, model.proto)) return false;
  const auto& initializers = model.proto.graph().initializer();
  if (initializers.size() != std::ssize(lean->raw_data)) return false;
  for (int i = 0; i < initializers.size(); ++i)
    if (const std::string_view raw = lean->raw_data[static_cast<size_t>(i)]; !raw.empty())
      model.raw_data[&initializers[i]] = raw;
  return true;
}

}  // namespace

bool is_default_domain(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

Result<ModelPtr> read_model(const std::string& path) {
  VTL_ASSIGN(const auto file, MappedFile::open(path));
  const std::string_view text(reinterpret_cast<const char*>(file->data()), file->size());
  if (text.empty()) return bad_input("the file is empty");
  if (text.starts_with(kGitLfs))
    return bad_input("is a Git LFS pointer, not the model: run `git lfs pull` first");
  if (text.size() > INT_MAX)
    return bad_input(
        "has {} bytes, but a protobuf message ends at 2 GiB: save the weights as external data "
        "(torch.onnx.export(…, external_data=True) or onnx.save(…, save_as_external_data=True))",
        text.size());
  auto model = std::make_shared<ModelFile>();
  model->map = file;
  if (!parse(*model, text))
    return bad_input("is no ONNX model, or is cut off: its {} bytes are not a complete protobuf message",
                     text.size());
  if (!model->proto.has_graph())
    return bad_input("holds no graph ({} bytes): is it an ONNX model at all?", text.size());
  if (model->proto.graph().node().empty()) return bad_input("its graph holds no layers");
  if (model->proto.graph().output().empty()) return bad_input("its graph has no outputs");
  return model;
}

Result<int64_t> read_opset(const onnx::ModelProto& model) {
  int64_t opset = 0;
  for (const auto& import : model.opset_import())
    if (is_default_domain(import.domain())) opset = std::max<int64_t>(opset, import.version());
  if (opset == 0) return bad_input("names no version of the default operator set: export it again");
  if (opset < kOldestOpset || opset > kNewestOpset)
    return bad_input(
        "is written in opset {}; {} to {} are supported: export it again with opset_version=20, or convert "
        "it with "
        "onnx.version_converter.convert_version(model, 20)",
        opset, kOldestOpset, kNewestOpset);
  return opset;
}

}  // namespace vitrail::onnx_import
