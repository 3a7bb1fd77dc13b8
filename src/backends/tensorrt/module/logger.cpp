// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/logger.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "core/error.h"

namespace vitrail::tensorrt {
namespace {

constexpr size_t kMostKept = 64;

struct Cause {
  std::string_view text;  // in the log
  Code code;
  std::string_view advice;
};
constexpr std::string_view kWithoutPlugins =
    "the plan holds Vitrail's kernels (--plugins), which this module was compiled without; configure with "
    "-DVITRAIL_CUDA=ON, or build the plan with --plugins off";
// The first that matches; texts of TensorRT 8.5 to 11.
constexpr Cause kCauses[] = {
    {"o magic tag", Code::kBadInput,
     "the file is no TensorRT plan; give one that `vitrail build --save-engine` or trtexec wrote"},
    {"magic tag", Code::kBadInput,
     "the file is no TensorRT plan; give one that `vitrail build --save-engine` or trtexec wrote"},
    {"ersion tag", Code::kBadInput,
     "the plan was made by another version of TensorRT; build it again with this one, or with "
     "--version-compatible"},
    {"serialized with", Code::kBadInput,
     "the plan was made by another version of TensorRT; build it again with this one, or with "
     "--version-compatible"},
    {"platform specific tag", Code::kBadInput,
     "the plan was made by another version or for another platform; build it again here"},
    {"Serialization", Code::kBadInput, "the plan is damaged, or of another version or platform; build it again here"},
    {"compute capability", Code::kUnavailable,
     "the plan was made for another GPU; build it again here, or with --hardware-compatible"},
    {"nvinfer_lean", Code::kUnavailable,
     "--version-compatible needs the lean runtime, libnvinfer_lean, which is not installed beside this "
     "TensorRT (TensorRT-RTX has none)"},
    {"CHECK(status == CUDA_SUCCESS)", Code::kUnavailable,
     "this needs a GPU and its driver, which are not here (TensorRT-RTX builds refittable and stripped plans "
     "on a GPU alone)"},
    {"CUDA initialization failure", Code::kUnavailable,
     "no usable NVIDIA driver is here; run on a machine with a GPU"},
    {"o CUDA-capable device", Code::kUnavailable, "there is no NVIDIA GPU here; run on a machine with one"},
    {"insufficient driver", Code::kUnavailable,
     "the NVIDIA driver is older than this TensorRT needs; update it"},
    {"nsufficient workspace", Code::kResource, "give a larger --workspace"},
    {"nsufficient memory", Code::kResource,
     "give a larger --workspace or a smaller --profile, or end what else runs on the GPU"},
    {"within workspace limit", Code::kResource, "give a larger --workspace"},
    {"OutOfMemory", Code::kResource, "give a larger --workspace or a smaller --profile, or end what else runs on the GPU"},
    {"ut of memory", Code::kResource, "end what else runs on the GPU, or give a smaller --profile"},
    {"ould not find any implementation", Code::kUnavailable,
     "no kernel of this TensorRT computes it within the workspace: give a larger --workspace, another "
     "--precision, or a "
     "profile with a smaller range of batch sizes"},
    {"ould not find plugin", Code::kUnavailable, kWithoutPlugins},
    {"annot find plugin", Code::kUnavailable, kWithoutPlugins},
    {"iming cache", Code::kBadInput, "delete the file given by --timing-cache; a new one is written"},
};

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '/' || c == '.' || c == '-';
}

bool stands_alone(std::string_view text, size_t at, size_t length) {
  // Vitrail's parts of a layer ("name|cast") belong to it; "..." stands between the ends of a ForeignNode.
  const bool before = at == 0 || !is_word(text[at - 1]) || (at >= 3 && text.substr(at - 3, 3) == "...");
  const size_t end = at + length;
  const bool after = end >= text.size() || !is_word(text[end]) || text.substr(end, 3) == "..." ||
                     (text[end] == '.' && (end + 1 == text.size() || text[end + 1] == ' '));
  return before && after;
}

}  // namespace

void Logger::log(Severity severity, const char* message) noexcept {
  try {
    static const bool loud = std::getenv("VITRAIL_TENSORRT_VERBOSE") != nullptr;
    if (loud && severity <= Severity::kVERBOSE) fmt::print(stderr, "TensorRT: {}\n", message);
    const std::lock_guard lock(mutex_);
    if (severity <= Severity::kERROR && errors_.size() < kMostKept) errors_.emplace_back(message);
    const std::string_view text = message;
    if (text.find("iming cache") != std::string_view::npos && text.find("ailed to deserialize") != std::string_view::npos)
      lost_timing_cache_ = true;
    if (text.starts_with("Layers:\n") || text.starts_with("Engine Layer Information")) layers_ = text;
  } catch (...) {  // no memory for a message: the failure itself is still reported
  }
}

std::string Logger::first_error() const {
  const std::lock_guard lock(mutex_);
  return errors_.empty() ? "" : errors_.front();
}

bool Logger::has(std::string_view text) const {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(errors_,
                             [&](const std::string& e) { return e.find(text) != std::string::npos; });
}

bool Logger::lost_timing_cache() const { return lost_timing_cache_ && !has("cudaError"); }

std::string Logger::layers() const {
  const std::lock_guard lock(mutex_);
  return layers_;
}

void Logger::clear() {
  const std::lock_guard lock(mutex_);
  errors_.clear();
}

const Node* find_layer(std::string_view text, std::span<const Node> nodes) {
  const Node* found = nullptr;
  size_t first = std::string_view::npos, length = 0;
  for (const Node& node : nodes) {
    if (node.name.empty()) continue;
    for (size_t at = text.find(node.name); at != std::string_view::npos; at = text.find(node.name, at + 1)) {
      if (!stands_alone(text, at, node.name.size())) continue;
      if (at < first || (at == first && node.name.size() > length)) {
        found = &node;
        first = at;
        length = node.name.size();
      }
      break;
    }
  }
  return found;
}

bool wants_workspace(const Logger& logger) {
  return logger.has("within workspace limit") || logger.has("nsufficient workspace") ||
         logger.has("ould not find any implementation") || logger.has("OutOfMemory (Requested size");
}

Status explain_failure(const Logger& logger, std::span<const Node> nodes, const std::string& what) {
  const std::string error = logger.first_error();
  if (error.empty()) return internal_error("{}: TensorRT refuses without a word", what);
  const Node* layer = find_layer(error, nodes);
  const std::string where = layer ? fmt::format("layer '{}' ({}{}{})", layer->name, op_name(layer->op),
                                                layer->stage.empty() ? "" : ", ", layer->stage)
                                  : what;
  for (const Cause& cause : kCauses)
    if (logger.has(cause.text))
      return Status(cause.code, fmt::format("{}: {}. TensorRT says: {}", where, cause.advice, error));
  return Status(Code::kInternal, fmt::format("{}: TensorRT says: {}", where, error));
}

}  // namespace vitrail::tensorrt
