// SPDX-License-Identifier: Apache-2.0
#include "backends/reference/run.h"

#include <exception>

#include "backends/reference/execute.h"
#include "core/error.h"
#include "core/thread_pool.h"
#include "runtime/binding.h"

namespace vitrail {

Result<std::map<std::string, Tensor>> run_graph(const Graph& graph, const std::vector<NamedTensor>& inputs,
                                                Observer* observer, int threads) {
  try {
    if (threads < 1) return usage_error("{} threads cannot run anything", threads);
    std::vector<NamedView> views;
    for (const NamedTensor& input : inputs) views.push_back({input.name, input.tensor.view()});
    VTL_ASSIGN([[maybe_unused]] const int64_t batch, match_inputs(graph, views));
    std::vector<Tensor> ordered;
    for (ValueId id : graph.inputs)
      for (const NamedTensor& input : inputs)
        if (input.name == graph.value(id).name) ordered.push_back(input.tensor);
    std::map<std::string, Tensor> outputs;
    const auto sink = [&](size_t output, const Tensor& content) {
      outputs[graph.value(graph.outputs[output]).name] = content;
      return Status();
    };
    ThreadPool pool(threads);
    VTL_TRY(reference::execute(graph, reference::last_readers(graph), ordered, sink, observer, &pool));
    return outputs;
  } catch (const std::exception& e) {
    return resource_error("the reference backend: {}", e.what());
  }
}

}  // namespace vitrail
