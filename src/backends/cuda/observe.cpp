// SPDX-License-Identifier: Apache-2.0
// Runs that an observer watches: layer by layer, outside the CUDA graph.
#include <vector>

#include "backends/cuda/context.h"
#include "backends/cuda/kernel_list.h"
#include "core/error.h"

namespace vitrail::cuda {

Status CudaContext::observed(const Bound& bound, int64_t rows, Observer& observer) {
  const Graph& graph = program_->graph();
  VTL_ASSIGN(const Event from, make_event());
  VTL_ASSIGN(const Event to, make_event());
  for (size_t i = 0; i < bound.launches.size(); ++i) {
    if (bound.launches[i]) {
      VTL_TRY(cuda_status(cudaEventRecord(from.get(), stream_.get()), "an event"));
      VTL_TRY(bound.launches[i]->enqueue(stream_.get(), false));
      VTL_TRY(cuda_status(cudaEventRecord(to.get(), stream_.get()), "an event"));
      VTL_TRY(cuda_status(cudaEventSynchronize(to.get()), layer_text(graph.nodes[i])));
      float ms = 0;
      VTL_TRY(cuda_status(cudaEventElapsedTime(&ms, from.get(), to.get()), "an event"));
      layer_us_[i] += static_cast<double>(ms) * 1e3;
    }
    if (observer.wants_values()) VTL_TRY(show(bound, graph.nodes[i], rows, observer));
  }
  return {};
}

// The node's values as the model has them: 16-bit ones in float32; statistics and 8-bit copies are not the
// model's.
Status CudaContext::show(const Bound& bound, const Node& node, int64_t rows, Observer& observer) {
  const Graph& graph = program_->graph();
  const bool quantized = node.has("out_type");
  if (quantized || node.op == Op::RowStats) return {};
  const size_t count = node.op == Op::Linear || node.op == Op::PatchEmbed ? 1 : node.outputs.size();
  for (size_t i = 0; i < count; ++i) {
    const ValueId id = node.outputs[i];
    if (id == kNoValue || !bound.buffers[static_cast<size_t>(id)]) continue;
    const Value& value = graph.value(id);
    Tensor content(value.dtype, at_batch(*value.shape, rows));
    VTL_TRY(cuda_status(cudaMemcpy(content.mutable_data(), bound.buffers[static_cast<size_t>(id)], content.bytes(),
                                   cudaMemcpyDeviceToHost),
                        layer_text(node)));
    if (value.dtype == DType::kF16 || value.dtype == DType::kBF16) content = to_float32(content);
    observer.on_value(id, content.view());
  }
  return {};
}

}  // namespace vitrail::cuda
