// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/import.h"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <new>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/error.h"
#include "core/thread_pool.h"
#include "graph/edit.h"
#include "graph/infer.h"
#include "import/onnx/attributes.h"
#include "import/onnx/functions.h"
#include "import/onnx/graph_inputs.h"
#include "import/onnx/model_file.h"
#include "import/onnx/node_order.h"
#include "import/onnx/normalise.h"
#include "import/onnx/operators.h"
#include "import/onnx/quantized_operators.h"
#include "import/onnx/restate.h"
#include "import/onnx/tensor_reader.h"
#include "import/onnx/weights_check.h"

namespace vitrail {
namespace onnx_import {
namespace {

using onnx::NodeProto;

// Builds the graph of one model; used once.
class Importer {
 public:
  Importer(ModelPtr model, int64_t opset, const std::string& path, const ImportOptions& options,
           ImportReport& report)
      : model_(std::move(model)),
        tensors_(model_, std::filesystem::path(path).parent_path()),
        options_(options),
        report_(report) {
    graph_.opset = opset;
  }

  Result<Graph> run() {
    const onnx::GraphProto& proto = model_->proto.graph();
    graph_.name = proto.name();
    for (const auto& entry : model_->proto.metadata_props()) graph_.metadata[entry.key()] = entry.value();
    VTL_ASSIGN(const auto nodes, sorted_nodes(proto));
    VTL_TRY(check_operators(nodes, model_->proto, graph_.opset));
    reserve_names(nodes);
    VTL_TRY(add_initializers());
    VTL_TRY(add_inputs());
    for (const NodeProto* node : nodes)
      if (Status status = add_node(*node); !status.ok())
        return status.with_context(fmt::format("layer '{}'", layer_name(*node)));
    for (const auto& output : proto.output()) {
      const auto found = ids_.find(output.name());
      if (found == ids_.end()) return bad_input("output '{}' is made by no layer", output.name());
      graph_.outputs.push_back(found->second);
    }
    folded_.resize(graph_.nodes.size());
    remove_nodes(graph_, folded_);
    UniqueNames names;
    for (Node& node : graph_.nodes) node.name = names.make(node.name);
    VTL_TRY(verify_graph(graph_));
    return std::move(graph_);
  }

 private:
  // Everything that the file names, before new names are made; and which values are read at all.
  void reserve_names(const std::vector<const NodeProto*>& nodes) {
    const onnx::GraphProto& proto = model_->proto.graph();
    for (const NodeProto* node : nodes) {
      for (const auto& name : node->output()) names_.reserve(name);
      visit_inputs(*node, [this](const std::string& name) { read_.insert(name); });
    }
    for (const auto& tensor : proto.initializer()) names_.reserve(tensor.name());
    for (const auto& input : proto.input()) names_.reserve(input.name());
    for (const auto& output : proto.output()) read_.insert(output.name());
  }

  Status define(const std::string& name, ValueId id) {
    if (locals_) locals_->push_back(name);
    if (ids_.try_emplace(name, id).second) return {};
    return bad_input("the value '{}' is defined twice", name);
  }

  Status add_initializers() {
    const onnx::GraphProto& proto = model_->proto.graph();
    if (!proto.sparse_initializer().empty())
      return bad_input("holds {} sparse initializers: export it with dense weights",
                       proto.sparse_initializer_size());
    std::vector<Weight> weights = read_weights();
    std::string first_nonfinite;
    for (int i = 0; i < proto.initializer_size(); ++i) {
      const std::string& name = proto.initializer(i).name();
      Weight& weight = weights[static_cast<size_t>(i)];
      if (name.empty()) return bad_input("holds an initializer without a name: export it again");
      if (!weight.tensor.ok())
        return weight.tensor.status().with_context(fmt::format("initializer '{}'", name));
      if (weight.nonfinite && report_.nonfinite_weights == 0) first_nonfinite = name;
      report_.nonfinite_weights += weight.nonfinite;
      VTL_TRY(define(name, graph_.add_constant(name, std::move(*weight.tensor))));
    }
    warn_of_nonfinite(first_nonfinite, report_);
    return {};
  }

  struct Weight {
    Result<Tensor> tensor = Tensor();
    int64_t nonfinite = 0;
  };
  // By initializer. Copying and checking them is most of an import, so all cores do it.
  std::vector<Weight> read_weights() {
    const auto& initializers = model_->proto.graph().initializer();
    std::vector<Weight> weights(static_cast<size_t>(initializers.size()));
    ThreadPool pool(
        static_cast<int>(std::min<size_t>(weights.size(), static_cast<size_t>(available_cores()))));
    pool.parallel_for(std::ssize(weights), [&](int64_t i, int) {
      Weight& weight = weights[static_cast<size_t>(i)];
      try {
        weight.tensor = tensors_.read(initializers[static_cast<int>(i)]);
        if (weight.tensor.ok()) weight.nonfinite = nonfinite_weights(*weight.tensor);
      } catch (const std::bad_alloc&) {  // must not leave the thread
        weight.tensor = resource_error("there is not enough memory to read it");
      }
    });
    return weights;
  }

  // Before IR version 4, initializers were listed among the inputs; those are weights all the same.
  Status add_inputs() {
    InputReader reader(options_, report_);
    VTL_TRY(reader.check_options());
    const size_t initializers = graph_.values.size();
    for (const auto& input : model_->proto.graph().input()) {
      if (const auto found = ids_.find(input.name());
          found != ids_.end() && static_cast<size_t>(found->second) < initializers)
        continue;
      VTL_ASSIGN(Value value, reader.read(input));
      graph_.inputs.push_back(graph_.add_value(std::move(value)));
      VTL_TRY(define(input.name(), graph_.inputs.back()));
    }
    reader.warn_of_unused_names();
    return {};
  }

  // Names inside a branch may occur in other branches as well.
  std::string value_name(const std::string& name) { return locals_ ? names_.make(name) : name; }

  // One branch of an If takes its place: the conditions that exporters write are about shapes, which are
  // known.
  Status add_branch(const NodeProto& proto) {
    const auto found = proto.input_size() ? ids_.find(proto.input(0)) : ids_.end();
    if (found == ids_.end()) return bad_input("its condition is made by no layer");
    infer_so_far();
    const Value& condition = graph_.value(found->second);
    std::optional<bool> test;
    if (condition.constant && condition.constant->count() == 1 && condition.constant->bytes() == 1)
      test = condition.constant->as<uint8_t>()[0] != 0;
    else if (condition.integers && condition.integers->size() == 1 && condition.integers->front().is_fixed())
      test = condition.integers->front().fixed != 0;
    if (!test)
      return bad_input(
          "the condition '{}' of this If depends on the data or on the batch: export the model without the "
          "branch (fixed sizes, or dynamo=True)",
          condition.name);
    const onnx::GraphProto* branch = nullptr;
    for (const auto& attribute : proto.attribute())
      if (attribute.name() == (*test ? "then_branch" : "else_branch")) branch = &attribute.g();
    if (!branch || branch->output_size() != proto.output_size())
      return bad_input("its branch lacks or has not as many outputs as the layer");
    std::vector<std::string> locals;
    std::vector<std::string>* const outside = std::exchange(locals_, &locals);
    Status status = add_branch_nodes(*branch, proto);
    locals_ = outside;
    for (const std::string& name : locals) ids_.erase(name);
    for (int i = 0; status.ok() && i < proto.output_size(); ++i) {
      if (proto.output(i).empty()) continue;
      Value value;
      value.name = value_name(proto.output(i));
      const ValueId id = graph_.add_value(std::move(value));
      graph_.nodes.push_back(
          {Op::Identity, layer_name(proto), {branch_outputs_[static_cast<size_t>(i)]}, {id}, {}, ""});
      status = define(proto.output(i), id);
    }
    return status;
  }

  Status add_branch_nodes(const onnx::GraphProto& branch, const NodeProto& proto) {
    for (const auto& tensor : branch.initializer()) {
      VTL_ASSIGN(Tensor weight, tensors_.read(tensor));
      VTL_TRY(define(tensor.name(), graph_.add_constant(value_name(tensor.name()), std::move(weight))));
    }
    VTL_ASSIGN(const auto nodes, sorted_nodes(branch));
    VTL_TRY(check_operators(nodes, model_->proto, graph_.opset));
    for (const NodeProto* node : nodes) {
      visit_inputs(*node, [this](const std::string& name) { read_.insert(name); });
      VTL_TRY(add_node(*node).with_context(fmt::format("layer '{}'", layer_name(*node))));
    }
    std::vector<ValueId> outputs;
    for (const auto& output : branch.output()) {
      const auto found = ids_.find(output.name());
      if (found == ids_.end())
        return bad_input("output '{}' of a branch of '{}' is made by no layer", output.name(),
                         layer_name(proto));
      outputs.push_back(found->second);
    }
    branch_outputs_ = std::move(outputs);
    return {};
  }

  Status add_node(const NodeProto& proto) {
    if (is_branch(proto)) return add_branch(proto);
    const std::optional<Op> op = find_operator(proto);  // none: restated.def has it
    if (op == Op::Constant) {
      if (proto.output_size() != 1) return bad_input("Constant has {} outputs", proto.output_size());
      VTL_ASSIGN(Tensor tensor, read_constant(proto, tensors_));
      return define(proto.output(0), graph_.add_constant(value_name(proto.output(0)), std::move(tensor)));
    }
    Node node{op.value_or(Op::Identity), layer_name(proto), {}, {}, {}, ""};
    for (const auto& name : proto.input()) {
      const auto found = ids_.find(name);
      if (!name.empty() && found == ids_.end()) return bad_input("input '{}' is made by no layer", name);
      node.inputs.push_back(name.empty() ? kNoValue : found->second);
    }
    for (const auto& attribute : proto.attribute()) {
      VTL_ASSIGN(Attribute value, read_attribute(attribute, tensors_));
      if (!node.attributes.emplace(attribute.name(), std::move(value)).second)
        return bad_input("attribute '{}' is given twice", attribute.name());
    }
    VTL_TRY(add_outputs(proto, node, op ? op_info(*op).max_outputs : proto.output_size()));
    while (!node.inputs.empty() && node.inputs.back() == kNoValue) node.inputs.pop_back();
    const NormaliseContext context{graph_, names_, graph_.opset, [this] { infer_so_far(); }};
    if (op) return normalise(context, std::move(node), graph_.nodes);
    Restatement restatement(context, node);
    return restate(proto.op_type(), restatement);
  }

  // Shapes of what has been added; what cannot be inferred stays unknown, and is an error when all is there. Small numbers that
  // follow from constants and shapes become constants, as conditions and further shapes may hang on them.
  void infer_so_far() {
    folded_.resize(graph_.nodes.size());
    for (; inferred_ < graph_.nodes.size(); ++inferred_) {
      Node& node = graph_.nodes[inferred_];
      folded_[inferred_] = infer_node(graph_, node).ok() && fold(node);
    }
  }

  // What shapes and conditions are computed with: nothing that takes long on a few numbers, and no layer.
  static bool is_arithmetic(Op op) {
    return has_trait(op, kElementwise) || has_trait(op, kMovement) || op == Op::Range || op == Op::ReduceMax || op == Op::ReduceMin ||
           op == Op::ReduceProd || op == Op::ReduceSum;
  }

  bool fold(const Node& node) {
    constexpr int64_t kMaxElements = 1 << 16;  // weights are left to the passes
    if (!options_.evaluate || !is_arithmetic(node.op)) return false;
    std::vector<Tensor> made(node.inputs.size());
    std::vector<const Tensor*> inputs(node.inputs.size());
    for (size_t i = 0; i < made.size(); ++i) {
      if (node.inputs[i] == kNoValue) continue;
      const Value& value = graph_.value(node.inputs[i]);
      auto integers = value.constant ? value.constant : tensor_of_integers(value);
      if (!integers || integers->count() > kMaxElements) return false;
      made[i] = std::move(*integers);
      inputs[i] = &made[i];
    }
    for (ValueId id : node.outputs) {
      if (id == kNoValue) continue;
      const auto& shape = graph_.value(id).shape;
      if (!shape || !is_fixed(*shape) || element_count(at_batch(*shape, 1)) > kMaxElements) return false;
    }
    const auto outputs = options_.evaluate(node, inputs);
    if (!outputs.ok() || outputs->size() < node.outputs.size()) return false;
    for (size_t i = 0; i < node.outputs.size(); ++i)
      if (node.outputs[i] != kNoValue) set_constant(graph_.value(node.outputs[i]), (*outputs)[i]);
    return true;
  }

  // Outputs that inference never needs (Dropout's mask, statistics of normalisations, indices of pooling) are
  // left out when nothing reads them.
  Status add_outputs(const NodeProto& proto, Node& node, int most) {
    const auto wanted = static_cast<size_t>(node.op == Op::Dropout ? 1 : most);
    for (const auto& name : proto.output()) {
      const bool extra = node.outputs.size() >= wanted;
      if (extra && (name.empty() || !read_.contains(name))) continue;
      if (extra)
        return bad_input(
            "{}'s output '{}' is read; only its first {} can be: change the model so that it is not needed",
            proto.op_type(), name, wanted);
      node.outputs.push_back(kNoValue);
      if (name.empty()) continue;
      Value value;
      value.name = value_name(name);
      node.outputs.back() = graph_.add_value(std::move(value));
      VTL_TRY(define(name, node.outputs.back()));
    }
    return {};
  }

  ModelPtr model_;
  TensorReader tensors_;
  const ImportOptions& options_;
  ImportReport& report_;
  Graph graph_;
  UniqueNames names_;
  std::unordered_map<std::string, ValueId> ids_;
  std::unordered_set<std::string> read_;
  std::vector<std::string>* locals_ = nullptr;  // names defined in the branch that is being added
  std::vector<ValueId> branch_outputs_;         // of the branch that was added last
  size_t inferred_ = 0;                         // nodes that infer_so_far() has been at
  std::vector<bool> folded_;                    // of those, what is constant now
};

Result<Graph> import_model(const std::string& path, const ImportOptions& options, ImportReport& report) {
  VTL_ASSIGN(ModelPtr model, read_model(path));
  VTL_ASSIGN(const int64_t opset, read_opset(model->proto));
  VTL_TRY(inline_functions(model->proto, opset));
  VTL_ASSIGN(report.quantized_operators, restate_quantized(model->proto));
  return Importer(std::move(model), opset, path, options, report).run();
}

// Messages of the file helpers name the file already.
Status name_file(const Status& status, const std::string& path) {
  return status.message().starts_with(path) || status.code() == Code::kUsage ? status
                                                                             : status.with_context(path);
}

}  // namespace
}  // namespace onnx_import

Result<Graph> import_onnx(const std::string& path, const ImportOptions& options, ImportReport* report) {
  ImportReport unwanted;
  try {
    auto graph = onnx_import::import_model(path, options, report ? *report : unwanted);
    if (!graph.ok()) return onnx_import::name_file(graph.status(), path);
    return graph;
  } catch (const std::bad_alloc&) {
    return resource_error("{}: there is not enough memory to read it", path);
  } catch (const std::exception& error) {
    return internal_error("{}: {}", path, error.what());
  }
}

}  // namespace vitrail
