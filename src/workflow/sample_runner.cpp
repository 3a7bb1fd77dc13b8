// SPDX-License-Identifier: Apache-2.0
#include "workflow/sample_runner.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/backend.h"
#include "core/error.h"

namespace vitrail {
namespace {

constexpr size_t kNamedFailures = 8;  // the warning counts the rest

// The rows of one sample, repeated for a model that takes only one batch size.
Tensor fill_batch(const Tensor& row, const Shape& shape) {
  if (row.shape() == shape) return row;
  Tensor all(row.dtype(), shape);
  const size_t bytes = row.bytes();
  for (size_t at = 0; bytes > 0 && at + bytes <= all.bytes(); at += bytes)
    std::memcpy(static_cast<std::byte*>(all.mutable_data()) + at, row.data(), bytes);
  return all;
}

}  // namespace

Result<SampleRunner> SampleRunner::make(const Graph& fused, int threads) {
  SampleRunner r;
  r.graph_ = std::make_shared<Graph>(fused);
  const auto backend = make_cpu_backend();
  VTL_TRY(backend->compile(*r.graph_, {}).status());
  VTL_ASSIGN(r.program_, backend->load(r.graph_, {}));
  ContextOptions options;
  options.threads = threads;
  options.workspace_bytes = INT64_MAX;
  options.max_batch = 1;
  for (ValueId id : r.graph_->inputs)
    if (const Shape shape = at_batch(*r.graph_->value(id).shape, 1); !shape.empty())
      options.max_batch = std::max(options.max_batch, shape[0]);
  VTL_ASSIGN(r.context_, r.program_->create_context(options));
  for (ValueId id : r.graph_->outputs)
    r.outputs_.emplace_back(r.graph_->value(id).dtype, at_batch(*r.graph_->value(id).shape, 1));
  return r;
}

Status SampleRunner::run(const std::vector<NamedTensor>& sample, Observer* observer) {
  std::vector<Tensor> inputs;
  for (ValueId id : graph_->inputs) {
    const Value& value = graph_->value(id);
    const auto it =
        std::find_if(sample.begin(), sample.end(), [&](const NamedTensor& t) { return t.name == value.name; });
    if (it == sample.end()) return bad_input("no sample for the input '{}'", value.name);
    inputs.push_back(fill_batch(it->tensor, at_batch(*value.shape, 1)));
    if (inputs.back().dtype() != value.dtype)
      return bad_input("input '{}' is {}, the sample {}", value.name, dtype_name(value.dtype),
                       dtype_name(inputs.back().dtype()));
  }
  std::vector<TensorView> in;
  for (size_t i = 0; i < inputs.size(); ++i) {
    in.push_back(inputs[i].view());
    if (observer && observer->wants_values()) observer->on_value(graph_->inputs[i], in.back());
  }
  std::vector<MutableTensorView> out;
  for (Tensor& t : outputs_) out.push_back(t.mutable_view());
  return context_->run(in.empty() || in[0].shape.empty() ? 1 : in[0].shape[0], in, out, observer);
}

std::string skipped_warning(const std::string& what, const std::vector<std::string>& messages) {
  std::string names;
  for (size_t i = 0; i < std::min(kNamedFailures, messages.size()); ++i) names += "\n  " + messages[i];
  if (messages.size() > kNamedFailures) names += fmt::format("\n  and {} more", messages.size() - kNamedFailures);
  return fmt::format("{} skipped {} unreadable:{}", what, messages.size(), names);
}

}  // namespace vitrail
