// SPDX-License-Identifier: Apache-2.0
#include "workflow/downgrades.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <tuple>

namespace vitrail {
namespace {

constexpr std::string_view kHostKernel = "host";

// Reports give a layer's precision as the build's option does ("fp16") or as a type ("float16").
std::string_view option_name(std::string_view precision) {
  for (const auto& [type, option] : {std::pair<std::string_view, std::string_view>{"float32", "fp32"},
                                     {"float16", "fp16"},
                                     {"bfloat16", "bf16"},
                                     {"float8_e4m3", "fp8"},
                                     {"e4m3", "fp8"}})
    if (precision == type) return option;
  return precision;
}

// QuantizedLinear computes in int8 because the model says so, whatever the build's precision.
bool is_product(std::string_view op) {
  constexpr std::string_view kProducts[] = {"Linear", "MatMul",     "Gemm",
                                            "Conv",   "PatchEmbed", "MultiHeadAttention"};
  return std::ranges::find(kProducts, op) != std::end(kProducts);
}

}  // namespace

std::vector<std::string> downgrades(const EngineInfo& info) {
  struct Kind {
    int64_t layers = 0, of = 0;
    const LayerReport* first = nullptr;
  };
  // TF32 is a way to multiply float32 values: the layers' type is float32.
  const std::string_view wanted = info.precision == "tf32" ? "fp32" : option_name(info.precision);
  std::map<std::string, int64_t> all;
  for (const LayerReport& l : info.layers) ++all[l.op];
  std::map<std::pair<std::string, std::string>, Kind> other, host;  // by operator and what it got
  const auto count = [&](auto& kinds, const LayerReport& l, std::string_view got) {
    Kind& kind = kinds[{l.op, std::string(got)}];
    kind.of = all[l.op];
    if (kind.layers++ == 0) kind.first = &l;
  };
  for (const LayerReport& l : info.layers) {
    const std::string_view got = option_name(l.precision);
    if (l.kernel == kHostKernel) count(host, l, got);
    if (is_product(l.op) && got != wanted && got != info.precision) count(other, l, got);
  }
  const auto reason = [](const LayerReport& l) {
    return l.refused.empty() ? fmt::format("the first is '{}', kernel {}", l.name, l.kernel)
                             : fmt::format("the first is '{}': {} declined: {}", l.name, l.refused[0].kernel,
                                           l.refused[0].reason);
  };
  std::vector<std::string> out;
  for (const auto& [key, kind] : other)
    out.push_back(fmt::format("{} of {} {} layers compute in {}, not in {} as asked; {}", kind.layers,
                              kind.of, key.first, key.second, info.precision, reason(*kind.first)));
  for (const auto& [key, kind] : host)
    out.push_back(fmt::format("{} of {} {} layers run on the host, with copies from and to the device; {}",
                              kind.layers, kind.of, key.first, reason(*kind.first)));
  return out;
}

std::optional<std::string> widened_ranges(const Graph& graph) {
  int64_t ranges = 0, widened = 0;
  double most = 1;
  for (const Node& node : graph.nodes) {
    if (node.op != Op::QuantizeLinear) continue;
    ++ranges;
    const ValueId zero_id = node.input(2);
    if (zero_id == kNoValue || !graph.is_constant(zero_id)) continue;
    const Tensor& zero = graph.constant(zero_id);
    double growth = 1;
    const auto widen = [&](int below) {  // steps below zero, of 255
      growth = std::max(growth, std::max(below, 255 - below) / 127.0);
    };
    if (zero.dtype() == DType::kU8) std::ranges::for_each(zero.as<uint8_t>(), widen);
    if (zero.dtype() == DType::kI8) std::ranges::for_each(zero.as<int8_t>(), [&](int8_t z) { widen(128 + z); });
    widened += growth > 1.01;
    most = std::max(most, growth);
  }
  if (widened == 0) return std::nullopt;
  return fmt::format(
      "{} of {} 8-bit ranges have a zero point, which TensorRT has none of: they go into symmetric ones, whose steps are up to {:.2f} times as "
      "large; `vitrail quantize --symmetric` chooses ranges for that",
      widened, ranges, most);
}

}  // namespace vitrail
