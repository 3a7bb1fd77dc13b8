// SPDX-License-Identifier: Apache-2.0
// What a report says of quantized models.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "report/chart.h"
#include "report/format.h"
#include "report/plots.h"
#include "report/render.h"
#include "report/table.h"

namespace vitrail::report {
namespace {

std::string cosine_text(const std::optional<double>& cosine) {
  return cosine ? fmt::format("{:.6f}", *cosine) : "–";
}

std::string share_text(const std::optional<double>& share) { return share ? percent(*share, 2) : "–"; }

}  // namespace

Table comparison_table(const Comparison& c) {
  Table table{"comparison",
              "Quantized models",
              fmt::format("Against the float model on {} samples of {}.", c.samples, c.dataset),
              {"model", "MiB", "integer products", "same top-1", "cosine", "least cosine", "accuracy", "points"},
              {},
              -1};
  for (size_t i = 0; i < c.models.size(); ++i) {
    const ComparedModel& m = c.models[i];
    const auto base = c.models[0].accuracy;
    const bool reference = i == 0;
    table.rows.push_back(
        {std::filesystem::path(m.file).filename().string(), mebibytes(m.bytes),
         fmt::format("{} of {}", m.integer_products, m.products), reference ? "–" : share_text(m.top1),
         reference ? "–" : cosine_text(m.cosine), reference ? "–" : cosine_text(m.min_cosine), share_text(m.accuracy),
         !reference && m.accuracy && base ? fmt::format("{:+.2f}", (*m.accuracy - *base) * 100) : "–"});
  }
  return table;
}

Table quantization_table(const Quantization& q) {
  Table table{"quantization",
              "Layers",
              "The most sensitive first; loss is 1 − cosine of the outputs with this layer alone in 8 bits.",
              {"layer", "precision", "multiply-adds", "loss alone", "input from", "to", "smoothing", "reason"},
              {},
              -1};
  std::vector<QuantizedLayer> layers = q.layers;
  std::ranges::stable_sort(layers, [](const QuantizedLayer& a, const QuantizedLayer& b) {
    return a.loss.value_or(-1) > b.loss.value_or(-1);
  });
  const auto real = [](const std::optional<double>& v) { return v ? fmt::format("{:.3g}", *v) : "–"; };
  for (const QuantizedLayer& l : layers)
    table.rows.push_back({l.name, l.precision, percent(l.share, 1), scientific(l.loss), real(l.input_low),
                          real(l.input_high), l.smoothing && *l.smoothing > 0 ? real(l.smoothing) : "–",
                          l.reason.empty() ? "–" : l.reason});
  return table;
}

std::string verdict(const Quantization& q) {
  const auto int8 = std::ranges::count(q.layers, std::string("int8"), &QuantizedLayer::precision);
  double share = 0;
  for (const QuantizedLayer& l : q.layers) share += l.precision == "int8" ? l.share : 0;
  std::string text = fmt::format("{} of {} products in int8 ({} of the multiply-adds), ranges by {}{}", int8,
                                 q.layers.size(), percent(share, 1), q.method, q.smooth ? " with smoothing" : "");
  if (q.top1) text += fmt::format("; top-1 as before on {}", percent(*q.top1, 2));
  text += fmt::format("; cosine {} on {} samples of the calibration set (all in 8 bits: {})", cosine_text(q.cosine),
                      q.samples, cosine_text(q.all_cosine));
  if (q.output_bytes > 0) text += fmt::format("; {} → {} MiB", mebibytes(q.model_bytes), mebibytes(q.output_bytes));
  return text + (q.met ? "." : "; the bounds that were asked for are missed.");
}

std::string sensitivity_plot(const Quantization& q, size_t index) {
  std::vector<const QuantizedLayer*> layers;
  double least = 1, most = 0;
  for (const QuantizedLayer& l : q.layers) {
    if (!l.loss) continue;
    layers.push_back(&l);
    most = std::max(most, *l.loss);
    if (*l.loss > 0) least = std::min(least, *l.loss);
  }
  constexpr size_t kMaxLayers = 400;
  if (layers.size() < 2 || layers.size() > kMaxLayers || most <= 0) return "";
  constexpr double kWidth = 1040;
  const Frame f{66, 14, kWidth - 14, 254};
  const int low = static_cast<int>(std::floor(std::log10(least))),
            high = std::max(static_cast<int>(std::ceil(std::log10(most))), low + 1);
  std::vector<double> ticks;
  for (int e = low; e <= high; e += (high - low) / 9 + 1) ticks.push_back(std::pow(10, e));
  const Scale y{std::pow(10, low), std::pow(10, high), f.bottom, f.top, true};
  const Scale x{0, static_cast<double>(layers.size() - 1), f.left + 18, f.right - 18};
  Svg svg(fmt::format("sensitivity-{}", index), kWidth, f.bottom + 46, "Sensitivity of every layer",
          fmt::format("1 - cosine of the outputs with one layer in 8 bits, logarithmic, for {} layers; the worst is "
                      "{:.1e}.",
                      layers.size(), most));
  draw_y_axis(svg, f, y, ticks, "loss alone");
  double free_from = -1e9;
  for (size_t i = 0; i < layers.size(); ++i) {
    const double at = x(static_cast<double>(i)), top = y(std::max(*layers[i]->loss, std::pow(10, low)));
    const bool kept = layers[i]->precision != "int8";
    svg.line(at, f.bottom, at, top, kept ? "mark" : "axis");
    svg.circle(at, top, kept ? 6 : 4, kept ? "s1 stroke strong" : "s0 fill dot",
               fmt::format("{}: {:.1e}, {}", layers[i]->name, *layers[i]->loss, layers[i]->precision));
    if (!kept) continue;
    const std::string label = shortened(layers[i]->name, 28);
    const bool left = at + 9 + text_width(label) > f.right;
    if (!left && at < free_from) continue;
    svg.text(left ? at - 9 : at + 9, top + 4, label, "note", left ? Anchor::kEnd : Anchor::kStart);
    free_from = at + 9 + text_width(label);
  }
  draw_x_title(svg, f, "layers in the order of the network");
  return svg.str();
}

}  // namespace vitrail::report
