// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/precision.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "core/error.h"
#include "core/half.h"

namespace vitrail::cuda {
namespace {

constexpr std::array<std::pair<Type, std::string_view>, 6> kNames{{{Type::kF32, "float32"},
                                                                   {Type::kF16, "float16"},
                                                                   {Type::kBF16, "bfloat16"},
                                                                   {Type::kE4M3, "float8_e4m3"},
                                                                   {Type::kS8, "int8"},
                                                                   {Type::kU8, "uint8"}}};

}  // namespace

Result<Precision> parse_precision(std::string_view name, const Device& d) {
  if (name == "fp32") return Precision{};
  if (name == "tf32") {
    if (d.cc < 80)
      return unavailable("--precision tf32 needs compute capability 8.0 or newer; {} has {}.{}; use fp16",
                         d.name, d.cc / 10, d.cc % 10);
    return Precision{Type::kF32, true, {}, "tf32"};
  }
  if (name == "fp16") return Precision{Type::kF16, false, {}, "fp16"};
  if (name == "bf16") {
    if (d.cc < 80)
      return unavailable("--precision bf16 needs compute capability 8.0 or newer; {} has {}.{}; use fp16",
                         d.name, d.cc / 10, d.cc % 10);
    return Precision{Type::kBF16, false, {}, "bf16"};
  }
  if (name == "fp8") {
    if (!d.has_fp8())
      return unavailable("--precision fp8 needs compute capability 8.9 or newer; {} has {}.{}; use fp16",
                         d.name, d.cc / 10, d.cc % 10);
    return Precision{Type::kF16, false, Type::kE4M3, "fp8"};
  }
  if (name == "int8") {
    if (!d.has_wgmma())
      return unavailable("--precision int8 needs compute capability 9.0; {} has {}.{}; use fp16", d.name,
                         d.cc / 10, d.cc % 10);
    return Precision{Type::kF16, false, Type::kS8, "int8"};
  }
  return usage_error("--precision {}: the cuda backend knows fp32, tf32, fp16, bf16, fp8, int8", name);
}

bool is_float(DType d) {
  return d == DType::kF32 || d == DType::kF16 || d == DType::kBF16 || d == DType::kF64;
}

DType dtype_of(Type type) {
  switch (type) {
    case Type::kF32:
      return DType::kF32;
    case Type::kF16:
      return DType::kF16;
    case Type::kBF16:
      return DType::kBF16;
    case Type::kS8:
      return DType::kI8;
    default:
      return DType::kU8;
  }
}

std::string_view type_name(Type type) {
  for (const auto& [t, name] : kNames)
    if (t == type) return name;
  return "";
}

std::optional<Type> type_from_name(std::string_view name) {
  for (const auto& [t, known] : kNames)
    if (known == name) return t;
  return std::nullopt;
}

std::optional<Type> type_of(DType dtype) {
  for (const auto& [t, name] : kNames)
    if (t != Type::kE4M3 && dtype_of(t) == dtype) return t;
  return std::nullopt;
}

uint8_t to_e4m3(float value) {
  const auto sign = static_cast<uint8_t>(std::signbit(value) ? 0x80 : 0);
  if (std::isnan(value)) return static_cast<uint8_t>(sign | 0x7F);
  const float a = std::fabs(value);
  if (a >= 448.0f) return static_cast<uint8_t>(sign | 0x7E);
  if (a < 0x1p-6f)  // subnormal: multiples of 2⁻⁹; 8 of them are the least normal number
    return static_cast<uint8_t>(sign | static_cast<int>(std::nearbyint(a * 512.0f)));
  // Rounds the mantissa to 3 bits; a carry moves into the exponent as it must.
  const uint32_t bits = std::bit_cast<uint32_t>(a);
  const uint32_t rounded = bits + 0x7FFFFu + ((bits >> 20) & 1u);
  const auto magnitude = static_cast<uint32_t>((rounded >> 20) - (120u << 3));
  return static_cast<uint8_t>(sign | std::min(magnitude, 0x7Eu));
}

float from_e4m3(uint8_t bits) {
  const float sign = bits & 0x80 ? -1.0f : 1.0f;
  const int exponent = (bits >> 3) & 15, mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) return std::nanf("");
  if (exponent == 0) return sign * static_cast<float>(mantissa) * 0x1p-9f;
  return sign * std::ldexp(1.0f + static_cast<float>(mantissa) / 8.0f, exponent - 7);
}

namespace {

template <class From, class To, class Convert>
void convert_all(const Tensor& from, Tensor& to, Convert convert) {
  const auto x = from.as<From>();
  std::transform(x.begin(), x.end(), to.as_mutable<To>().begin(), convert);
}

}  // namespace

Tensor to_float32(const Tensor& t) {
  if (t.dtype() == DType::kF32) return t;
  Tensor out(DType::kF32, t.shape());
  if (t.dtype() == DType::kF64)
    convert_all<double, float>(t, out, [](double v) { return static_cast<float>(v); });
  else if (t.dtype() == DType::kF16)
    convert_all<uint16_t, float>(t, out, half_to_float);
  else
    convert_all<uint16_t, float>(t, out, bfloat16_to_float);
  return out;
}

Tensor convert_float(const Tensor& tensor, DType to) {
  if (tensor.dtype() == to) return tensor;
  const Tensor wide = to_float32(tensor);
  if (to == DType::kF32) return wide;
  Tensor out(to, tensor.shape());
  if (to == DType::kF64)
    convert_all<float, double>(wide, out, [](float v) { return static_cast<double>(v); });
  else if (to == DType::kF16)
    convert_all<float, uint16_t>(wide, out, float_to_half);
  else
    convert_all<float, uint16_t>(wide, out, float_to_bfloat16);
  return out;
}

}  // namespace vitrail::cuda
