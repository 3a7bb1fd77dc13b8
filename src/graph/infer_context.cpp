// SPDX-License-Identifier: Apache-2.0
#include "graph/infer_context.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

namespace vitrail::infer {
namespace {

template <class T>
Content widened(const Tensor& tensor) {
  Content content;
  for (T v : tensor.as<T>()) content.push_back(Dim::of(static_cast<int64_t>(v)));
  return content;
}

std::optional<Content> constant_content(const Tensor& tensor) {
  if (tensor.rank() > 1 || tensor.count() > static_cast<int64_t>(kMaxContent)) return std::nullopt;
  switch (tensor.dtype()) {
    case DType::kI64:
      return widened<int64_t>(tensor);
    case DType::kI32:
      return widened<int32_t>(tensor);
    case DType::kBool:
    case DType::kU8:
      return widened<uint8_t>(tensor);
    default:
      return std::nullopt;
  }
}

// Refuses extents that turn negative at some N and counts that overflow. The bound holds for every partial
// product of both parts of the affine form, so element_count() of a shape that has passed never overflows.
bool sensible(const SymShape& shape) {
  if (shape.size() > kMaxRank) return false;
  int64_t bound = 1;
  for (Dim d : shape) {
    if (d.per_batch < 0 || d.per_batch > kMaxElements || d.fixed > kMaxElements || d.fixed < -kMaxElements)
      return false;
    if (d.per_batch + d.fixed < 0) return false;
    const int64_t magnitude = std::max<int64_t>(1, d.per_batch + std::abs(d.fixed));
    if (magnitude > kMaxElements / bound) return false;
    bound *= magnitude;
  }
  return true;
}

// Whether values of this type carry content, and can hold this one.
bool holds(DType dtype, const Content& content) {
  using Limits = std::numeric_limits<int32_t>;
  if (dtype == DType::kI64 || dtype == DType::kBool) return true;
  return dtype == DType::kI32 && std::all_of(content.begin(), content.end(), [](Dim d) {
           return d.is_fixed() && d.fixed >= Limits::min() && d.fixed <= Limits::max();
         });
}

}  // namespace

std::optional<Content> Context::content(size_t i) const {
  if (!has(i)) return std::nullopt;
  const Value& v = in(i);
  if (v.integers) {
    const auto count = v.shape ? element_count(*v.shape) : std::nullopt;
    const bool fits = v.integers->size() <= kMaxContent && count == Dim::of(std::ssize(*v.integers));
    return fits ? v.integers : std::nullopt;
  }
  return v.constant ? constant_content(*v.constant) : std::nullopt;
}

std::optional<std::vector<int64_t>> Context::numbers(size_t i) const {
  const auto dims = content(i);
  if (!dims) return std::nullopt;
  std::vector<int64_t> out;
  for (Dim d : *dims) {
    if (!d.is_fixed()) return std::nullopt;
    out.push_back(d.fixed);
  }
  return out;
}

std::vector<double> Context::reals(size_t i) const {
  if (!has(i) || !in(i).constant || in(i).constant->count() > static_cast<int64_t>(kMaxContent)) return {};
  auto widened = [](const auto& data) { return std::vector<double>(data.begin(), data.end()); };
  const Tensor& t = *in(i).constant;
  if (t.dtype() == DType::kF32) return widened(t.as<float>());
  return t.dtype() == DType::kF64 ? widened(t.as<double>()) : std::vector<double>{};
}

Result<size_t> Context::axis(std::string_view attribute, int64_t fallback, size_t rank) const {
  return axis(node_.integer(attribute, fallback), rank);
}

Result<size_t> Context::axis(int64_t axis, size_t rank) const {
  const auto r = static_cast<int64_t>(rank);
  if (axis < -r || axis >= r) return error("axis {} is outside of a value with {} axes", axis, rank);
  return static_cast<size_t>(axis < 0 ? axis + r : axis);
}

Result<std::vector<bool>> Context::axes(const std::vector<int64_t>& axes, size_t rank) const {
  std::vector<bool> which(rank);
  for (int64_t a : axes) {
    VTL_ASSIGN(const size_t i, axis(a, rank));
    if (which[i]) return error("axis {} is named twice", a);
    which[i] = true;
  }
  return which;
}

Status Context::set(size_t output, DType dtype, std::optional<SymShape> shape,
                    std::optional<Content> content) {
  if (output >= node_.outputs.size() || node_.outputs[output] == kNoValue) return {};
  if (shape && !sensible(*shape))
    return error(
        "its output would have the shape {}, which cannot be (negative for some batch, or more than {} "
        "elements); check the attributes and the exported batch axis",
        to_string(*shape), kMaxElements);
  if (content && (!shape || shape->size() > 1 || content->size() > kMaxContent || !holds(dtype, *content)))
    content.reset();
  Value& value = graph_.value(node_.outputs[output]);
  if (dtype != DType::kUndefined) value.dtype = dtype;
  value.shape = std::move(shape);
  value.integers = std::move(content);
  return {};
}

Status Context::describe(const std::string& message) const {
  std::string shapes;
  for (size_t i = 0; i < node_.inputs.size() && i < 8; ++i) {
    if (!shapes.empty()) shapes += ", ";
    shapes += !has(i) ? "none" : shape(i) ? to_string(*shape(i)) : "[?]";
  }
  return bad_input("layer '{}' ({}): {}; inputs {}", node_.name, op_name(node_.op), message,
                   shapes.empty() ? "none" : shapes);
}

}  // namespace vitrail::infer
