// SPDX-License-Identifier: Apache-2.0
// Copies between strided windows (cpu/windows.h finds them) and Gather of a list.
#include <vector>

#include "backends/cpu/windows.h"
#include "backends/cuda/kernels/elementwise.h"
#include "backends/cuda/steps/steps.h"
#include "core/error.h"

namespace vitrail::cuda {
namespace {

class CopyStep : public Step {
 public:
  CopyStep(const Graph& graph, const Node& node)
      : node_(node),
        size_(static_cast<int>(dtype_size(graph.value(node.outputs[0]).dtype))),
        count_(element_count(*graph.value(node.outputs[0]).shape).value_or(Dim::of(-1))),
        windows_(*cpu::windows_of(graph, node)) {}

  // One window without gaps: the rows of one image, for example.
  std::optional<int64_t> alias_offset(int64_t batch) const override {
    if (node_.outputs.size() != 1 || windows_.size() != 1 || windows_[0].from != node_.input(0)) return std::nullopt;
    const cpu::Window& w = windows_[0];
    int64_t dense = 1;
    for (size_t i = w.extents.size(); i-- > 0;) {
      const int64_t extent = w.extents[i].at(batch);
      if (extent == 1) continue;
      if (w.from_strides[i].at(batch) != dense || w.to_strides[i].at(batch) != dense) return std::nullopt;
      dense *= extent;
    }
    const int64_t offset = w.from_offset.at(batch) * size_;
    return dense == count_.at(batch) && offset % kOperandAlignment == 0 ? std::optional(offset) : std::nullopt;
  }

  Result<std::unique_ptr<Launch>> bind(const Binding& b) const override {
    std::vector<CopyArgs> copies;
    for (const cpu::Window& w : windows_) {
      CopyArgs a;
      a.element_bytes = size_;
      a.x = b.data<std::byte>(w.from) + w.from_offset.at(b.batch) * size_;
      a.y = b.data<std::byte>(w.to) + w.to_offset.at(b.batch) * size_;
      a.rank = static_cast<int>(w.extents.size());
      for (size_t i = 0; i < w.extents.size(); ++i) {
        a.extents[i] = w.extents[i].at(b.batch);
        a.x_strides[i] = w.from_strides[i].at(b.batch);
        a.y_strides[i] = w.to_strides[i].at(b.batch);
      }
      if (a.rank == 0) a.rank = 1, a.extents[0] = 1;
      copies.push_back(a);
    }
    return kernel_launch(layer_text(node_), [copies](cudaStream_t s, bool dependent) {
      for (const CopyArgs& a : copies) {
        if (const cudaError_t e = launch_copy(a, s, dependent); e != cudaSuccess) return e;
        dependent = true;
      }
      return cudaSuccess;
    });
  }

 private:
  const Node& node_;
  int size_;
  Dim count_;
  std::vector<cpu::Window> windows_;
};

size_t axis_of(const Graph& graph, const Node& node) {
  const auto rank = static_cast<int64_t>(graph.value(node.input(0)).shape->size());
  const int64_t axis = node.integer("axis", 0);
  return static_cast<size_t>(axis < 0 ? axis + rank : axis);
}

class GatherStep : public Step {
 public:
  GatherStep(const Graph& graph, const Node& node)
      : graph_(graph), node_(node), axis_(axis_of(graph, node)) {}

  Result<std::unique_ptr<Launch>> bind(const Binding& b) const override {
    const Shape x = at_batch(*graph_.value(node_.input(0)).shape, b.batch);
    const auto at = x.begin() + static_cast<std::ptrdiff_t>(axis_);
    const int64_t outer = element_count(Shape(x.begin(), at));
    const int64_t inner = element_count(Shape(at + 1, x.end())) *
                          static_cast<int64_t>(dtype_size(graph_.value(node_.input(0)).dtype));
    const int64_t count = element_count(at_batch(*graph_.value(node_.input(1)).shape, b.batch));
    return kernel_launch(
        layer_text(node_),
        [from = b.data(node_.input(0)), index = b.data<int64_t>(node_.input(1)),
         to = b.data(node_.outputs[0]), outer, length = *at, count, inner](cudaStream_t s, bool dependent) {
          return launch_gather(from, index, to, outer, length, count, inner, s, dependent);
        });
  }

 private:
  const Graph& graph_;
  const Node& node_;
  size_t axis_;
};

}  // namespace

std::string refuse_copy(const Graph& graph, const Node& node, const Target&) {
  if (dtype_size(graph.value(node.outputs[0]).dtype) == 0) return "unknown element type";
  const auto windows = cpu::windows_of(graph, node);
  if (!windows) return "not a strided window with constant bounds";
  for (const cpu::Window& w : *windows)
    if (w.extents.size() > kMaxRank) return fmt::format("more than {} axes", kMaxRank);
  return "";
}
std::unique_ptr<Step> make_copy(const Graph& graph, const Node& node) {
  return std::make_unique<CopyStep>(graph, node);
}

std::string refuse_gather(const Graph& graph, const Node& node, const Target&) {
  if (graph.value(node.input(1)).dtype != DType::kI64) return "indices are not int64";
  return graph.value(node.input(0)).shape->empty() ? "input is a scalar" : "";
}
std::unique_ptr<Step> make_gather(const Graph& graph, const Node& node) {
  return std::make_unique<GatherStep>(graph, node);
}

}  // namespace vitrail::cuda
