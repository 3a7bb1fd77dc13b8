// SPDX-License-Identifier: Apache-2.0
#include "report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "report/format.h"

namespace vitrail::report {
namespace {

const char* name(Anchor anchor) {
  return anchor == Anchor::kStart ? "start" : anchor == Anchor::kMiddle ? "middle" : "end";
}

// Closes a shape, with its tooltip inside if there is one.
std::string close(const char* tag, std::string_view tooltip) {
  return tooltip.empty() ? "/>\n" : fmt::format("><title>{}</title></{}>\n", xml(tooltip), tag);
}

}  // namespace

Svg::Svg(std::string id, double width, double height, std::string_view title, std::string_view description)
    : body_(fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:g} {1:g}\" role=\"img\" "
                        "aria-labelledby=\"{2}-title {2}-desc\">\n<title id=\"{2}-title\">{3}</title>\n"
                        "<desc id=\"{2}-desc\">{4}</desc>\n",
                        width, height, xml(id), xml(title), xml(description))) {}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view classes) {
  body_ += fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n",
                       classes, x1, y1, x2, y2);
}

void Svg::rect(double x, double y, double width, double height, std::string_view classes,
               std::string_view tooltip) {
  body_ += fmt::format("<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"",
                       classes, x, y, std::max(width, 0.0), std::max(height, 0.0)) +
           close("rect", tooltip);
}

void Svg::circle(double x, double y, double radius, std::string_view classes, std::string_view tooltip) {
  body_ +=
      fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\"", classes, x, y, radius) +
      close("circle", tooltip);
}

void Svg::polyline(const std::vector<std::pair<double, double>>& points, std::string_view classes) {
  body_ += fmt::format("<polyline class=\"{}\" points=\"", classes);
  for (const auto& [x, y] : points) body_ += fmt::format("{:.1f},{:.1f} ", x, y);
  body_ += "\"/>\n";
}

void Svg::text(double x, double y, std::string_view content, std::string_view classes, Anchor anchor) {
  body_ += fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", classes,
                       x, y, name(anchor), xml(content));
}

void Svg::vertical_text(double x, double y, std::string_view content, std::string_view classes) {
  body_ += fmt::format(
      "<text class=\"{}\" transform=\"translate({:.1f} {:.1f}) rotate(-90)\" "
      "text-anchor=\"middle\">{}</text>\n",
      classes, x, y, xml(content));
}

double text_width(std::string_view text) { return 6.6 * static_cast<double>(characters(text)); }

double Scale::operator()(double value) const {
  auto position = [&](double v) { return logarithmic ? std::log(v) : v; };
  const double span = position(high) - position(low);
  const double share = span > 0 ? (position(value) - position(low)) / span : 0.5;
  return from + share * (to - from);
}

std::vector<double> nice_ticks(double low, double high, int count) {
  if (!(high > low)) high = low + (low == 0 ? 1 : std::abs(low) * 0.1);
  const double raw = (high - low) / std::max(count - 1, 1);
  const double power = std::pow(10, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (double m : {1.0, 2.0, 2.5, 5.0}) {
    if (m * power >= raw * 0.999) {
      step = m * power;
      break;
    }
  }
  std::vector<double> ticks;
  const double first = std::floor(low / step + 1e-9);
  for (int i = 0; i < 100; ++i) {
    ticks.push_back((first + i) * step);
    if (ticks.back() >= high - step * 1e-9) break;
  }
  return ticks;
}

std::string power_of_ten(int exponent) {
  static constexpr std::array<const char*, 10> kDigits = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string text = exponent < 0 ? "10⁻" : "10";
  for (char c : std::to_string(std::abs(exponent))) text += kDigits[static_cast<size_t>(c - '0')];
  return text;
}

}  // namespace vitrail::report
