// SPDX-License-Identifier: Apache-2.0
// Element types: of the graph's values, of the kernels, and what --precision makes of them.
#pragma once

#include <optional>
#include <string_view>

#include "backends/cuda/device.h"
#include "backends/cuda/kernels/types.h"
#include "graph/graph.h"
#include "vitrail/tensor.h"

namespace vitrail::cuda {

struct Precision {
  Type type = Type::kF32;         // of the activations
  bool tf32 = false;              // products may round their operands to TF32
  std::optional<Type> quantized;  // kE4M3 or kS8: products that run in 8 bits
  std::string_view name = "fp32";
  bool half() const { return type != Type::kF32; }
};

// What compiling is for: the device and the precision.
struct Target {
  Device device;
  Precision precision;
  bool own_products() const { return device.has_wgmma() && precision.half(); }
};

// kUsage for a name that is not known, kUnavailable when the device cannot compute it.
Result<Precision> parse_precision(std::string_view name, const Device& device);

bool is_float(DType dtype);
// The graph holds E4M3 as uint8; `Type` attributes say which it is.
DType dtype_of(Type type);
std::string_view type_name(Type type);  // "float16", "float8_e4m3", …
std::optional<Type> type_from_name(std::string_view name);
// Of a floating or 8-bit value; nothing for the rest.
std::optional<Type> type_of(DType dtype);

uint8_t to_e4m3(float value);  // to nearest even, saturating
float from_e4m3(uint8_t bits);

Tensor to_float32(const Tensor& tensor);               // any floating type
Tensor convert_float(const Tensor& tensor, DType to);  // between floating types

}  // namespace vitrail::cuda
