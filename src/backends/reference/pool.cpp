// SPDX-License-Identifier: Apache-2.0
// MaxPool, AveragePool and GlobalAveragePool over any number of spatial axes.
#include <algorithm>

#include "backends/reference/shapes.h"
#include "backends/reference/types.h"
#include "backends/reference/window.h"

namespace vitrail::reference {
namespace {

template <class T>
T pool_max(const T* plane, const std::vector<int64_t>& taps) {
  T best =
      std::is_floating_point_v<T> ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
  for (int64_t at : taps)
    if (at >= 0 && (plane[at] > best || plane[at] != plane[at])) best = plane[at];
  return best;
}

template <class T>
T pool_mean(const T* plane, const std::vector<int64_t>& taps, int64_t divisor) {
  double sum = 0;
  for (int64_t at : taps)
    if (at >= 0) sum += static_cast<double>(plane[at]);
  return convert<T>(sum / static_cast<double>(divisor));
}

}  // namespace

Result<Tensor> pool(const Call& call) {
  const Tensor& x = call.input(0);
  VTL_ASSIGN(const Window w, make_window(call, x.shape(), call.node.integers("kernel_shape")));
  Shape shape{x.dim(0), x.dim(1)};
  shape.insert(shape.end(), w.output.begin(), w.output.end());
  VTL_ASSIGN(Tensor y, make_output(call, x.dtype(), shape));
  const bool max = call.node.op == Op::MaxPool,
             count_padding = call.node.integer("count_include_pad", 0) != 0;
  const int64_t planes = x.dim(0) * x.dim(1), pixels = w.pixels(), plane = element_count(w.input);
  std::vector<int64_t> taps(static_cast<size_t>(w.taps()));
  auto run = [&]<class T>() -> Result<Tensor> {
    const T* in = x.as<T>().data();
    T* out = y.as_mutable<T>().data();
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      const int64_t reachable = w.offsets(pixel, taps.data());
      const int64_t inside = std::count_if(taps.begin(), taps.end(), [](int64_t at) { return at >= 0; });
      for (int64_t p = 0; p < planes; ++p)
        out[p * pixels + pixel] = max ? pool_max(in + p * plane, taps)
                                      : pool_mean(in + p * plane, taps, count_padding ? reachable : inside);
    }
    return y;
  };
  return max ? with_number(call, x.dtype(), run) : with_float(call, x.dtype(), run);
}

Result<Tensor> global_average_pool(const Call& call) {
  const Tensor& x = call.input(0);
  if (x.rank() < 3) return call.error("needs [N,C,spatial…], got {}", to_string(x.shape()));
  Shape shape(x.rank(), 1);
  shape[0] = x.dim(0), shape[1] = x.dim(1);
  VTL_ASSIGN(Tensor y, make_output(call, x.dtype(), shape));
  const int64_t plane = element_count(Shape(x.shape().begin() + 2, x.shape().end()));
  return with_float(call, x.dtype(), [&]<class T>() -> Result<Tensor> {
    const T* in = x.as<T>().data();
    for (T& mean : y.as_mutable<T>()) {
      double sum = 0;
      for (int64_t i = 0; i < plane; ++i) sum += static_cast<double>(*in++);
      mean = static_cast<T>(sum / static_cast<double>(plane));
    }
    return y;
  });
}

}  // namespace vitrail::reference
