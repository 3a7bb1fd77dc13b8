// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/plan_weights.h"

#include <algorithm>
#include <set>

#include "backends/tensorrt/module/plan_backend.h"
#include "core/error.h"
#include "engine/hash.h"
#include "graph/edit.h"

namespace vitrail::tensorrt {
namespace {

std::string hash_of(const Tensor& tensor) {
  return to_string(hash_bytes({static_cast<const std::byte*>(tensor.data()), tensor.bytes()}));
}

std::vector<std::string> texts(const Node& node, const char* key) {
  const auto it = node.attributes.find(key);
  const auto* list = it == node.attributes.end() ? nullptr : std::get_if<std::vector<std::string>>(&it->second);
  return list ? *list : std::vector<std::string>();
}

// The names that the refitter itself knows.
std::set<std::string> refittable(nv::IRefitter& refitter) {
  std::vector<const char*> names(static_cast<size_t>(std::max(0, refitter.getAllWeights(0, nullptr))));
  refitter.getAllWeights(static_cast<int32_t>(names.size()), names.data());
  std::set<std::string> known;
  for (const char* name : names)
    if (name) known.insert(name);
  return known;
}

}  // namespace

Result<PlanWeights> read_weights(const Graph& compiled) {
  PlanWeights weights;
  if (compiled.nodes.size() != 1 || compiled.nodes[0].op != Op::Plan)
    return bad_input("the engine holds no TensorRT plan; build it again with --backend tensorrt");
  const Node& node = compiled.nodes[0];
  weights.names = texts(node, kWeightNames);
  weights.hashes = texts(node, kWeightHashes);
  weights.stripped = node.integer(kStripped, 0) != 0;
  const size_t first = 1 + compiled.inputs.size();
  const bool attached = node.inputs.size() > first;
  if ((attached && node.inputs.size() != first + weights.names.size()) ||
      (!weights.hashes.empty() && weights.hashes.size() != weights.names.size()) || (weights.stripped && !attached))
    return bad_input("the engine's weights are damaged; build it again");
  for (size_t i = first; i < node.inputs.size(); ++i) {
    if (!compiled.is_constant(node.input(i)))
      return bad_input("the engine's weight '{}' is missing", weights.names[i - first]);
    weights.tensors.push_back(compiled.constant(node.input(i)));
  }
  return weights;
}

void describe_weights(const std::vector<NamedTensor>& weights, Node& node) {
  std::vector<std::string> names, hashes;
  for (const NamedTensor& w : weights) {
    names.push_back(w.name);
    hashes.push_back(hash_of(w.tensor));
  }
  node.attributes[kWeightNames] = std::move(names);
  node.attributes[kWeightHashes] = std::move(hashes);
}

void attach_weights(std::vector<NamedTensor> weights, Graph& graph, Node& node) {
  for (NamedTensor& w : weights) node.inputs.push_back(add_weight(graph, "tensorrt.weight", std::move(w.tensor)));
}

Status use_plan_names(const PlanWeights& known, std::vector<NamedTensor>& weights) {
  if (known.names.empty())
    return bad_input("the engine's plan takes no weights: build it with `vitrail build --backend tensorrt --refit`");
  if (known.names.size() != weights.size())
    return bad_input("the engine's plan takes {} weights, the model has {} for it: it was built by another Vitrail or for "
                     "another TensorRT; build it again",
                     known.names.size(), weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    const Tensor& now = weights[i].tensor;
    if (!known.tensors.empty() &&
        (known.tensors[i].dtype() != now.dtype() || known.tensors[i].shape() != now.shape()))
      return bad_input("weight '{}' is {} {} in the engine and {} {} in the model", known.names[i],
                       dtype_name(known.tensors[i].dtype()), to_string(known.tensors[i].shape()),
                       dtype_name(now.dtype()), to_string(now.shape()));
    weights[i].name = known.names[i];
  }
  return {};
}

Status put_weights(const Library& library, nv::ICudaEngine& engine, const PlanWeights& weights, Logger& logger) {
  if (weights.tensors.empty()) return {};
  VTL_ASSIGN(const auto refitter, library.make_refitter(engine, logger));
  const std::set<std::string> taken = refittable(*refitter);
  for (size_t i = 0; i < weights.names.size(); ++i) {
    const std::string& name = weights.names[i];
    const Tensor& t = weights.tensors[i];
    if (!taken.contains(name)) {
      // The builder computed something from it, or never needed it.
      if (weights.hashes.empty() || weights.hashes[i] == hash_of(t)) continue;
      return bad_input("weight '{}' is another than the plan was built with, and TensorRT made it part of its kernels: "
                       "build the model again",
                       name);
    }
    const auto type = type_of(t.dtype());
    if (!type || !refitter->setNamedWeights(name.c_str(), {*type, t.data(), t.count()}))
      return explain_failure(logger, {}, fmt::format("weight '{}'", name));
  }
  std::vector<const char*> missing(static_cast<size_t>(std::max(0, refitter->getMissingWeights(0, nullptr))));
  if (!missing.empty()) {
    refitter->getMissingWeights(static_cast<int32_t>(missing.size()), missing.data());
    return bad_input("the plan also wants weight '{}' ({} in all), which the engine file does not hold; build it again",
                     missing[0] ? missing[0] : "", missing.size());
  }
  if (!refitter->refitCudaEngine()) return explain_failure(logger, {}, "putting the weights into the plan");
  return {};
}

Result<std::vector<std::byte>> bake_weights(const Library& library, const Graph& compiled, PlanWeights known,
                                            const std::vector<NamedTensor>& weights) {
  Logger logger;
  VTL_ASSIGN(const auto runtime, library.make_runtime(logger));
  const Tensor& plan = compiled.constant(compiled.nodes[0].input(0));
  const std::unique_ptr<nv::ICudaEngine> engine(runtime->deserializeCudaEngine(plan.data(), plan.bytes()));
  if (!engine) return explain_failure(logger, {}, "the plan to refit");
  known.tensors.clear();
  for (const NamedTensor& w : weights) known.tensors.push_back(w.tensor);
  VTL_TRY(put_weights(library, *engine, known, logger));
  const std::unique_ptr<nv::IHostMemory> memory(engine->serialize());
  if (!memory) return explain_failure(logger, {}, "writing the refitted plan");
  const auto* bytes = static_cast<const std::byte*>(memory->data());
  return std::vector<std::byte>(bytes, bytes + memory->size());
}

}  // namespace vitrail::tensorrt
