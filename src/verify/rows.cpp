// SPDX-License-Identifier: Apache-2.0
#include "verify/rows.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace vitrail {
namespace {

// The inputs of several samples joined along the first axis.
Result<std::vector<NamedTensor>> join(std::span<const std::vector<NamedTensor>> samples, int64_t batch) {
  std::vector<NamedTensor> joined;
  const std::vector<NamedTensor>& first = samples.front();
  for (size_t i = 0; i < first.size(); ++i) {
    const NamedTensor& model = first[i];
    Shape shape = model.tensor.shape();
    if (shape.empty() || shape[0] != 1)
      return bad_input("input '{}' of a sample has shape {}; its first extent must be 1", model.name,
                       to_string(shape));
    shape[0] = batch;
    Tensor all(model.tensor.dtype(), shape);
    for (int64_t row = 0; row < batch; ++row) {
      const auto& sample = samples[std::min(static_cast<size_t>(row), samples.size() - 1)];
      if (sample.size() != first.size() || sample[i].name != model.name ||
          sample[i].tensor.shape() != model.tensor.shape() ||
          sample[i].tensor.dtype() != model.tensor.dtype())
        return bad_input("input '{}': the samples differ in name, type or shape", model.name);
      std::memcpy(
          static_cast<std::byte*>(all.mutable_data()) + static_cast<size_t>(row) * model.tensor.bytes(),
          sample[i].tensor.data(), model.tensor.bytes());
    }
    joined.push_back({model.name, std::move(all)});
  }
  return joined;
}

// Gives row `row` of each of `from` to `to`.
Status split(const std::vector<NamedTensor>& from, int64_t row, int64_t batch, std::vector<NamedTensor>& to) {
  for (const NamedTensor& value : from) {
    Shape shape = value.tensor.shape();
    if (batch > 1 && (shape.empty() || shape[0] % batch != 0))
      return bad_input("'{}' of shape {} has no batch axis at batch {}; compare at batch 1 only", value.name,
                       to_string(shape), batch);
    if (!shape.empty()) shape[0] /= batch;
    Tensor part(value.tensor.dtype(), shape);
    if (part.bytes() > 0)
      std::memcpy(
          part.mutable_data(),
          static_cast<const std::byte*>(value.tensor.data()) + static_cast<size_t>(row) * part.bytes(),
          part.bytes());
    to.push_back({value.name, std::move(part)});
  }
  return Status();
}

}  // namespace

Result<std::vector<SubjectValues>> run_rows(const VerifySubject& subject,
                                            std::span<const std::vector<NamedTensor>> samples, int64_t batch,
                                            std::span<const std::string> values) {
  std::vector<SubjectValues> rows;
  for (size_t begin = 0; begin < samples.size(); begin += static_cast<size_t>(batch)) {
    const auto group = samples.subspan(begin, std::min(samples.size() - begin, static_cast<size_t>(batch)));
    VTL_ASSIGN(const auto inputs, join(group, batch));
    auto run = subject.run(inputs, values);
    if (!run.ok()) return run.status().with_context(fmt::format("{} at batch {}", subject.name, batch));
    for (size_t row = 0; row < group.size(); ++row) {
      SubjectValues& out = rows.emplace_back();
      VTL_TRY(split(run->outputs, static_cast<int64_t>(row), batch, out.outputs).with_context(subject.name));
      VTL_TRY(split(run->values, static_cast<int64_t>(row), batch, out.values).with_context(subject.name));
    }
  }
  return rows;
}

}  // namespace vitrail
