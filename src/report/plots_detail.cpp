// SPDX-License-Identifier: Apache-2.0
// Plots of one run or one verification.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/chart.h"
#include "report/format.h"
#include "report/plots.h"

namespace vitrail::report {
namespace {

double quantile(const std::vector<double>& q, double share) {
  return q[static_cast<size_t>(std::lround(share * static_cast<double>(q.size() - 1)))];
}

// The end of a layer's name says more than its beginning, which many share.
std::string layer_label(const std::string& name, size_t most) {
  size_t begin = name.size(), count = 0;
  while (begin > 0 && count < most) {
    do --begin;
    while (begin > 0 && (static_cast<unsigned char>(name[begin]) & 0xC0) == 0x80);
    ++count;
  }
  return begin == 0 ? name : "…" + name.substr(begin);
}

}  // namespace

std::vector<double> histogram(const std::vector<double>& quantiles, double low, double high, size_t bins) {
  std::vector<double> out(bins, 0.0);
  if (quantiles.size() < 2 || bins == 0 || !(high > low)) return out;
  const double mass = 1.0 / static_cast<double>(quantiles.size() - 1),
               width = (high - low) / static_cast<double>(bins);
  // Between two quantiles the mass is spread evenly; equal quantiles are a point.
  for (size_t i = 0; i + 1 < quantiles.size(); ++i) {
    const double a = quantiles[i], b = quantiles[i + 1];
    for (size_t bin = 0; bin < bins; ++bin) {
      const double from = low + static_cast<double>(bin) * width, to = from + width;
      const bool last = bin + 1 == bins;
      if (b > a)
        out[bin] += mass * std::max(0.0, std::min(b, to) - std::max(a, from)) / (b - a);
      else if (a >= from && (a < to || (last && a <= high)))
        out[bin] += mass;
    }
  }
  return out;
}

std::string latency_plot(const Point& point) {
  const std::vector<double>& q = point.distribution_us;
  if (q.size() < 10) return "";
  constexpr double kWidth = 320, kHeight = 186, kLeft = 10, kRight = 310, kTop = 58, kBottom = 146;
  constexpr size_t kBins = 36;
  const double median = point.median_us / 1e3, p99 = point.p99_us.value_or(quantile(q, 0.99)) / 1e3;
  // The slowest hundredth may be far away and would squeeze all others into one bar.
  const std::vector<double> ticks =
      nice_ticks(q.front() / 1e3, std::max(quantile(q, 0.99) / 1e3, q.front() / 1e3 * 1.001), 4);
  const double low = ticks.front(), high = ticks.back();
  const Scale x{low, high, kLeft, kRight};
  std::vector<double> ms(q);
  for (double& v : ms) v /= 1e3;
  const std::vector<double> bars = histogram(ms, low, high, kBins);
  const double tallest = *std::ranges::max_element(bars);

  Svg svg(fmt::format("latency-{}", point.batch), kWidth, kHeight,
          fmt::format("Latency at batch {}", point.batch),
          fmt::format("Histogram of the latency: median {} ms, 99th percentile {} ms, greatest {} ms.",
                      number(median), number(p99), number(q.back() / 1e3)));
  svg.text(kLeft, 16, fmt::format("batch {}", point.batch), "heading");
  svg.text(kRight, 16, fmt::format("max {} ms", number(q.back() / 1e3)), "tick", Anchor::kEnd);
  const double width = (kRight - kLeft) / static_cast<double>(kBins);
  for (size_t i = 0; i < kBins; ++i) {
    if (tallest <= 0 || bars[i] <= 0) continue;
    const double height = std::max(bars[i] / tallest * (kBottom - kTop), 0.8);
    svg.rect(
        kLeft + static_cast<double>(i) * width + 0.5, kBottom - height, width - 1, height, "s0 fill",
        fmt::format("{} to {} ms: {} of the batches",
                    number(low + (high - low) / kBins * static_cast<double>(i), 4),
                    number(low + (high - low) / kBins * static_cast<double>(i + 1), 4), percent(bars[i], 1)));
  }
  svg.line(kLeft, kBottom, kRight, kBottom, "axis");
  // Median and p99 get a line of text each, so that they never meet.
  auto mark = [&](double value, double row, const char* name) {
    if (value < low || value > high) return;
    const std::string text = fmt::format("{} {}", name, number(value));
    const bool fits_right = x(value) + 5 + text_width(text) < kRight;
    svg.line(x(value), row - 9, x(value), kBottom, "mark");
    svg.text(fits_right ? x(value) + 5 : x(value) - 5, row, text, "note",
             fits_right ? Anchor::kStart : Anchor::kEnd);
  };
  mark(median, 36, "median");
  mark(p99, 51, "p99");
  for (size_t i = 0; i < ticks.size(); ++i) {
    const Anchor anchor = i == 0 ? Anchor::kStart : i + 1 == ticks.size() ? Anchor::kEnd : Anchor::kMiddle;
    svg.line(x(ticks[i]), kBottom, x(ticks[i]), kBottom + 4, "axis");
    svg.text(x(ticks[i]), kBottom + 17, tick_text(ticks[i]), "tick", anchor);
  }
  svg.text((kLeft + kRight) / 2, kBottom + 34, "latency, ms", "title", Anchor::kMiddle);
  return svg.str();
}

std::string time_plot(const std::string& id, const std::string& title, const std::vector<Layer>& layers,
                      size_t most) {
  if (layers.empty()) return "";
  constexpr double kWidth = 560, kRow = 22, kLeft = 176, kRight = 430;
  const size_t rows = std::min(layers.size(), most);
  double total = 0, longest = 0;
  for (const Layer& layer : layers) total += layer.median_us;
  for (size_t i = 0; i < rows; ++i) longest = std::max(longest, layers[i].median_us);
  if (total <= 0) return "";
  const Scale x{0, longest, kLeft, kRight};
  Svg svg(id, kWidth, static_cast<double>(rows) * kRow + 8, title,
          fmt::format("Bars of {} of {} entries, {} ms together; the longest takes {} ms.", rows,
                      layers.size(), milliseconds(total), milliseconds(longest)));
  for (size_t i = 0; i < rows; ++i) {
    const Layer& layer = layers[i];
    const double top = 4 + static_cast<double>(i) * kRow;
    const std::string value =
        fmt::format("{} ms · {}", milliseconds(layer.median_us), percent(layer.median_us / total, 1));
    svg.text(kLeft - 8, top + 15, layer_label(layer.name, 23), "label", Anchor::kEnd);
    svg.rect(kLeft, top + 3, std::max(x(layer.median_us) - kLeft, 1.0), kRow - 7, "s0 fill",
             fmt::format("{}{}{}: {}", layer.name, layer.op.empty() ? "" : ", ", layer.op, value));
    svg.text(x(layer.median_us) + 7, top + 15, value, "tick");
  }
  svg.line(kLeft, 2, kLeft, static_cast<double>(rows) * kRow + 6, "axis");
  return svg.str();
}

std::string error_plot(const Verification& v, size_t index) {
  std::vector<std::pair<std::string, double>> entries;
  auto add = [&](const Compared& c) {
    if (const auto error = c.max_scaled ? c.max_scaled : c.max_abs) entries.emplace_back(c.name, *error);
  };
  for (const Compared& stage : v.stages) add(stage);
  for (const Compared& output : v.outputs) add(output);
  constexpr size_t kMaxEntries = 400;
  if (entries.size() < 2 || entries.size() > kMaxEntries) return "";

  constexpr double kWidth = 1040;
  const Frame f{66, 14, kWidth - 14, 274};
  double least = 1e300, most = 0;
  for (const auto& [name, error] : entries) {
    if (error > 0) least = std::min(least, error);
    most = std::max(most, error);
  }
  if (most <= 0) return "";
  const double worst = most;
  if (v.max_scaled && *v.max_scaled > 0) {
    most = std::max(most, *v.max_scaled);
    least = std::min(least, *v.max_scaled);
  }
  const int low = static_cast<int>(std::floor(std::log10(least))),
            high = std::max(static_cast<int>(std::ceil(std::log10(most))), low + 1);
  std::vector<double> ticks;
  const int step = (high - low) / 9 + 1;
  for (int e = low; e <= high; e += step) ticks.push_back(std::pow(10, e));
  const Scale y{std::pow(10, low), std::pow(10, high), f.bottom, f.top, true};
  const Scale x{0, static_cast<double>(entries.size() - 1), f.left + 18, f.right - 18};

  Svg svg(fmt::format("errors-{}", index), kWidth, f.bottom + 50, "Error of every stage and output",
          fmt::format("Greatest error as a share of the greatest value, logarithmic, for {} stages and "
                      "outputs; the worst is "
                      "{:.2e}.",
                      entries.size(), worst));
  draw_y_axis(svg, f, y, ticks, "error / greatest value");
  if (v.max_scaled && *v.max_scaled > 0) {
    svg.line(f.left, y(*v.max_scaled), f.right, y(*v.max_scaled), "limit");
    svg.text(f.right - 4, y(*v.max_scaled) + 15, "tolerance", "note", Anchor::kEnd);
  }
  std::vector<std::pair<double, double>> line;
  for (size_t i = 0; i < entries.size(); ++i)
    line.emplace_back(x(static_cast<double>(i)), y(std::max(entries[i].second, std::pow(10, low))));
  svg.polyline(line, "s0 stroke strong");
  double free_from = -1e9;
  for (size_t i = 0; i < entries.size(); ++i) {
    const std::string& name = entries[i].first;
    svg.circle(line[i].first, line[i].second, 4, "s0 fill dot",
               fmt::format("{}: {:.2e}", name, entries[i].second));
    const std::string label = shortened(name.starts_with("block.") ? name.substr(6) : name, 12);
    const double half = text_width(label) / 2 + 4;
    const double at = std::clamp(line[i].first, half, kWidth - half);
    if (at - half < free_from) continue;
    free_from = at + half;
    svg.text(at, f.bottom + 18, label, "tick", Anchor::kMiddle);
  }
  draw_x_title(svg, f, "stage (numbers are blocks), then outputs");
  return svg.str();
}

}  // namespace vitrail::report
