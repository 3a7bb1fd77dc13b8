// SPDX-License-Identifier: Apache-2.0
#include "report/chart.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

#include "report/format.h"

namespace vitrail::report {
namespace {

constexpr double kLegendRow = 20;
constexpr size_t kLegendCharacters = 34;

// Calls place(series, column x, row) for each entry, in lines no wider than `width`; returns the number of
// rows.
template <class F>
int lay_out_legend(const std::vector<Series>& series, double width, F&& place) {
  double x = 0;
  int row = 0;
  for (const Series& s : series) {
    const double entry = 34 + text_width(shortened(s.run->label, kLegendCharacters));
    if (x > 0 && x + entry > width) {
      x = 0;
      ++row;
    }
    place(s, x, row);
    x += entry;
  }
  return row + 1;
}

}  // namespace

std::vector<Series> series_of(const Data& data, const Recommendation& recommendation) {
  std::vector<Series> out;
  auto add = [&](const Run& run) {
    if (out.size() < kMaxSeries && !run.points.empty()) out.push_back({&run, fmt::format("s{}", out.size())});
  };
  if (recommendation.run) add(data.runs[*recommendation.run]);
  for (size_t i = 0; i < data.runs.size(); ++i) {
    if (recommendation.run != i) add(data.runs[i]);
  }
  return out;
}

std::vector<int64_t> batches_of(const std::vector<Series>& series) {
  std::set<int64_t> batches;
  for (const Series& s : series)
    for (const Point& p : s.run->points) batches.insert(p.batch);
  return {batches.begin(), batches.end()};
}

int legend_rows(const std::vector<Series>& series, double width) {
  return lay_out_legend(series, width, [](const Series&, double, int) {});
}

void draw_legend(Svg& svg, const std::vector<Series>& series, double x, double y, double width) {
  lay_out_legend(series, width, [&](const Series& s, double column, int row) {
    const double top = y + row * kLegendRow;
    svg.rect(x + column, top, 11, 11, s.color + " fill swatch");
    svg.text(x + column + 17, top + 10, shortened(s.run->label, kLegendCharacters), "label");
  });
}

void draw_y_axis(Svg& svg, const Frame& f, const Scale& y, const std::vector<double>& ticks,
                 const std::string& title) {
  for (double tick : ticks) {
    svg.line(f.left, y(tick), f.right, y(tick), tick == ticks.front() ? "axis" : "grid");
    svg.text(f.left - 8, y(tick) + 4,
             y.logarithmic ? power_of_ten(static_cast<int>(std::lround(std::log10(tick)))) : tick_text(tick),
             "tick", Anchor::kEnd);
  }
  svg.vertical_text(13, (f.top + f.bottom) / 2, title, "title");
}

void draw_x_title(Svg& svg, const Frame& f, const std::string& title) {
  svg.text((f.left + f.right) / 2, f.bottom + 38, title, "title", Anchor::kMiddle);
}

}  // namespace vitrail::report
