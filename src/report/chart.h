// SPDX-License-Identifier: Apache-2.0
// What the charts over batch sizes share: frame, axes, legend, colours.
#pragma once

#include <string>
#include <vector>

#include "report/model.h"
#include "report/recommend.h"
#include "report/svg.h"

namespace vitrail::report {

inline constexpr size_t kMaxSeries = 8;  // colours of the style sheet

struct Series {
  const Run* run;
  std::string color;  // class
};

// The runs to draw, the recommended one first (its colour is always the same), at most kMaxSeries.
std::vector<Series> series_of(const Data& data, const Recommendation& recommendation);
std::vector<int64_t> batches_of(const std::vector<Series>& series);

// Rows that a legend of these labels takes in a drawing of this width, and the legend itself.
int legend_rows(const std::vector<Series>& series, double width);
void draw_legend(Svg& svg, const std::vector<Series>& series, double x, double y, double width);

struct Frame {
  double left, top, right, bottom;
};
// Grid lines and labels at the ticks of a vertical axis, and the axis' title beside it.
void draw_y_axis(Svg& svg, const Frame& frame, const Scale& y, const std::vector<double>& ticks,
                 const std::string& title);
void draw_x_title(Svg& svg, const Frame& frame, const std::string& title);

}  // namespace vitrail::report
