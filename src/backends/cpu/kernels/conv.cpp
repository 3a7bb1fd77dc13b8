// SPDX-License-Identifier: Apache-2.0
// Convolutions as products: weights [M/g][K] times the inputs that each output sees [K][pixels], gathered
// strip by strip. A transposed convolution of stride s is s*s ordinary ones, each writing every s-th output.
#include <algorithm>
#include <numeric>

#include "backends/cpu/kernels/depthwise.h"
#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/table.h"

namespace vitrail::cpu {
namespace {

// The kernel's taps that one phase uses: first, first + step, …
struct Phase {
  int64_t first, step;
  Axis axis;
};

Phase plain_phase(int64_t kernel, int64_t stride, int64_t pad, int64_t dilation, int64_t outputs) {
  return {0, 1, {kernel, outputs, stride, -pad, dilation, 0, 1}};
}

// Output o = i * stride - pad + tap * dilation, so phase r = o mod stride meets the taps with
// (r + pad - tap * dilation) mod stride == 0.
Phase transposed_phase(int64_t r, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation,
                       int64_t outputs) {
  const int64_t step = stride / std::gcd(stride, dilation);
  int64_t first = 0;
  while (first < step && (r + pad - first * dilation) % stride != 0) ++first;
  const bool meets = first < step && first < kernel;
  Axis axis{};
  axis.taps = meets ? (kernel - 1 - first) / step + 1 : 0;
  axis.outputs = outputs > r ? ceil_div(outputs - r, stride) : 0;
  axis.stride = 1;
  axis.offset = meets ? (r + pad - first * dilation) / stride : 0;
  axis.offset_step = -step * dilation / stride;
  axis.out_first = r;
  axis.out_step = stride;
  return {first, step, axis};
}

Phase phase_y(const ConvArgs& a, int64_t r) {
  return transposed_phase(r, a.kh, a.sh, a.pad_top, a.dh, a.out_height);
}
Phase phase_x(const ConvArgs& a, int64_t r) {
  return transposed_phase(r, a.kw, a.sw, a.pad_left, a.dw, a.out_width);
}

struct Sizes {
  int64_t rows;                            // output channels of a group
  int64_t channels;                        // input channels of a group
  int64_t k;                               // at most
  int64_t weights, panels, partial, tile;  // floats
  explicit Sizes(const ConvArgs& a)
      : rows(a.out_channels / a.groups),
        channels(a.in_channels / a.groups),
        k(channels * a.kh * a.kw),
        weights(round_up(a.out_channels * k, kPanel)),
        panels(k * kWidestStrip),
        partial(k > kDepth ? rows * kWidestStrip : 0),
        tile(rows * kWidestStrip) {}
  int64_t per_thread() const { return panels + partial + tile; }
};

// Weights [groups][rows][k] to blocks of rows.
void pack_weights(const Kernels& kernels, const ConvArgs& args, const float* weights, int64_t k, float* packed) {
  const int64_t rows = args.out_channels / args.groups;
  const Blocks cut(rows, kernels.block);
  for (int64_t group = 0; group < args.groups; ++group)
    for (int64_t i = 0; i < cut.count; ++i) {
      const int64_t at = (group * rows + cut.start(i)) * k;
      kernels.pack_rows(weights + at, k, cut.size(i), k, 1.0f, cut.size(i), packed + at);
    }
}

// Calls body(y, x, offset) for each phase of a transposed convolution; its weights lie `offset` floats from the first.
template <class Body>
void for_each_phase(const ConvArgs& args, const Body& body) {
  int64_t offset = 0;
  for (int64_t ry = 0; ry < args.sh; ++ry)
    for (int64_t rx = 0; rx < args.sw; ++rx) {
      const Phase y = phase_y(args, ry), x = phase_x(args, rx);
      body(y, x, offset);
      offset += args.out_channels * (args.in_channels / args.groups) * y.axis.taps * x.axis.taps;
    }
}

// All outputs of one phase. `packed` comes from pack_weights.
void run_phase(const Kernels& kernels, ThreadPool& pool, const ConvArgs& args, const Axis& y, const Axis& x,
               const float* packed, float* scratch) {
  const Sizes sizes(args);
  const int64_t k = sizes.channels * y.taps * x.taps;
  const int64_t pixels = y.outputs * x.outputs;
  const int64_t strips = ceil_div(pixels, kernels.strip);
  const int64_t plane = args.out_height * args.out_width;
  const bool in_place = x.out_step == 1 && y.out_step == 1;
  pool.parallel_for(args.batch * args.groups * strips, [&](int64_t task, int thread) {
    const int64_t image = task / strips;  // batch entry and group
    const int64_t group = image % args.groups;
    const int64_t first = task % strips * kernels.strip;
    float* panels = scratch + thread * sizes.per_thread();
    float* tile = panels + sizes.panels + sizes.partial;
    const int64_t count = std::min(kernels.strip, pixels - first);
    kernels.gather_taps({args.x + image * sizes.channels * args.height * args.width, sizes.channels,
                         args.height, args.width, y, x, first, count, panels});
    float* out = args.out + image * sizes.rows * plane;
    StripArgs s;
    s.a = packed + group * sizes.rows * k;
    s.rows = sizes.rows;
    s.k = k;
    s.b = panels;
    s.cols = count;
    s.partial = panels + sizes.panels;
    s.epilogue.row_bias = args.bias ? args.bias + group * sizes.rows : nullptr;
    s.epilogue.c = in_place ? out + first : tile;
    s.epilogue.ldc = in_place ? plane : kernels.strip;
    s.epilogue.activation = args.activation;
    kernels.gemm_strip(s);
    if (in_place) return;
    for (int64_t done = 0; done < count;) {
      const int64_t column = (first + done) % x.outputs;
      const int64_t length = std::min(x.outputs - column, count - done);
      const int64_t row = y.out_first + (first + done) / x.outputs * y.out_step;
      float* to = out + row * args.out_width + x.out_first + column * x.out_step;
      for (int64_t r = 0; r < sizes.rows; ++r) {
        const float* from = tile + r * kernels.strip + done;
        for (int64_t i = 0; i < length; ++i) to[r * plane + i * x.out_step] = from[i];
      }
      done += length;
    }
  });
}

}  // namespace

size_t conv_scratch_floats(const ConvArgs& args, int threads) {
  if (is_depthwise(args)) return static_cast<size_t>(threads * depthwise_floats(args));
  return conv_transpose_scratch_floats(args, threads);
}

void pack_conv(const Kernels& kernels, const ConvArgs& args, float* packed) {
  pack_weights(kernels, args, args.weights, Sizes(args).k, packed);
}

void conv(const Kernels& kernels, ThreadPool& pool, const ConvArgs& args, float* scratch) {
  if (is_depthwise(args)) return depthwise(kernels, pool, args, scratch);
  const Phase y = plain_phase(args.kh, args.sh, args.pad_top, args.dh, args.out_height);
  const Phase x = plain_phase(args.kw, args.sw, args.pad_left, args.dw, args.out_width);
  const float* packed = args.packed;
  if (!packed) {
    pack_conv(kernels, args, scratch);
    packed = scratch;
    scratch += Sizes(args).weights;
  }
  run_phase(kernels, pool, args, y.axis, x.axis, packed, scratch);
}

size_t conv_transpose_scratch_floats(const ConvArgs& args, int threads) {
  const Sizes sizes(args);
  return static_cast<size_t>((args.packed ? 0 : sizes.weights) + threads * sizes.per_thread());
}

void pack_conv_transpose(const Kernels& kernels, const ConvArgs& args, float* packed) {
  for_each_phase(args, [&](const Phase& y, const Phase& x, int64_t offset) {
    const int64_t k = Sizes(args).channels * y.axis.taps * x.axis.taps;
    pack_weights(kernels, args, args.weights + offset, k, packed + offset);
  });
}

void conv_transpose(const Kernels& kernels, ThreadPool& pool, const ConvArgs& args, float* scratch) {
  const float* packed = args.packed;
  if (!packed) {
    pack_conv_transpose(kernels, args, scratch);
    packed = scratch;
    scratch += Sizes(args).weights;
  }
  for_each_phase(args, [&](const Phase& y, const Phase& x, int64_t offset) {
    run_phase(kernels, pool, args, y.axis, x.axis, packed + offset, scratch);
  });
}

void arrange_transposed(const ConvArgs& args, float* arranged) {
  const Sizes sizes(args);
  for_each_phase(args, [&](const Phase& y, const Phase& x, int64_t) {
    for (int64_t m = 0; m < args.out_channels; ++m) {
      const int64_t group = m / sizes.rows;
      for (int64_t c = 0; c < sizes.channels; ++c) {
        const float* kernel =
            args.weights + ((group * sizes.channels + c) * sizes.rows + m % sizes.rows) * args.kh * args.kw;
        for (int64_t ty = 0; ty < y.axis.taps; ++ty) {
          for (int64_t tx = 0; tx < x.axis.taps; ++tx) {
            *arranged++ = kernel[(y.first + ty * y.step) * args.kw + x.first + tx * x.step];
          }
        }
      }
    }
  });
}

}  // namespace vitrail::cpu
