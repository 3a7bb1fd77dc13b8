// SPDX-License-Identifier: Apache-2.0
#include "workflow/check.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

#include "backends/reference/backend.h"
#include "core/error.h"
#include "passes/select_rows.h"
#include "workflow/build_record.h"
#include "workflow/open.h"
#include "workflow/samples.h"

namespace vitrail {
namespace {

// Keeps copies of the values that were asked for.
class Tap : public Observer {
 public:
  Tap(const Graph& graph, std::span<const std::string> names) : graph_(graph), names_(names) {}
  bool wants_values() const override { return !names_.empty(); }
  void on_value(ValueId id, const TensorView& content) override {
    const std::string& name = graph_.value(id).name;
    if (std::find(names_.begin(), names_.end(), name) == names_.end()) return;
    const auto known =
        std::find_if(kept.begin(), kept.end(), [&](const NamedTensor& t) { return t.name == name; });
    if (known == kept.end())
      kept.push_back({name, joined(Tensor(content.dtype, {}), content)});
    else
      known->tensor = joined(known->tensor, content);
  }

  // The rows of `more` after those of `first`; `first` without axes stands for none.
  static Tensor joined(const Tensor& first, const TensorView& more) {
    Shape shape = more.shape;
    const size_t before = first.rank() == 0 ? 0 : first.bytes();
    if (before) shape[0] += first.dim(0);
    Tensor all(more.dtype, shape);
    auto* to = static_cast<std::byte*>(all.mutable_data());
    std::copy_n(static_cast<const std::byte*>(first.data()), before, to);
    std::copy_n(static_cast<const std::byte*>(more.data), more.bytes(), to + before);
    return all;
  }

  std::vector<NamedTensor> kept;

 private:
  const Graph& graph_;
  std::span<const std::string> names_;
};

// One side of the comparison: a program with a context of its own.
struct Side {
  std::shared_ptr<const Graph> graph;
  std::shared_ptr<const Program> program;
  std::unique_ptr<Context> context;
  // How to make this side's picture from bytes, where the samples are bytes and this side wants floats.
  PreprocessContract contract;

  static Result<std::shared_ptr<Side>> make(std::shared_ptr<const Graph> graph,
                                            std::shared_ptr<const Program> program,
                                            const PreprocessContract& contract, int64_t max_batch,
                                            int threads) {
    auto side = std::make_shared<Side>();
    side->graph = std::move(graph);
    side->program = std::move(program);
    side->contract = contract;
    ContextOptions options;
    options.max_batch = max_batch;
    options.threads = threads;
    // A check must not fail for want of workspace: it takes what it needs.
    options.workspace_bytes = INT64_MAX;
    VTL_ASSIGN(side->context, side->program->create_context(options));
    return side;
  }

  // Whether the value is the float32 picture that these bytes are of.
  bool takes_pictures_of(const Tensor& bytes, ValueId id) const {
    return bytes.dtype() == DType::kU8 && bytes.rank() == 4 && graph->value(id).dtype == DType::kF32 &&
           bytes.shape() == Shape{bytes.dim(0), contract.height, contract.width, 3} &&
           at_batch(*graph->value(id).shape, bytes.dim(0)) ==
               Shape{bytes.dim(0), 3, contract.height, contract.width};
  }

  Result<SubjectValues> run(std::span<const NamedTensor> inputs, std::span<const std::string> values) const {
    std::vector<TensorView> views;
    Tensor floats;  // kept until the batch has run
    for (ValueId id : graph->inputs) {
      const std::string& name = graph->value(id).name;
      const auto it =
          std::find_if(inputs.begin(), inputs.end(), [&](const NamedTensor& t) { return t.name == name; });
      if (it == inputs.end()) return bad_input("no sample for the input '{}'", name);
      if (takes_pictures_of(it->tensor, id)) {
        floats = normalised(it->tensor, contract);
        views.push_back(floats.view());
        continue;
      }
      if (it->tensor.dtype() != graph->value(id).dtype ||
          it->tensor.shape() != at_batch(*graph->value(id).shape, it->tensor.rank() ? it->tensor.dim(0) : 1))
        return bad_input("input '{}' is {}{}, the sample {}{}", name, dtype_name(graph->value(id).dtype),
                         to_string(*graph->value(id).shape), dtype_name(it->tensor.dtype()),
                         to_string(it->tensor.shape()));
      views.push_back(it->tensor.view());
    }
    const int64_t batch = views.empty() || views[0].shape.empty() ? 1 : views[0].shape[0];
    SubjectValues result;
    std::vector<MutableTensorView> outputs;
    for (ValueId id : graph->outputs)
      result.outputs.push_back(
          {graph->value(id).name, Tensor(graph->value(id).dtype, at_batch(*graph->value(id).shape, batch))});
    for (NamedTensor& t : result.outputs) outputs.push_back(t.tensor.mutable_view());
    Tap tap(*graph, values);
    VTL_TRY(context->run(batch, views, outputs, &tap));
    result.values = std::move(tap.kept);
    return result;
  }
};

VerifySubject subject_of(std::shared_ptr<Side> side, std::string name) {
  return {std::move(name),
          [side = std::move(side)](std::span<const NamedTensor> inputs, std::span<const std::string> values) {
            return side->run(inputs, values);
          }};
}

Result<SampleSource> samples_for(const CheckOptions& options, const Graph& graph,
                                 const PreprocessContract& contract) {
  if (!options.images.empty()) return image_samples(graph, contract, options.images);
  if (!options.inputs.empty()) return file_samples(graph, options.inputs);
  return random_samples(graph, options.random);
}

// The ends of the engine's stages. Where the engine computes some rows of the model's value only, the
// reference gets a Slice that makes the same rows under the same name.
Result<std::vector<StagePoint>> stage_points(const Graph& engine, Graph& reference) {
  Graph fused = engine;
  std::vector<StagePoint> points;
  for (const Stage& stage : recognise_structure(fused).stages) {
    if (stage.output == kNoValue) continue;
    const std::string& name = fused.value(stage.output).name;
    points.push_back({stage.name, name});
    const int maker = UseMap(fused).producer(stage.output);
    const auto selection = maker < 0 ? std::nullopt : selection_of(fused.nodes[static_cast<size_t>(maker)]);
    const ValueId full = selection ? reference.find(selection->value) : kNoValue;
    // Without it verify() says that the reference does not give the value.
    if (full == kNoValue || reference.find(name) != kNoValue || !reference.value(full).shape ||
        reference.value(full).shape->size() != 3)
      continue;
    Node slice = slice_rows(reference, full, *selection);
    reference.value(slice.outputs[0]).name = name;
    reference.nodes.push_back(std::move(slice));
  }
  VTL_TRY(infer_shapes(reference));
  return points;
}

// `count` of the samples, evenly spread.
SampleSource spread(SampleSource all, int64_t count) {
  if (count >= all.count) return all;
  SampleSource some;
  some.count = count;
  some.description = fmt::format("{}, {} of them", all.description, count);
  some.load = [all, count](int64_t index) { return all.load(index * all.count / count); };
  return some;
}

// Of the float model that a quantized engine goes back to; empty for other engines.
std::string float_model_hash(const EngineInfo& info) {
  const auto json = nlohmann::json::parse(info.quantization_json, nullptr, false);
  return json.is_object() && json.contains("source_hash") && json["source_hash"].is_string()
             ? json["source_hash"].get<std::string>()
             : "";
}

}  // namespace

Result<VerifyReport> check_engine(const std::string& engine_path, const std::string& model_path,
                                  const CheckOptions& options) {
  VTL_ASSIGN(const OpenedEngine opened, open_engine(engine_path, {options.isa, options.threads}));
  const EngineInfo& info = opened.engine->info;
  VTL_ASSIGN(ImportedModel model, import_model(model_path, options.model));
  use_names_of(*opened.engine->graph, model.graph);  // of a refitted engine
  VTL_ASSIGN(const auto stages, stage_points(*opened.engine->graph, model.graph));
  const auto graph = std::make_shared<const Graph>(std::move(model.graph));
  const auto reference = make_reference_backend();
  VTL_ASSIGN(const auto reference_program, reference->load(graph, {}));

  std::vector<int64_t> batches;
  for (int64_t b : options.batches)
    for (const Profile& p : info.profiles)
      if (b >= p.min && b <= p.max && std::find(batches.begin(), batches.end(), b) == batches.end())
        batches.push_back(b);
  if (batches.empty()) batches.push_back(info.profiles.empty() ? 1 : info.profiles.front().min);
  const int64_t largest = *std::max_element(batches.begin(), batches.end());
  VTL_ASSIGN(auto got,
             Side::make(opened.engine->graph, opened.program, info.preprocess, largest, options.threads));
  VTL_ASSIGN(auto want,
             Side::make(graph, reference_program, info.preprocess, batches.front(), options.threads));

  VTL_ASSIGN(SampleSource samples, samples_for(options, *opened.engine->graph, info.preprocess));
  if (options.max_samples > 0) samples = spread(std::move(samples), options.max_samples);
  VerifyOptions verify_options;
  verify_options.tolerance = options.tolerance;
  verify_options.batches = batches;
  verify_options.reference_batch = batches.front();
  verify_options.progress = options.progress;
  VTL_ASSIGN(VerifyReport report,
             verify(subject_of(got, fmt::format("{} {} ({})", info.backend, info.precision, opened.isa)),
                    subject_of(want, "reference backend"), samples, stages, verify_options));
  report.model = info.model_name;
  report.engine_hash = opened.engine->hash;
  report.precision = info.precision;
  report.backend = info.backend;
  report.isa = opened.isa;
  report.quantization_json = info.quantization_json;
  if (model.hash != info.model_hash && model.hash != float_model_hash(info)) {
    report.passed = false;
    report.failures.push_back(
        fmt::format("the engine was built from another file: {} has hash {}, the engine names {}", model_path,
                    model.hash, info.model_hash));
  }
  return report;
}

}  // namespace vitrail
