// SPDX-License-Identifier: Apache-2.0
#include "workflow/compare.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/cancel.h"
#include "core/error.h"
#include "preprocess/dataset.h"
#include "verify/sample_hash.h"
#include "workflow/samples.h"

namespace vitrail {
namespace {

// One model under comparison, ready to run.
struct Entrant {
  Candidate row;
  SampleRunner runner;
  std::string input;
  ScoreKeeper keeper;
  int64_t right = 0;
};

Result<Entrant> enter(const std::string& path, const CompareOptions& options, ImportedModel* imported) {
  VTL_ASSIGN(ImportedModel model, import_model(path, options.model));
  if (imported) *imported = model;
  VTL_TRY(fuse(model.graph).status().with_context(path));
  Candidate row;
  row.file = path;
  std::error_code error;
  row.bytes = static_cast<int64_t>(std::filesystem::file_size(path, error));
  for (const Node& node : model.graph.nodes) {
    row.integer_products += node.op == Op::QuantizedLinear;
    row.products += node.op == Op::QuantizedLinear || node.op == Op::Linear || node.op == Op::MatMul ||
                    node.op == Op::Gemm || node.op == Op::PatchEmbed || node.op == Op::Conv;
    row.products += node.op == Op::MultiHeadAttention ? 2 : 0;
  }
  auto runner = SampleRunner::make(model.graph, options.threads);
  if (!runner.ok()) return runner.status().with_context(path);
  const Graph& graph = runner->graph();
  std::string input = graph.inputs.size() == 1 ? graph.value(graph.inputs[0]).name : "";
  return Entrant{std::move(row), std::move(*runner), std::move(input), {}, 0};
}

// The class that each sample's folder names, as an index into the labels; empty when one of them is unknown.
std::vector<size_t> classes_of(const CompareOptions& options, const ImportedModel& model, bool pictures) {
  std::vector<size_t> classes;
  if (!pictures || model.labels.empty()) return classes;
  const auto files = list_images(options.images);
  if (!files.ok()) return classes;
  for (const std::string& file : *files) {
    const auto it = std::ranges::find(model.labels, class_folder(file));
    if (it == model.labels.end()) return {};
    classes.push_back(static_cast<size_t>(it - model.labels.begin()));
  }
  return classes;
}

// Of the first output of logits; no answer is no class.
size_t first_class(const Answers& answers) {
  for (const Answer& a : answers)
    if (a.is_logits) return static_cast<size_t>(std::ranges::max_element(a.values) - a.values.begin());
  return SIZE_MAX;
}

Status same_outputs(const Entrant& entrant, const Answers& got, const Answers& want) {
  bool same = got.size() == want.size();
  for (size_t i = 0; same && i < got.size(); ++i) same = got[i].values.size() == want[i].values.size();
  if (same) return {};
  return bad_input("{}: its outputs are of other sizes than the reference's; are they made from the same model?",
                   entrant.row.file);
}

nlohmann::ordered_json row_json(const Candidate& c) {
  nlohmann::ordered_json j = to_json(c.score);
  j["file"] = c.file;
  j["bytes"] = c.bytes;
  j["products"] = c.products;
  j["integer_products"] = c.integer_products;
  j["accuracy"] = c.accuracy ? nlohmann::ordered_json(*c.accuracy) : nlohmann::ordered_json(nullptr);
  return j;
}

}  // namespace

Result<Comparison> compare_models(const std::string& reference, const std::vector<std::string>& candidates,
                                  const CompareOptions& options) {
  ImportedModel model;
  Comparison comparison;
  std::vector<Entrant> entrants;
  VTL_ASSIGN(Entrant first, enter(reference, options, &model));
  entrants.push_back(std::move(first));
  for (const std::string& path : candidates) {
    VTL_ASSIGN(Entrant next, enter(path, options, nullptr));
    entrants.push_back(std::move(next));
  }
  const bool pictures = image_input(model.graph).ok();
  VTL_ASSIGN(const SampleSource source, folder_samples(model.graph, model.preprocess, options.images));
  const auto classes = classes_of(options, model, pictures);
  const int64_t count = options.max_samples > 0 ? std::min(options.max_samples, source.count) : source.count;
  SampleHash hash;
  for (int64_t i = 0; i < count; ++i) {
    if (cancel::requested()) return cancelled();
    const int64_t at = i * source.count / count;
    auto sample = source.load(at);
    if (!sample.ok()) {
      comparison.warnings.push_back(sample.status().message());
      continue;
    }
    hash.add(*sample);
    Answers want;
    for (Entrant& e : entrants) {
      if (!e.input.empty() && sample->size() == 1) (*sample)[0].name = e.input;
      VTL_TRY(e.runner.run(*sample).with_context(e.row.file));
      const Answers got = answers_of(e.runner);
      if (&e == &entrants[0]) want = got;
      VTL_TRY(same_outputs(e, got, want));
      e.keeper.add(got, want);
      if (!classes.empty()) e.right += first_class(got) == classes[static_cast<size_t>(at)];
    }
    ++comparison.samples;
    if (options.progress) options.progress(i + 1, count);
  }
  if (comparison.samples == 0)
    return bad_input("{}: none of {} samples could be read: {}", options.images, count, comparison.warnings[0]);
  for (Entrant& e : entrants) {
    e.row.score = e.keeper.score();
    if (!classes.empty()) e.row.accuracy = static_cast<double>(e.right) / static_cast<double>(comparison.samples);
    comparison.candidates.push_back(std::move(e.row));
  }
  comparison.reference = std::move(comparison.candidates.front());
  comparison.candidates.erase(comparison.candidates.begin());
  comparison.dataset = count < source.count ? fmt::format("{}, {} of them", source.description, count) : source.description;
  comparison.dataset_hash = hash.hex();
  return comparison;
}

nlohmann::ordered_json to_json(const Comparison& c) {
  auto rows = nlohmann::ordered_json::array();
  for (const Candidate& row : c.candidates) rows.push_back(row_json(row));
  return {{"kind", "comparison"},       {"reference", row_json(c.reference)},
          {"candidates", rows},         {"samples", c.samples},
          {"dataset", c.dataset},       {"dataset_hash", c.dataset_hash},
          {"warnings", c.warnings}};
}

}  // namespace vitrail
