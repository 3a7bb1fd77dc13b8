// SPDX-License-Identifier: Apache-2.0
// What TensorRT 8.5, 8.6, 10, 11 and TensorRT-RTX say differently: everything else of the module is the same
// for all.
#pragma once

#include <NvInfer.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/plan_options.h"
#include "vitrail/status.h"
#include "vitrail/tensor.h"

namespace vitrail::tensorrt {

namespace nv = nvinfer1;

#define VTL_TRT_AT_LEAST(major, minor) \
  (NV_TENSORRT_MAJOR > (major) || (NV_TENSORRT_MAJOR == (major) && NV_TENSORRT_MINOR >= (minor)))

// From 10 on every tensor has the type that the network says; before, the builder chooses among what flags
// allow.
inline constexpr bool kStronglyTyped = VTL_TRT_AT_LEAST(10, 0);
inline constexpr bool kHasNormalization = VTL_TRT_AT_LEAST(8, 6);
#ifdef VTL_TRT_TAKES_PLUGINS
inline constexpr bool kTakesPlugins = true;
#else
inline constexpr bool kTakesPlugins = false;
#endif
inline constexpr bool kHasAttention = VTL_TRT_AT_LEAST(10, 14);
// IInt8EntropyCalibrator2, in a weakly typed network.
#define VTL_TRT_HAS_CALIBRATOR (!VTL_TRT_AT_LEAST(11, 0))
// Whether two contexts may use one profile at the same time. Before 10, a second one gets an engine of its
// own.
inline constexpr bool kProfilesAreShared = VTL_TRT_AT_LEAST(10, 0);

using Extent = std::remove_reference_t<decltype(nv::Dims{}.d[0])>;
#if VTL_TRT_AT_LEAST(10, 0)
inline constexpr nv::DataType kShapeType = nv::DataType::kINT64;
using ShapeInteger = int64_t;
#else
inline constexpr nv::DataType kShapeType = nv::DataType::kINT32;
using ShapeInteger = int32_t;
#endif

std::string header_version();  // "11.1.0", what the module was compiled with

// Nothing where this TensorRT has no such type.
std::optional<nv::DataType> type_of(DType dtype);
std::optional<DType> dtype_of(nv::DataType type);
std::string_view type_name(nv::DataType type);  // "float16", …

// How --precision is said to this version.
struct Precision {
  nv::DataType compute = nv::DataType::kFLOAT;  // of tensors; kFLOAT everywhere in a weakly typed network
  bool tf32 = false;
  bool weak = !kStronglyTyped;                // the builder chooses types, within the flags
  bool half_flag = false, int8_flag = false;  // weak typing
  bool fp8 = false;                           // products between Q/DQ pairs of E4M3
  bool keep_float = false;  // LayerNorm and softmax stay in float32 though the rest does not
};
// kUsage for an unknown name, kUnavailable where this version has no such precision. `calibrated`: TensorRT finds the
// ranges of int8 itself.
Result<Precision> parse_precision(const std::string& name, bool calibrated = false);
void set_precision(nv::IBuilderConfig& config, const Precision& precision);
// In a weakly typed network: this layer computes in float32. Nothing elsewhere.
void pin_to_float(nv::ILayer& layer);

std::unique_ptr<nv::INetworkDefinition> make_network(nv::IBuilder& builder, const Precision& precision);
#if VTL_TRT_HAS_CALIBRATOR
// The last versions that have it call it deprecated, and weak typing too.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
// `profile` may be null where no input depends on the batch.
bool set_calibrator(nv::IBuilderConfig& config, nv::IInt8Calibrator& calibrator, nv::IOptimizationProfile* profile);
#endif

// Layers that are named or called otherwise. Null where the version has none or refuses.
nv::ILayer* add_cast(nv::INetworkDefinition& network, nv::ITensor& x, nv::DataType to);
nv::ILayer* add_normalization(nv::INetworkDefinition& network, nv::ITensor& x, nv::ITensor& scale,
                              nv::ITensor& bias, uint32_t axes, float epsilon);
nv::ILayer* add_gelu(nv::INetworkDefinition& network, nv::ITensor& x, bool tanh);
// q already scaled, all [B, heads, S, D]; mask may be null. The output is [B, heads, Sq, Dv].
nv::ITensor* add_attention(nv::INetworkDefinition& network, nv::ITensor& q, nv::ITensor& k, nv::ITensor& v,
                           nv::ITensor* mask, const std::string& name, const std::string& origin);
// Symmetric, by one scale or along `axis` (-1: one). `to`: kINT8 or FP8 where there is such.
nv::ILayer* add_quantize(nv::INetworkDefinition& network, nv::ITensor& x, nv::ITensor& scale, int axis,
                         nv::DataType to);
nv::ILayer* add_dequantize(nv::INetworkDefinition& network, nv::ITensor& x, nv::ITensor& scale, int axis,
                           nv::DataType to);
std::optional<nv::DataType> fp8_type();
// What the inspector calls the origin of a layer.
void set_origin(nv::ILayer& layer, const std::string& name);
void keep_zero_extents(nv::IShuffleLayer& layer);

// Flags and levels of a build. kUnavailable names the version that has what was asked for.
Status set_plan_options(nv::IBuilderConfig& config, const PlanOptions& options);

// Bytes of device memory that a context needs for one profile.
int64_t context_bytes(const nv::ICudaEngine& engine, int profile);
void set_context_memory(nv::IExecutionContext& context, void* memory, int64_t bytes);
std::unique_ptr<nv::IExecutionContext> make_context(nv::ICudaEngine& engine);  // without device memory
void quieten(nv::IExecutionContext& context);  // no names for Nsight: they cost time at every launch

}  // namespace vitrail::tensorrt
