// SPDX-License-Identifier: Apache-2.0
// Drawing primitives. Colours and fonts come from the page's style sheet by class, so that one drawing suits
// a light and a dark page.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitrail::report {

enum class Anchor { kStart, kMiddle, kEnd };

class Svg {
 public:
  // `id` is unique in the page; title and description are for those who cannot see the drawing.
  Svg(std::string id, double width, double height, std::string_view title, std::string_view description);

  void line(double x1, double y1, double x2, double y2, std::string_view classes);
  void rect(double x, double y, double width, double height, std::string_view classes,
            std::string_view tooltip = "");
  void circle(double x, double y, double radius, std::string_view classes, std::string_view tooltip = "");
  void polyline(const std::vector<std::pair<double, double>>& points, std::string_view classes);
  void text(double x, double y, std::string_view content, std::string_view classes,
            Anchor anchor = Anchor::kStart);
  void vertical_text(double x, double y, std::string_view content,
                     std::string_view classes);  // read upwards, centred

  std::string str() const { return body_ + "</svg>\n"; }

 private:
  std::string body_;
};

// Width of text at the drawings' font size, roughly: enough to keep labels apart.
double text_width(std::string_view text);

// A linear or logarithmic map from values to coordinates.
struct Scale {
  double low = 0, high = 1;  // values; positive when logarithmic
  double from = 0, to = 1;   // coordinates
  bool logarithmic = false;
  double operator()(double value) const;
};

// Round numbers (1, 2, 2.5 or 5 × 10^n apart) that cover [low, high], about `count` of them. The first is at
// or below low and the last at or above high.
std::vector<double> nice_ticks(double low, double high, int count);
// "10⁻⁴"
std::string power_of_ten(int exponent);

}  // namespace vitrail::report
