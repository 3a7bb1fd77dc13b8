// SPDX-License-Identifier: Apache-2.0
// Plots over batch sizes.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/chart.h"
#include "report/format.h"
#include "report/plots.h"

namespace vitrail::report {
namespace {

constexpr double kWidth = 560, kPlotHeight = 260, kLegendRow = 20;

Frame frame_below_legend(int rows) {
  const double top = 14 + rows * kLegendRow;
  return {66, top, kWidth - 14, top + kPlotHeight};
}

}  // namespace

std::string throughput_plot(const Data& data, const Recommendation& recommendation) {
  const std::vector<Series> series = series_of(data, recommendation);
  const std::vector<int64_t> batches = batches_of(series);
  if (batches.empty()) return "";
  const Frame f = frame_below_legend(legend_rows(series, kWidth - 10));
  double most = 0;
  for (const Series& s : series)
    for (const Point& p : s.run->points) most = std::max(most, p.images_per_second);
  const std::vector<double> ticks = nice_ticks(0, most, 6);
  const Scale y{0, ticks.back(), f.bottom, f.top};
  const Scale x{static_cast<double>(batches.front()), static_cast<double>(batches.back()), f.left + 22,
                f.right - 22, true};

  Svg svg("throughput", kWidth, f.bottom + 50, "Throughput against batch size",
          fmt::format("Images per second for batch sizes {} to {}, {} runs. {}", batches.front(),
                      batches.back(), series.size(), recommendation.headline));
  draw_legend(svg, series, 6, 2, kWidth - 10);
  draw_y_axis(svg, f, y, ticks, "images per second");
  double free_from = -1e9;
  for (int64_t b : batches) {
    const double at = x(static_cast<double>(b)), half = text_width(std::to_string(b)) / 2 + 3;
    if (at - half < free_from) continue;
    free_from = at + half;
    svg.text(at, f.bottom + 18, std::to_string(b), "tick", Anchor::kMiddle);
  }
  draw_x_title(svg, f, "batch size (logarithmic)");

  if (recommendation.run) {
    const double at = x(static_cast<double>(recommendation.batch));
    svg.line(at, f.top, at, f.bottom, "mark");
  }
  for (auto s = series.rbegin(); s != series.rend(); ++s) {  // the recommended one on top
    std::vector<std::pair<double, double>> line;
    for (const Point& p : s->run->points)
      line.emplace_back(x(static_cast<double>(p.batch)), y(p.images_per_second));
    const bool first = &*s == &series.front();
    svg.polyline(line, s->color + (first ? " stroke strong" : " stroke"));
    for (size_t i = 0; i < line.size(); ++i)
      svg.circle(line[i].first, line[i].second, first ? 4.5 : 3.5, s->color + " fill dot",
                 fmt::format("{}, batch {}: {} images/s", s->run->label, s->run->points[i].batch,
                             number(s->run->points[i].images_per_second)));
  }
  if (recommendation.run) {
    const double at = x(static_cast<double>(recommendation.batch));
    const std::string text = fmt::format("recommended: {}", recommendation.batch);
    const bool fits_right = at + 8 + text_width(text) < f.right;
    svg.text(fits_right ? at + 6 : at - 6, f.bottom - 8, text, "note halo",
             fits_right ? Anchor::kStart : Anchor::kEnd);
  }
  return svg.str();
}

std::string memory_plot(const Data& data, const Recommendation& recommendation) {
  std::vector<Series> series = series_of(data, recommendation);
  const Memory& memory = memory_of(data);
  const auto bytes = [&](const Point& p) { return (p.*memory.bytes).value_or(0); };
  auto known = [&](const Point& p) { return bytes(p) > 0; };
  std::erase_if(series, [&](const Series& s) { return std::ranges::none_of(s.run->points, known); });
  std::vector<int64_t> batches = batches_of(series);
  if (batches.empty()) return "";
  if (batches.size() > 16) batches.resize(16);
  const Frame f = frame_below_legend(legend_rows(series, kWidth - 10));
  double most = 0;
  for (const Series& s : series)
    for (const Point& p : s.run->points) most = std::max(most, bytes(p) / (1 << 20));
  const std::vector<double> ticks = nice_ticks(0, most, 6);
  const Scale y{0, ticks.back(), f.bottom, f.top};

  Svg svg("memory", kWidth, f.bottom + 50, fmt::format("{} by batch size", memory.title),
          fmt::format("Mebibytes for batch sizes {} to {}, {} runs; the greatest is {} MiB.", batches.front(),
                      batches.back(), series.size(), number(most)));
  draw_legend(svg, series, 6, 2, kWidth - 10);
  draw_y_axis(svg, f, y, ticks, fmt::format("{}, MiB", memory.name));
  const double group = (f.right - f.left) / static_cast<double>(batches.size());
  const double bar = std::min(group * 0.76 / static_cast<double>(series.size()), 34.0);
  for (size_t b = 0; b < batches.size(); ++b) {
    const double middle = f.left + (static_cast<double>(b) + 0.5) * group;
    double left = middle - bar * static_cast<double>(series.size()) / 2;
    for (const Series& s : series) {
      if (const Point* p = s.run->at(batches[b]); p && known(*p)) {
        const double mib = bytes(*p) / (1 << 20);
        svg.rect(left + 1, y(mib), bar - 2, f.bottom - y(mib), s.color + " fill",
                 fmt::format("{}, batch {}: {} MiB", s.run->label, p->batch, number(mib)));
      }
      left += bar;
    }
    svg.text(middle, f.bottom + 18, std::to_string(batches[b]), "tick", Anchor::kMiddle);
  }
  draw_x_title(svg, f, "batch size");
  return svg.str();
}

}  // namespace vitrail::report
