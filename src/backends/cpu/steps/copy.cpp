// SPDX-License-Identifier: Apache-2.0
// Transpose, Slice, Split, Concat, Expand and Gather by one index are all copies between strided windows.
#include <cstring>

#include "backends/cpu/steps/steps.h"
#include "backends/cpu/windows.h"

namespace vitrail::cpu {
namespace {

void copy_inner(const std::byte* from, std::byte* to, const Loop::Axis* axes, size_t rank, size_t size) {
  if (rank > 1) {
    for (int64_t i = 0; i < axes->extent; ++i)
      copy_inner(from + i * axes->from * static_cast<int64_t>(size),
                 to + i * axes->to * static_cast<int64_t>(size), axes + 1, rank - 1, size);
    return;
  }
  if (axes->from == 1 && axes->to == 1) {
    std::memcpy(to, from, static_cast<size_t>(axes->extent) * size);
  } else if (size == 4) {
    const auto* f = reinterpret_cast<const uint32_t*>(from);
    auto* t = reinterpret_cast<uint32_t*>(to);
    for (int64_t i = 0; i < axes->extent; ++i) t[i * axes->to] = f[i * axes->from];
  } else {
    for (int64_t i = 0; i < axes->extent; ++i)
      std::memcpy(to + i * axes->to * static_cast<int64_t>(size),
                  from + i * axes->from * static_cast<int64_t>(size), size);
  }
}

class CopyStep : public Step {
 public:
  CopyStep(size_t element_size, std::vector<Window> windows)
      : size_(element_size), windows_(std::move(windows)) {}

  Status run(const RunState& s) const override {
    for (const Window& w : windows_) {
      const Loop loop(w.extents, w.from_strides, w.to_strides, s.batch);
      const auto size = static_cast<int64_t>(size_);
      const std::byte* from = s.data<std::byte>(w.from) + w.from_offset.at(s.batch) * size;
      std::byte* to = s.data<std::byte>(w.to) + w.to_offset.at(s.batch) * size;
      if (loop.rank == 1) {
        copy_inner(from, to, loop.axes.data(), 1, size_);
        continue;
      }
      const Loop::Axis outer = loop.axes[0];
      s.pool.parallel_for(outer.extent, [&](int64_t i, int) {
        copy_inner(from + i * outer.from * size, to + i * outer.to * size, loop.axes.data() + 1,
                   loop.rank - 1, size_);
      });
    }
    return {};
  }

 private:
  size_t size_;
  std::vector<Window> windows_;
};

}  // namespace

std::string refuse_copy(const Graph& graph, const Node& node) {
  if (dtype_size(graph.value(node.outputs[0]).dtype) == 0) return "unknown element type";
  const auto windows = windows_of(graph, node);
  if (!windows) return "not a strided window with constant bounds";
  for (const Window& w : *windows)
    if (w.extents.size() > kMaxAxes) return fmt::format("more than {} axes", kMaxAxes);
  return "";
}

std::unique_ptr<Step> make_copy(const Graph& graph, const Node& node) {
  return std::make_unique<CopyStep>(dtype_size(graph.value(node.outputs[0]).dtype), *windows_of(graph, node));
}

}  // namespace vitrail::cpu
