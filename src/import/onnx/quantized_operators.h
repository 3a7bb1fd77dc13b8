// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "onnx/onnx.pb.h"
#include "vitrail/status.h"

namespace vitrail::onnx_import {

// Restates what computes with quantized numbers in one operator by operators of the default domain; returns how many
// layers that were, Q/DQ by other names apart. The layer that computes keeps the name.
//   QLinearMatMul, QLinearConv and ONNX Runtime's QGemm, QLinear* (com.microsoft): DequantizeLinear, the operator in
//     floats, QuantizeLinear. Equal to integer arithmetic up to a result that lies at a tie.
//   MatMulInteger, ConvInteger: the product of the numbers less their zero points in int32 or float64, exact.
//   DynamicQuantizeLinear: the function that ONNX defines it by.
//   TRT_FP8QuantizeLinear, TRT_FP8DequantizeLinear (trt, of NVIDIA ModelOpt): Quantize- and DequantizeLinear with
//     float8e4m3fn numbers.
Result<int> restate_quantized(onnx::ModelProto& model);

}  // namespace vitrail::onnx_import
