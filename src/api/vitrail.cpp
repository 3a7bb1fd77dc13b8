// SPDX-License-Identifier: Apache-2.0
#include "vitrail/vitrail.h"

#include <algorithm>
#include <span>
#include <type_traits>

#include "api/backends.h"
#include "core/error.h"
#include "core/files.h"
#include "core/thread_pool.h"
#include "engine/engine.h"
#include "preprocess/preprocess.h"
#include "runtime/classes.h"
#include "runtime/finite.h"
#include "runtime/session.h"

namespace vitrail {
namespace {

std::vector<TensorInfo> describe(const Graph& graph, const std::vector<ValueId>& ids) {
  std::vector<TensorInfo> infos;
  for (ValueId id : ids) {
    const Value& value = graph.value(id);
    Shape shape;
    for (Dim d : *value.shape) shape.push_back(d.is_fixed() ? d.fixed : -1);
    infos.push_back({value.name, value.dtype, std::move(shape)});
  }
  return infos;
}

// Whether the model takes one picture of the contract's size and gives scores for classes.
Status check_classifier(const Graph& graph, const PreprocessContract& contract) {
  const Shape picture{1, 3, contract.height, contract.width}, bytes{1, contract.height, contract.width, 3};
  const auto takes_picture = [&](const Value& v) {
    return (v.dtype == DType::kF32 && at_batch(*v.shape, 1) == picture) ||
           (v.dtype == DType::kU8 && at_batch(*v.shape, 1) == bytes);
  };
  if (graph.inputs.size() != 1 || !takes_picture(graph.value(graph.inputs[0])))
    return usage_error(
        "classify() needs one image input, float32 [N,3,{0},{1}] or uint8 [N,{0},{1},3]; use run() for this "
        "model",
        contract.height, contract.width);
  const Value& scores = graph.value(graph.outputs[0]);
  if (scores.dtype != DType::kF32 || scores.shape->size() != 2)
    return usage_error("classify() needs float32 scores [N,classes], but output '{}' is {}{}; use run()",
                       scores.name, dtype_name(scores.dtype), to_string(*scores.shape));
  return {};
}

}  // namespace

struct Model::Impl {
  BackendRegistry backends;  // the program may use its backend
  std::shared_ptr<const Engine> engine;
  std::unique_ptr<Session> session;
};

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Result<Model> Model::load(const std::string& vtl_path, const EngineOptions& options) {
  if (options.threads < 0) return usage_error("threads: {} is below 0", options.threads);
  if (options.streams < 1) return usage_error("streams: {} is below 1", options.streams);
  auto impl = std::make_unique<Impl>();
  impl->backends = make_backends();
  VTL_ASSIGN(Engine engine, load_engine(vtl_path, available_cores()));
  impl->engine = std::make_shared<const Engine>(std::move(engine));
  VTL_ASSIGN(const Backend* backend, impl->backends.find(impl->engine->info.backend));
  VTL_ASSIGN(auto program, backend->load(impl->engine->graph, {.isa = options.isa}));
  SessionOptions session;
  session.streams = options.streams;
  session.threads = options.threads ? options.threads : std::max(1, available_cores() / options.streams);
  session.workspace_bytes = options.workspace_bytes;
  VTL_ASSIGN(impl->session, Session::create(impl->engine, std::move(program), session));
  return Model(std::move(impl));
}

std::vector<TensorInfo> Model::inputs() const {
  return describe(*impl_->engine->graph, impl_->engine->graph->inputs);
}
std::vector<TensorInfo> Model::outputs() const {
  return describe(*impl_->engine->graph, impl_->engine->graph->outputs);
}
const std::vector<std::string>& Model::labels() const { return impl_->engine->info.labels; }

Result<std::vector<NamedTensor>> Model::run(const std::vector<NamedTensor>& inputs) const {
  return impl_->session->run(inputs);
}

namespace {

// Runs the model on what `prepare` writes for the engine's contract, into floats or bytes.
template <class Prepare>
Result<std::vector<Classification>> classify_prepared(const Model& model, const Engine& engine, int top,
                                                      Prepare prepare) {
  const PreprocessContract& contract = engine.info.preprocess;
  VTL_TRY(check_classifier(*engine.graph, contract));
  const Value& input = engine.graph->value(engine.graph->inputs[0]);
  Tensor pixels(input.dtype, at_batch(*input.shape, 1));
  VTL_TRY(input.dtype == DType::kU8 ? prepare(contract, pixels.as_mutable<uint8_t>().data())
                                    : prepare(contract, pixels.as_mutable<float>().data()));
  VTL_ASSIGN(const auto outputs, model.run({{input.name, pixels}}));
  const TensorView logits = outputs[0].tensor.view();
  if (const NonFinite found = find_non_finite(logits); found.count > 0)
    return check_failed("{} of the {} scores are NaN or infinite", found.count, logits.count());
  return top_classes(logits.as<float>(), model.labels(), top);
}

}  // namespace

Result<std::vector<Classification>> Model::classify(const std::string& image_path, int top) const {
  VTL_ASSIGN(const std::string file, read_file(image_path, kMaxImageFileBytes));
  auto classes = classify_prepared(*this, *impl_->engine, top, [&](const PreprocessContract& contract, auto* out) {
    return preprocess_encoded(std::as_bytes(std::span(file)), contract, out);
  });
  VTL_TRY(classes.status().with_context(image_path));
  return classes;
}

Result<std::vector<Classification>> Model::classify(const Image& image, int top) const {
  return classify_prepared(*this, *impl_->engine, top, [&](const PreprocessContract& contract, auto* out) {
    if constexpr (std::is_same_v<decltype(out), float*>)
      return preprocess(image, contract, out);
    else
      return preprocess_bytes(image, contract, out);
  });
}

}  // namespace vitrail
