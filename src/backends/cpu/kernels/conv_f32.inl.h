// SPDX-License-Identifier: Apache-2.0

// A run of outputs in one row of the output grid, for the lanes [lane, lane + length) of a panel.
struct Segment {
  int64_t lane, length, y, x;
};

// What one tap reads for a vector of a panel: lanes [low, high) from `at` on, counted in floats from the channel.
struct Piece {
  int64_t at, low, high;
};

// The inputs that tap (offset_y, offset_x) gives to each output, for all channels: rows `step` floats apart.
inline void gather_tap(const TapArgs& a, const Segment* segments, int64_t count, int64_t offset_y, int64_t offset_x,
                       int64_t step, float* out) {
  const int64_t plane = a.height * a.width;
  for (int64_t v = 0; v < kPanel; v += kWidth) {
    Piece pieces[kPanel];
    int64_t found = 0;
    for (int64_t i = 0; i < count; ++i) {
      const Segment& s = segments[i];
      const int64_t y = s.y * a.y.stride + offset_y;
      if (y < 0 || y >= a.height) continue;
      const int64_t x = s.x * a.x_axis.stride + offset_x;  // of the segment's first lane
      const int64_t first = s.lane + (x < 0 ? -x : 0) - v;
      const int64_t last = s.lane + (s.length < a.width - x ? s.length : a.width - x) - v;
      const int64_t low = first > 0 ? first : 0;
      const int64_t high = last < kWidth ? last : kWidth;
      if (low < high) pieces[found++] = {y * a.width + x + v - s.lane, low, high};
    }
    for (int64_t c = 0; c < a.channels; ++c) {
      Vec sum = broadcast(0.0f);
      for (int64_t i = 0; i < found; ++i) {
        sum = sum + load_lanes(a.x + c * plane + pieces[i].at, pieces[i].low, pieces[i].high);
      }
      store(out + c * step + v, sum);
    }
  }
}

// The same for any stride between the inputs of adjacent outputs, lane by lane.
inline void gather_tap_strided(const TapArgs& a, const Segment* segments, int64_t count, int64_t offset_y,
                               int64_t offset_x, int64_t step, float* out) {
  constexpr int64_t kOutside = -1;
  int64_t at[kPanel];
  for (int64_t& place : at) place = kOutside;
  for (int64_t i = 0; i < count; ++i) {
    const Segment& s = segments[i];
    const int64_t y = s.y * a.y.stride + offset_y;
    if (y < 0 || y >= a.height) continue;
    for (int64_t l = 0; l < s.length; ++l) {
      const int64_t x = (s.x + l) * a.x_axis.stride + offset_x;
      if (x >= 0 && x < a.width) at[s.lane + l] = y * a.width + x;
    }
  }
  for (int64_t c = 0; c < a.channels; ++c) {
    const float* channel = a.x + c * a.height * a.width;
    for (int64_t lane = 0; lane < kPanel; ++lane) {
      out[c * step + lane] = at[lane] == kOutside ? 0.0f : channel[at[lane]];
    }
  }
}

inline void gather_taps(const TapArgs& a) {
  float* out = a.panels;
  for (int64_t done = 0; done < a.count; done += kPanel) {
    const int64_t lanes = a.count - done < kPanel ? a.count - done : kPanel;
    Segment segments[kPanel];
    int64_t count = 0;
    for (int64_t lane = 0; lane < lanes;) {
      const int64_t pixel = a.first + done + lane;
      const int64_t x = pixel % a.x_axis.outputs;
      const int64_t left = a.x_axis.outputs - x;
      const int64_t length = left < lanes - lane ? left : lanes - lane;
      segments[count++] = {lane, length, pixel / a.x_axis.outputs, x};
      lane += length;
    }
    const int64_t taps = a.y.taps * a.x_axis.taps;
    const auto gather = a.x_axis.stride == 1 ? gather_tap : gather_tap_strided;
    for (int64_t t = 0; t < taps; ++t) {
      const int64_t offset_y = a.y.offset + t / a.x_axis.taps * a.y.offset_step;
      const int64_t offset_x = a.x_axis.offset + t % a.x_axis.taps * a.x_axis.offset_step;
      gather(a, segments, count, offset_y, offset_x, taps * kPanel, out + t * kPanel);
    }
    out += a.channels * taps * kPanel;
  }
}
