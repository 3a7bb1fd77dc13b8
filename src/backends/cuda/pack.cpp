// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>

#include "backends/cuda/compile.h"
#include "backends/cuda/fold_norm.h"
#include "backends/cuda/kernel_list.h"
#include "core/half.h"
#include "core/thread_pool.h"
#include "graph/edit.h"
#include "graph/linear_inputs.h"

namespace vitrail::cuda {
namespace {

void store(void* to, size_t at, float value, Type type) {
  switch (type) {
    case Type::kF32:
      static_cast<float*>(to)[at] = value;
      break;
    case Type::kF16:
      static_cast<uint16_t*>(to)[at] = float_to_half(value);
      break;
    case Type::kBF16:
      static_cast<uint16_t*>(to)[at] = float_to_bfloat16(value);
      break;
    default:
      static_cast<uint8_t*>(to)[at] = to_e4m3(value);
  }
}

ValueId float_constant(Graph& graph, ValueId id) {
  if (id == kNoValue || graph.value(id).dtype == DType::kF32) return id;
  return add_weight(graph, graph.value(id).name + ".float32", to_float32(graph.constant(id)));
}

// One Linear under way: its weight [K, N] becomes `packed` [N, K], in pieces of kColumns columns.
constexpr int64_t kColumns = 64, kRows = 32;

struct LinearJob {
  size_t node = 0;
  Type type = Type::kF16;
  bool folds_norm = false;
  Tensor weight, gamma, beta, bias;  // float32
  Tensor packed;
  Tensor shift;  // the folded bias
  Tensor scale;  // of each column, for E4M3

  int64_t k() const { return weight.dim(0); }
  int64_t n() const { return weight.dim(1); }
  int64_t pieces() const { return (n() + kColumns - 1) / kColumns; }
};

std::span<const float> floats(const Tensor& t) { return t.empty() ? std::span<const float>() : t.as<float>(); }

LinearJob plan_linear(const Graph& graph, size_t index, Type type) {
  const Node& node = graph.nodes[index];
  LinearJob job;
  job.node = index;
  job.type = type_attribute(node, "type", type);
  job.folds_norm = node.integer("ln_fold", 0) != 0;
  job.weight = to_float32(graph.constant(node.input(1)));
  job.packed = Tensor(dtype_of(job.type), {job.n(), job.k()});
  if (job.type == Type::kE4M3) job.scale = Tensor(DType::kF32, {job.n()});
  if (!job.folds_norm) return job;
  const auto attribute = [&](const char* name) {
    const auto at = node.attributes.find(name);
    return at == node.attributes.end() ? Tensor() : std::get<Tensor>(at->second);
  };
  job.gamma = attribute(kFoldedScale);
  job.beta = attribute(kFoldedBias);
  if (node.input(2) != kNoValue) job.bias = to_float32(graph.constant(node.input(2)));
  job.shift = Tensor(DType::kF32, {job.n()});
  return job;
}

// `folded` is the thread's own memory.
void pack_columns(LinearJob& job, int64_t first, std::vector<float>& folded) {
  const int64_t k = job.k(), n = job.n(), count = std::min(kColumns, n - first);
  const float* w = static_cast<const float*>(job.weight.data()) + first;
  int64_t stride = n;
  if (job.folds_norm) {
    folded.resize(static_cast<size_t>(k * kColumns));
    fold_norm({static_cast<const float*>(job.weight.data()), k, n, floats(job.gamma), floats(job.beta), floats(job.bias)},
              first, count, folded.data(), static_cast<float*>(job.shift.mutable_data()) + first);
    w = folded.data();
    stride = count;
  }
  std::array<float, kColumns> factor;
  factor.fill(1);
  if (job.type == Type::kE4M3) {
    std::array<float, kColumns> most{};
    for (int64_t i = 0; i < k; ++i)
      for (int64_t j = 0; j < count; ++j)
        most[static_cast<size_t>(j)] = std::max(most[static_cast<size_t>(j)], std::fabs(w[i * stride + j]));
    auto* scale = static_cast<float*>(job.scale.mutable_data()) + first;
    for (int64_t j = 0; j < count; ++j) {
      const float m = most[static_cast<size_t>(j)];
      scale[j] = m > 0 ? m / 448.0f : 1.0f;
      factor[static_cast<size_t>(j)] = 1 / scale[j];
    }
  }
  // In squares, so that both sides stay in the first level cache.
  const auto transpose = [&](auto put) {
    for (int64_t i0 = 0; i0 < k; i0 += kRows)
      for (int64_t j = 0; j < count; ++j)
        for (int64_t i = i0; i < std::min(i0 + kRows, k); ++i)
          put(static_cast<size_t>((first + j) * k + i), w[i * stride + j] * factor[static_cast<size_t>(j)]);
  };
  void* to = job.packed.mutable_data();
  if (job.type == Type::kF16)
    transpose([h = static_cast<uint16_t*>(to)](size_t at, float v) { h[at] = float_to_half(v); });
  else
    transpose([&](size_t at, float v) { store(to, at, v, job.type); });
}

void finish_linear(Graph& graph, LinearJob& job) {
  const ValueId weight = graph.nodes[job.node].input(1);
  const std::string name = graph.value(weight).name + (job.folds_norm ? ".normed" : "");
  Node& node = graph.nodes[job.node];
  if (node.inputs.size() > 4 || job.type == Type::kE4M3) node.inputs.resize(6, kNoValue);
  node.inputs[1] = add_weight(graph, name + ".packed", std::move(job.packed));
  if (job.folds_norm)
    node.inputs[2] = add_weight(graph, graph.value(weight).name + ".shift", std::move(job.shift));
  else if (node.inputs.size() > 2)
    node.inputs[2] = float_constant(graph, node.inputs[2]);
  if (job.type == Type::kE4M3) {
    for (float& s : job.scale.as_mutable<float>()) s *= node.real("x_scale", 1);
    node.inputs[5] = add_weight(graph, name + ".scale", std::move(job.scale));
  }
  node.attributes.erase(kFoldedScale);
  node.attributes.erase(kFoldedBias);
  node.attributes["packed_n"] = job.n();
  node.attributes["type"] = std::string(type_name(job.type));
}

void pack_linears(Graph& graph, Type type) {
  std::vector<LinearJob> jobs;
  std::vector<std::pair<size_t, int64_t>> pieces;  // job, first column
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].op != Op::Linear || is_host(graph.nodes[i])) continue;
    jobs.push_back(plan_linear(graph, i, type));
    for (int64_t p = 0; p < jobs.back().pieces(); ++p) pieces.emplace_back(jobs.size() - 1, p * kColumns);
  }
  ThreadPool pool(std::min(available_cores(), 16));
  std::vector<std::vector<float>> folded(static_cast<size_t>(pool.threads()));
  pool.parallel_for(std::ssize(pieces), [&](int64_t i, int thread) {
    const auto [job, first] = pieces[static_cast<size_t>(i)];
    pack_columns(jobs[job], first, folded[static_cast<size_t>(thread)]);
  });
  for (LinearJob& job : jobs) finish_linear(graph, job);
}

// y = s·Σ (x − z)·W + b  =  s·Σ x·W + (b − s·z·ΣW), with s the scale of x times that of the column.
void pack_quantized(Graph& graph, Node& node) {
  const std::string name = graph.value(node.input(1)).name;
  const Tensor weight = graph.constant(node.input(1));
  const Tensor columns = to_float32(graph.constant(node.input(2)));
  const int64_t k = weight.dim(0), n = weight.dim(1);
  const auto w = weight.as<int8_t>();
  const auto zero = static_cast<double>(node.integer("x_zero_point", 0));
  const double x_scale = static_cast<double>(node.real("x_scale", 1));
  Tensor transposed(DType::kI8, {n, k}), scale(DType::kF32, {n}), bias(DType::kF32, {n});
  const Tensor given = bias_of(node) == kNoValue ? Tensor() : to_float32(graph.constant(bias_of(node)));
  for (int64_t j = 0; j < n; ++j) {
    int64_t sum = 0;
    for (int64_t i = 0; i < k; ++i) {
      const int8_t v = w[static_cast<size_t>(i * n + j)];
      transposed.as_mutable<int8_t>()[static_cast<size_t>(j * k + i)] = v;
      sum += v;
    }
    const auto at = static_cast<size_t>(j);
    const double s = x_scale * static_cast<double>(columns.as<float>()[at]);
    const double b = given.empty() ? 0.0 : static_cast<double>(given.as<float>()[at]);
    scale.as_mutable<float>()[at] = static_cast<float>(s);
    bias.as_mutable<float>()[at] = static_cast<float>(b - s * zero * static_cast<double>(sum));
  }
  const ValueId residual = residual_of(node);
  node.op = Op::Linear;
  node.inputs = {node.input(0),
                 add_weight(graph, name + ".packed", std::move(transposed)),
                 add_weight(graph, name + ".shifted_bias", std::move(bias)),
                 residual,
                 kNoValue,
                 add_weight(graph, name + ".scale", std::move(scale))};
  node.attributes["packed_n"] = n;
}

// The table takes the bias in its rows of patches; its other rows are the result for class and register
// tokens.
void pack_patches(Graph& graph, Node& node, Type type) {
  const std::string name = graph.value(node.input(1)).name;
  const Tensor weight = to_float32(graph.constant(node.input(1)));
  const int64_t n = weight.dim(0), k = weight.count() / n, unit = 16 / type_size(type);
  const int64_t rows = extent(graph, node.outputs[0], 1).fixed, prefix = node.integer("prefix", 0);
  const auto constant = [&](size_t i) {
    return node.input(i) == kNoValue ? Tensor() : to_float32(graph.constant(node.input(i)));
  };
  const Tensor bias = constant(2), table = constant(3);
  const bool one_table = !table.empty() || prefix > 0;
  node.inputs.resize(4, kNoValue);
  const int64_t k_padded = (k + unit - 1) / unit * unit;
  Tensor packed(dtype_of(type), {n, k_padded});
  for (int64_t j = 0; j < n; ++j)
    for (int64_t i = 0; i < k; ++i)
      store(packed.mutable_data(), static_cast<size_t>(j * k_padded + i),
            static_cast<const float*>(weight.data())[j * k + i], type);
  node.inputs[1] = add_weight(graph, name + ".packed", std::move(packed));
  node.inputs[2] = one_table ? kNoValue : float_constant(graph, node.inputs[2]);
  if (one_table) {
    Tensor out(dtype_of(type), {rows, n});
    for (int64_t t = 0; t < rows; ++t)
      for (int64_t j = 0; j < n; ++j) {
        float v = table.empty() ? 0.0f : table.as<float>()[static_cast<size_t>(t * n + j)];
        if (t >= prefix && !bias.empty()) v += bias.as<float>()[static_cast<size_t>(j)];
        store(out.mutable_data(), static_cast<size_t>(t * n + j), v, type);
      }
    node.inputs[3] = add_weight(graph, name + ".table", std::move(out));
  }
  node.attributes["packed_n"] = n;
  node.attributes["type"] = std::string(type_name(type));
}

}  // namespace

void pack_weights(Graph& graph, const Target& target) {
  pack_linears(graph, target.precision.type);
  for (Node& node : graph.nodes) {
    if (is_host(node)) continue;
    if (node.op == Op::QuantizedLinear)
      pack_quantized(graph, node);
    else if (node.op == Op::PatchEmbed)
      pack_patches(graph, node, target.precision.type);
  }
}

}  // namespace vitrail::cuda
