// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace vitrail::reference {

// An input index and its share in an output.
struct ResizeTap {
  int64_t index;
  double weight;
};

// How one axis is resized, as ONNX Resize-19 defines it.
struct ResizeAxis {
  int64_t in = 0, out = 0;
  double scale = 1;
  double roi_start = 0, roi_end = 1;  // as shares of the axis
  double cubic = -0.75;
  bool active = false;  // an axis that the operator names
  bool antialias = false, exclude_outside = false;

  // False when one of the names is not known.
  bool set_mode(std::string_view mode, std::string_view coordinates, std::string_view rounding);
  bool is_nearest() const { return filter_ == Filter::kNearest; }
  bool crops() const { return coordinates_ == Coordinates::kCrop; }
  bool is_identity() const { return !active || (scale == 1 && in == out && !crops()); }

  // What output i is made of; empty for an output outside the cropped region, which takes the extrapolation
  // value.
  std::vector<ResizeTap> taps(int64_t i) const;

 private:
  enum class Filter { kNearest, kLinear, kCubic };
  enum class Coordinates { kHalfPixel, kPytorchHalfPixel, kSymmetric, kAlignCorners, kAsymmetric, kCrop };
  enum class Rounding { kPreferFloor, kPreferCeil, kFloor, kCeil };

  double position(int64_t i) const;  // of output i on the input axis
  int64_t nearest(double x) const;
  double weight(double distance) const;

  Filter filter_ = Filter::kNearest;
  Coordinates coordinates_ = Coordinates::kHalfPixel;
  Rounding rounding_ = Rounding::kPreferFloor;
};

}  // namespace vitrail::reference
