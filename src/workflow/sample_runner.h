// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "runtime/backend.h"
#include "verify/verify.h"

namespace vitrail {

// Runs a fused graph on the CPU backend, sample by sample.
class SampleRunner {
 public:
  // Compiles a copy of the graph; weights that the backend lays out anew are its own.
  static Result<SampleRunner> make(const Graph& fused, int threads);

  // One sample: an input for each of the graph's by name, its first extent 1; repeated for a model that takes only
  // one batch size. kBadInput names the input that is missing or of another type. The observer, if any, hears of
  // the graph's inputs as well.
  Status run(const std::vector<NamedTensor>& sample, Observer* observer = nullptr);

  const Graph& graph() const { return *graph_; }               // compiled; the ids are those of `fused`
  const std::vector<Tensor>& outputs() const { return outputs_; }  // of the last run, in the graph's order

 private:
  std::shared_ptr<Graph> graph_;
  std::shared_ptr<const Program> program_;
  std::unique_ptr<Context> context_;
  std::vector<Tensor> outputs_;
};

// Of samples that could not be read: how many, and the first few by name.
std::string skipped_warning(const std::string& what, const std::vector<std::string>& messages);

}  // namespace vitrail
