// SPDX-License-Identifier: Apache-2.0
#include "serve/served_model.h"

#include <algorithm>

#include "core/datatype.h"
#include "core/error.h"
#include "core/thread_pool.h"

namespace vitrail::serve {
namespace {

Result<std::vector<TensorDescription>> describe(const Graph& graph, const std::vector<ValueId>& ids) {
  std::vector<TensorDescription> out;
  for (ValueId id : ids) {
    const Value& value = graph.value(id);
    if (!value.shape || datatype_name(value.dtype).empty())
      return bad_input("'{}' is {}, which the protocol has no name for", value.name, dtype_name(value.dtype));
    Shape shape;
    for (Dim d : *value.shape) shape.push_back(d.is_fixed() ? d.fixed : -1);
    out.push_back({value.name, value.dtype, std::move(shape)});
  }
  return out;
}

}  // namespace

Result<std::shared_ptr<ServedModel>> ServedModel::load(std::string name, std::string version, const std::string& path,
                                                       const EngineLoader& loader, const ModelSettings& settings) {
  std::shared_ptr<ServedModel> model(new ServedModel);
  model->name_ = std::move(name);
  model->version_ = std::move(version);
  model->settings_ = settings;
  VTL_ASSIGN(model->loaded_, loader(path));
  if (model->info().certificate_json.empty() && !settings.allow_uncertified)
    return check_failed(
        "{}: the engine has no certificate; run `vitrail verify --certify`, or serve it all the same with "
        "--allow-uncertified",
        path);
  VTL_ASSIGN(model->inputs_, describe(model->graph(), model->graph().inputs));
  VTL_ASSIGN(model->outputs_, describe(model->graph(), model->graph().outputs));

  SessionOptions session;
  session.streams = settings.instances;
  session.threads = settings.threads > 0 ? settings.threads : std::max(1, available_cores() / settings.instances);
  session.max_batch = settings.max_batch;
  session.workspace_bytes = settings.workspace_bytes;
  session.check_finite = false;
  VTL_ASSIGN(auto made, Session::create(model->loaded_.engine, model->loaded_.program, session));
  SchedulerOptions options = settings.scheduler;
  if (options.policy.max_batch <= 1) options.policy.max_batch = made->options().max_batch;
  model->max_batch_ = depends_on_batch(model->graph()) ? made->options().max_batch : 0;
  model->scheduler_ = std::make_unique<Scheduler>(model->loaded_.program, std::move(made), std::move(options),
                                                  model->statistics_);
  VTL_TRY(model->scheduler_->warm_up(settings.warm_up_seconds).with_context("warm-up"));
  for (const WarmUp& w : settings.warm_ups)
    VTL_TRY(model->scheduler_->warm_up(w.rows, w.count).with_context("model_warmup"));
  return model;
}

Status ServedModel::takes_pictures() const {
  const PreprocessContract& c = info().preprocess;
  const Shape floats{1, 3, c.height, c.width}, bytes{1, c.height, c.width, 3};
  if (inputs_.size() == 1 && max_batch_ > 0) {
    const Shape shape = at_batch(*graph().value(graph().inputs[0]).shape, 1);
    if ((inputs_[0].dtype == DType::kF32 && shape == floats) || (inputs_[0].dtype == DType::kU8 && shape == bytes))
      return {};
  }
  return usage_error(
      "model '{}' takes no pictures: that needs one input, FP32 [-1,3,{},{}] or UINT8 [-1,{},{},3]", name_, c.height,
      c.width, c.height, c.width);
}

Status ServedModel::gives_scores() const {
  if (outputs_[0].dtype == DType::kF32 && outputs_[0].shape.size() == 2) return {};
  return usage_error("model '{}' gives no scores of classes: output '{}' is {} {}, not FP32 [-1,classes]", name_,
                     outputs_[0].name, datatype_name(outputs_[0].dtype), to_string(outputs_[0].shape));
}

}  // namespace vitrail::serve
