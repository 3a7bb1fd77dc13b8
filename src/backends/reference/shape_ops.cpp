// SPDX-License-Identifier: Apache-2.0
// Operators that look at shapes or change them without moving an element, and makers of constants.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "backends/reference/shapes.h"
#include "backends/reference/types.h"

namespace vitrail::reference {
namespace {

const Tensor* tensor_attribute(const Call& call, std::string_view name) {
  const auto it = call.node.attributes.find(name);
  return it == call.node.attributes.end() ? nullptr : std::get_if<Tensor>(&it->second);
}

// Puts the one element of `value` everywhere.
Result<Tensor> filled(const Call& call, const Tensor& value, const Shape& shape) {
  VTL_ASSIGN(Tensor y, make_output(call, value.dtype(), shape));
  const size_t size = dtype_size(value.dtype()), total = y.bytes();
  auto* out = static_cast<char*>(y.mutable_data());
  for (size_t at = 0; at < total; at += size) std::memcpy(out + at, value.data(), size);
  return y;
}

template <class T>
Result<Tensor> range_typed(const Call& call) {
  const T start = call.input(0).as<T>()[0], limit = call.input(1).as<T>()[0],
          delta = call.input(2).as<T>()[0];
  if (delta == 0 || delta != delta) return call.error("delta is {}", delta);
  int64_t count = 0;
  if (delta > 0 ? limit > start : limit < start) {
    if constexpr (std::is_floating_point_v<T>) {
      const double steps = std::ceil((static_cast<double>(limit) - static_cast<double>(start)) / delta);
      count = to_integer<int64_t>(steps);
    } else {
      const auto a = static_cast<uint64_t>(start), b = static_cast<uint64_t>(limit),
                 d = static_cast<uint64_t>(delta);
      const uint64_t span = delta > 0 ? b - a : a - b, step = delta > 0 ? d : uint64_t{0} - d;
      count = static_cast<int64_t>(std::min<uint64_t>((span - 1) / step + 1, INT64_MAX));
    }
  }
  VTL_ASSIGN(Tensor y, make_output(call, call.input(0).dtype(), {count}));
  const auto out = y.as_mutable<T>();
  using W = Wide<T>;
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<T>(W(start) + static_cast<W>(i) * W(delta));
  return y;
}

}  // namespace

Result<Tensor> constant(const Call& call) {
  if (const Tensor* value = tensor_attribute(call, "value")) return *value;
  for (const auto& [name, attribute] : call.node.attributes) {
    if (name == "value_int") return Tensor::i64({}, {call.node.integer(name, 0)});
    if (name == "value_float") return Tensor::f32({}, {call.node.real(name, 0)});
    if (const auto* ints = std::get_if<std::vector<int64_t>>(&attribute); ints && name == "value_ints")
      return Tensor::i64({static_cast<int64_t>(ints->size())}, *ints);
    if (const auto* floats = std::get_if<std::vector<float>>(&attribute); floats && name == "value_floats")
      return Tensor::f32({static_cast<int64_t>(floats->size())}, *floats);
  }
  return call.error("has none of the attributes value, value_int, value_ints, value_float, value_floats");
}

Result<Tensor> constant_of_shape(const Call& call) {
  VTL_ASSIGN(const Shape shape, read_integers(call, call.input(0)));
  const Tensor* value = tensor_attribute(call, "value");
  if (!value) return make_output(call, DType::kF32, shape);
  if (value->count() != 1 || value->empty())
    return call.error("value has {} elements, not one", value->count());
  return filled(call, *value, shape);
}

Result<Tensor> range(const Call& call) {
  for (size_t i = 0; i < 3; ++i) {
    const Tensor& t = call.input(i);
    if (t.count() != 1 || t.dtype() != call.input(0).dtype())
      return call.error("start, limit and delta must be scalars of one type; input {} is {} {}", i,
                        dtype_name(t.dtype()), to_string(t.shape()));
  }
  return with_number(call, call.input(0).dtype(), [&]<class T>() { return range_typed<T>(call); });
}

Result<Tensor> shape(const Call& call) {
  const Shape& in = call.input(0).shape();
  const auto rank = static_cast<int64_t>(in.size());
  auto bound = [&](int64_t v) { return std::clamp<int64_t>(v < 0 ? v + rank : v, 0, rank); };
  const int64_t start = bound(call.node.integer("start", 0)), end = bound(call.node.integer("end", rank));
  Shape part;
  for (int64_t i = start; i < end; ++i) part.push_back(in[static_cast<size_t>(i)]);
  return Tensor::i64({static_cast<int64_t>(part.size())}, part);
}

Result<Tensor> size(const Call& call) { return Tensor::i64({}, {call.input(0).count()}); }

// The target comes as input 1, or as attribute `shape` of a Reshape with one input (a pass has folded it).
Result<Tensor> reshape(const Call& call) {
  const Tensor& x = call.input(0);
  Shape target = call.node.integers("shape");
  if (const Tensor* given = call.optional(1)) {
    VTL_ASSIGN(target, read_integers(call, *given));
  } else if (!call.node.has("shape")) {
    return call.error("has neither a shape input nor a shape attribute");
  }
  const bool allow_zero = call.node.integer("allowzero", 0) != 0;
  size_t unknown = target.size();
  for (size_t i = 0; i < target.size(); ++i) {
    if (target[i] == 0 && !allow_zero && i < x.rank()) target[i] = x.dim(i);
    if (target[i] == -1 && unknown == target.size()) unknown = i, target[i] = 1;
  }
  VTL_ASSIGN(const int64_t known, checked_count(call, target));
  const int64_t count = x.count();
  if (unknown < target.size()) target[unknown] = known > 0 ? count / known : 0;
  VTL_ASSIGN(const int64_t total, checked_count(call, target));
  if (total != count)
    return call.error("{} has {} elements and does not fit {}", to_string(x.shape()), count,
                      to_string(target));
  return x.reshaped(target);
}

Result<Tensor> flatten(const Call& call) {
  const Tensor& x = call.input(0);
  const auto rank = static_cast<int64_t>(x.rank());
  int64_t axis = call.node.integer("axis", 1);
  if (axis < -rank || axis > rank) return call.error("axis {} is outside [-{}, {}]", axis, rank, rank);
  if (axis < 0) axis += rank;
  Shape out{1, 1};
  for (int64_t i = 0; i < rank; ++i) out[i < axis ? 0 : 1] *= x.dim(static_cast<size_t>(i));
  return x.reshaped(out);
}

Result<Tensor> squeeze(const Call& call) {
  const Tensor& x = call.input(0);
  const Tensor* given = call.optional(1);
  std::vector<int64_t> axes;
  if (given) {
    VTL_ASSIGN(axes, read_integers(call, *given));
  }
  VTL_ASSIGN(const std::vector<bool> marked, mark_axes(call, axes, x.rank()));
  Shape out;
  for (size_t i = 0; i < x.rank(); ++i) {
    const bool drop = given ? marked[i] : x.dim(i) == 1;
    if (drop && x.dim(i) != 1) return call.error("axis {} of {} is not 1", i, to_string(x.shape()));
    if (!drop) out.push_back(x.dim(i));
  }
  return x.reshaped(out);
}

Result<Tensor> unsqueeze(const Call& call) {
  const Tensor& x = call.input(0);
  VTL_ASSIGN(const std::vector<int64_t> axes, read_integers(call, call.input(1)));
  VTL_ASSIGN(const std::vector<bool> added, mark_axes(call, axes, x.rank() + axes.size()));
  Shape out;
  size_t next = 0;
  for (bool is_new : added) out.push_back(is_new ? 1 : x.dim(next++));
  return x.reshaped(out);
}

Result<Tensors> dropout(const Call& call) {
  const Tensor& x = call.input(0);
  const Tensor *ratio = call.optional(1), *training = call.optional(2);
  const bool drops =
      !ratio || ratio->dtype() != DType::kF32 || ratio->count() != 1 || ratio->as<float>()[0] != 0;
  if (training && training->count() > 0 && *static_cast<const uint8_t*>(training->data()) && drops)
    return call.error("training_mode is on; export the model for inference");
  Tensors outputs{x};
  if (call.node.outputs.size() < 2) return outputs;
  Tensor yes(DType::kBool, {});
  yes.as_mutable<uint8_t>()[0] = 1;
  VTL_ASSIGN(Tensor mask, filled(call, yes, x.shape()));
  outputs.push_back(std::move(mask));
  return outputs;
}

}  // namespace vitrail::reference
