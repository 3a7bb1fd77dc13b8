// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "graph/infer_context.h"

namespace vitrail::infer {
namespace {

// floor(extent * scale) in float32, as ONNX Runtime computes it. Extents in the batch take whole scales only.
std::optional<Dim> scaled(Dim extent, float scale) {
  if (!(scale > 0)) return std::nullopt;
  const float product = std::floor(static_cast<float>(extent.fixed) * scale);
  if (extent.is_fixed() && product <= static_cast<float>(kMaxElements))
    return Dim::of(static_cast<int64_t>(product));
  if (scale != std::floor(scale) || scale > static_cast<float>(kMaxWindow)) return std::nullopt;
  return multiply(extent, Dim::of(static_cast<int64_t>(scale)));
}

// An input that is left out, or empty as opset 11 writes it.
bool absent(Context& c, size_t i) { return !c.has(i) || (c.shape(i) && *c.shape(i) == SymShape{Dim{}}); }

}  // namespace

Status resize(Context& c) {
  if (!c.shape(0)) return c.set(0, c.dtype(0), std::nullopt);
  SymShape out = *c.shape(0);
  const std::string policy = c.node().text("keep_aspect_ratio_policy", "stretch");
  if (policy != "stretch")
    return c.error("keep_aspect_ratio_policy '{}' is not supported; give both sizes and use 'stretch'",
                   policy);
  auto named = c.node().integers("axes");
  VTL_TRY(c.axes(named, out.size()).status());
  if (named.empty())
    for (size_t i = 0; i < out.size(); ++i) named.push_back(static_cast<int64_t>(i));

  const bool by_size = !absent(c, 3);
  if (by_size == !absent(c, 2)) return c.error("it needs either scales or sizes");
  const auto sizes = by_size ? c.content(3) : std::nullopt;
  const auto scales = by_size ? std::vector<double>{} : c.reals(2);
  if (by_size ? !sizes.has_value() : scales.empty()) return c.set(0, c.dtype(0), std::nullopt);
  const size_t given = by_size ? sizes->size() : scales.size();
  if (given != named.size()) return c.error("it has {} sizes or scales for {} axes", given, named.size());
  for (size_t i = 0; i < given; ++i) {
    Dim& d = out[static_cast<size_t>(named[i] < 0 ? named[i] + std::ssize(out) : named[i])];
    const auto resized = by_size ? (*sizes)[i] : scaled(d, static_cast<float>(scales[i]));
    if (!resized) return c.error("extent {} cannot be scaled by {}", to_string(d), scales[i]);
    d = *resized;
  }
  return c.set(0, c.dtype(0), std::move(out));
}

}  // namespace vitrail::infer
