// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/compat.h"

#include <dlfcn.h>

#include <cstdlib>

#include "core/error.h"

namespace vitrail::tensorrt {
namespace {

uint32_t bit(auto flag) { return 1u << static_cast<uint32_t>(flag); }

#if VTL_TRT_AT_LEAST(10, 15)
#define VTL_TRT_ADD_NORMALIZATION addNormalizationV2
#else
#define VTL_TRT_ADD_NORMALIZATION addNormalization
#endif

#if !VTL_TRT_AT_LEAST(10, 0)
// 8.x takes kernels of cuBLAS and cuDNN, and fails where it is not told that they are not there.
void leave_out_missing_libraries(nv::IBuilderConfig& config) {
  nv::TacticSources sources = config.getTacticSources();
  bool missing = false;
  for (const auto& [library, source] : {std::pair{"libcublas.so.11", nv::TacticSource::kCUBLAS},
                                        {"libcublasLt.so.11", nv::TacticSource::kCUBLAS_LT},
                                        {"libcudnn.so.8", nv::TacticSource::kCUDNN}})
    if (!dlopen(library, RTLD_LAZY | RTLD_GLOBAL)) {
      sources &= ~bit(source);
      missing = true;
    }
  config.setTacticSources(sources);
  if (missing)
    config.setPreviewFeature(nv::PreviewFeature::kDISABLE_EXTERNAL_TACTIC_SOURCES_FOR_CORE_0805, true);
}
#endif

// What a version lacks is said in one form.
[[maybe_unused]] Status lacks(std::string_view what, std::string_view first) {
  return unavailable("{} needs TensorRT {} or newer; this module was built for {}", what, first,
                     header_version());
}

}  // namespace

std::string header_version() {
  return fmt::format("{}.{}.{}", NV_TENSORRT_MAJOR, NV_TENSORRT_MINOR, NV_TENSORRT_PATCH);
}

std::optional<nv::DataType> type_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return nv::DataType::kFLOAT;
    case DType::kF16:
      return nv::DataType::kHALF;
    case DType::kI8:
      return nv::DataType::kINT8;
    case DType::kU8:
      return nv::DataType::kUINT8;
    case DType::kI32:
      return nv::DataType::kINT32;
    case DType::kBool:
      return nv::DataType::kBOOL;
#if VTL_TRT_AT_LEAST(10, 0)
    case DType::kBF16:
      return nv::DataType::kBF16;
    case DType::kI64:
      return nv::DataType::kINT64;
#endif
    default:
      return std::nullopt;
  }
}

std::optional<DType> dtype_of(nv::DataType type) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kI8, DType::kU8, DType::kI32, DType::kBool,
                      DType::kBF16, DType::kI64})
    if (type_of(dtype) == type) return dtype;
  return std::nullopt;
}

std::string_view type_name(nv::DataType type) {
  if (fp8_type() == type) return "float8_e4m3";  // as the cuda backend reports it
  const auto dtype = dtype_of(type);
  return dtype ? dtype_name(*dtype) : "another type";
}

std::optional<nv::DataType> fp8_type() {
#if VTL_TRT_AT_LEAST(10, 0)
  return nv::DataType::kFP8;
#else
  return std::nullopt;
#endif
}

Result<Precision> parse_precision(const std::string& name, [[maybe_unused]] bool calibrated) {
  Precision p;
  if (name == "fp32") return p;
  p.tf32 = true;
  if (name == "tf32") return p;
  const bool half = name == "fp16" || name == "int8" || name == "fp8";
  if (!half && name != "bf16")
    return usage_error("--precision {}: the tensorrt backend has fp32, tf32, fp16, bf16, int8 and fp8", name);
  p.keep_float = true;
#if VTL_TRT_HAS_CALIBRATOR
  if (calibrated && name == "int8") {
    p.weak = p.half_flag = p.int8_flag = true;
    return p;
  }
#endif
#if VTL_TRT_AT_LEAST(10, 0)
  p.compute = half ? nv::DataType::kHALF : nv::DataType::kBF16;
  p.fp8 = name == "fp8";
#else
  if (!half) return lacks("--precision bf16", "10.0");
  if (name == "fp8") return lacks("--precision fp8", "10.0");
  // Products in TF32 between tensors of FP32 would do, and keep the tensors so.
  p.tf32 = false;
  p.half_flag = true;
  p.int8_flag = name == "int8";
#endif
  return p;
}

void set_precision(nv::IBuilderConfig& config, const Precision& precision) {
  if (precision.tf32)
    config.setFlag(nv::BuilderFlag::kTF32);
  else
    config.clearFlag(nv::BuilderFlag::kTF32);
#if VTL_TRT_HAS_CALIBRATOR
  if (precision.half_flag) {
    config.setFlag(nv::BuilderFlag::kFP16);
    config.setFlag(nv::BuilderFlag::kPREFER_PRECISION_CONSTRAINTS);
  }
  if (precision.int8_flag) config.setFlag(nv::BuilderFlag::kINT8);
#endif
}

void pin_to_float([[maybe_unused]] nv::ILayer& layer) {
#if VTL_TRT_HAS_CALIBRATOR
  layer.setPrecision(nv::DataType::kFLOAT);
  for (int i = 0; i < layer.getNbOutputs(); ++i) layer.setOutputType(i, nv::DataType::kFLOAT);
#endif
}

std::unique_ptr<nv::INetworkDefinition> make_network(nv::IBuilder& builder,
                                                     [[maybe_unused]] const Precision& precision) {
#if VTL_TRT_AT_LEAST(11, 0)
  constexpr uint32_t kFlags = 0;  // strongly typed, always
#elif VTL_TRT_AT_LEAST(10, 0)
  const uint32_t kFlags = precision.weak ? 0 : bit(nv::NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
#else
  const uint32_t kFlags = bit(nv::NetworkDefinitionCreationFlag::kEXPLICIT_BATCH);
#endif
  return std::unique_ptr<nv::INetworkDefinition>(builder.createNetworkV2(kFlags));
}

#if VTL_TRT_HAS_CALIBRATOR
bool set_calibrator(nv::IBuilderConfig& config, nv::IInt8Calibrator& calibrator, nv::IOptimizationProfile* profile) {
  config.setInt8Calibrator(&calibrator);
  return !profile || config.setCalibrationProfile(profile);
}
#endif

nv::ILayer* add_cast(nv::INetworkDefinition& network, nv::ITensor& x, nv::DataType to) {
#if VTL_TRT_AT_LEAST(8, 6)
  return network.addCast(x, to);
#else
  nv::ILayer* layer = network.addIdentity(x);
  if (layer) layer->setOutputType(0, to);
  return layer;
#endif
}

nv::ILayer* add_normalization([[maybe_unused]] nv::INetworkDefinition& network,
                              [[maybe_unused]] nv::ITensor& x, [[maybe_unused]] nv::ITensor& scale,
                              [[maybe_unused]] nv::ITensor& bias, [[maybe_unused]] uint32_t axes,
                              [[maybe_unused]] float epsilon) {
#if VTL_TRT_AT_LEAST(8, 6)
  nv::INormalizationLayer* layer = network.VTL_TRT_ADD_NORMALIZATION(x, scale, bias, axes);
  if (layer) layer->setEpsilon(epsilon);
#if !VTL_TRT_AT_LEAST(10, 0)
  if (layer) layer->setComputePrecision(nv::DataType::kFLOAT);
#endif
  return layer;
#else
  return nullptr;
#endif
}

nv::ILayer* add_gelu([[maybe_unused]] nv::INetworkDefinition& network, [[maybe_unused]] nv::ITensor& x,
                     [[maybe_unused]] bool tanh) {
#if VTL_TRT_AT_LEAST(10, 0)
  return network.addActivation(x, tanh ? nv::ActivationType::kGELU_TANH : nv::ActivationType::kGELU_ERF);
#else
  return nullptr;
#endif
}

nv::ITensor* add_attention([[maybe_unused]] nv::INetworkDefinition& network, [[maybe_unused]] nv::ITensor& q,
                           [[maybe_unused]] nv::ITensor& k, [[maybe_unused]] nv::ITensor& v,
                           [[maybe_unused]] nv::ITensor* mask, [[maybe_unused]] const std::string& name,
                           [[maybe_unused]] const std::string& origin) {
#if VTL_TRT_AT_LEAST(10, 14)
#if VTL_TRT_AT_LEAST(11, 0)
  nv::IAttention* attention =
      network.addAttentionV2(q, k, v, nv::AttentionNormalizationOp::kSOFTMAX, nv::CausalMaskKind::kNONE);
#else
  nv::IAttention* attention = network.addAttention(q, k, v, nv::AttentionNormalizationOp::kSOFTMAX, false);
#endif
  if (!attention || !attention->setName(name.c_str()) || !attention->setDecomposable(true)) return nullptr;
  if (mask && !attention->setMask(*mask)) return nullptr;
  (void)attention->setMetadata(origin.c_str());
  return attention->getOutput(0);
#else
  return nullptr;
#endif
}

nv::ILayer* add_quantize(nv::INetworkDefinition& network, nv::ITensor& x, nv::ITensor& scale, int axis,
                         [[maybe_unused]] nv::DataType to) {
#if VTL_TRT_AT_LEAST(10, 0)
  nv::IQuantizeLayer* layer = network.addQuantize(x, scale, to);
#else
  nv::IQuantizeLayer* layer = network.addQuantize(x, scale);
#endif
  if (layer && axis >= 0) layer->setAxis(axis);
  return layer;
}

nv::ILayer* add_dequantize(nv::INetworkDefinition& network, nv::ITensor& x, nv::ITensor& scale, int axis,
                           [[maybe_unused]] nv::DataType to) {
#if VTL_TRT_AT_LEAST(10, 0)
  nv::IDequantizeLayer* layer = network.addDequantize(x, scale, to);
#else
  nv::IDequantizeLayer* layer = network.addDequantize(x, scale);
#endif
  if (layer && axis >= 0) layer->setAxis(axis);
  return layer;
}

void set_origin([[maybe_unused]] nv::ILayer& layer, [[maybe_unused]] const std::string& name) {
#if VTL_TRT_AT_LEAST(8, 6)
  layer.setMetadata(name.c_str());
#endif
}

void keep_zero_extents(nv::IShuffleLayer& layer) { layer.setZeroIsPlaceholder(false); }

Status set_plan_options(nv::IBuilderConfig& config, const PlanOptions& options) {
  if (options.opt_level >= 0) {
#if VTL_TRT_AT_LEAST(8, 6)
    config.setBuilderOptimizationLevel(options.opt_level);
#else
    return lacks("--opt-level", "8.6");
#endif
  }
  if (options.version_compatible) {
#if VTL_TRT_AT_LEAST(8, 6)
    config.setFlag(nv::BuilderFlag::kVERSION_COMPATIBLE);
#else
    return lacks("--version-compatible", "8.6");
#endif
  }
  if (options.hardware_compatible) {
#if VTL_TRT_AT_LEAST(8, 6)
    config.setHardwareCompatibilityLevel(nv::HardwareCompatibilityLevel::kAMPERE_PLUS);
#else
    return lacks("--hardware-compatible", "8.6");
#endif
  }
  if (options.strip_weights) {
#if VTL_TRT_AT_LEAST(10, 0)
    config.setFlag(nv::BuilderFlag::kSTRIP_PLAN);
    config.setFlag(nv::BuilderFlag::kREFIT);
#else
    return lacks("--strip-weights", "10.0");
#endif
  }
  if (options.refit) config.setFlag(nv::BuilderFlag::kREFIT);
#ifdef VTL_TRT_SETS_COMPUTE_CAPABILITY
  if (options.target == "current") {
    config.setNbComputeCapabilities(1);
    config.setComputeCapability(nv::ComputeCapability::kCURRENT, 0);
  } else if (!options.target.empty() && options.target != "all") {
    const int sm = std::atoi(options.target.c_str() + 3);
    config.setNbComputeCapabilities(1);
    if (!config.setComputeCapability(static_cast<nv::ComputeCapability>(sm), 0) ||
        config.getComputeCapability(0) != static_cast<nv::ComputeCapability>(sm))
      return unavailable("--target {}: this TensorRT does not build for it", options.target);
  }
#else
  if (!options.target.empty() && options.target != "current")
    return unavailable(
        "--target {}: only TensorRT-RTX builds for another GPU than the one here, and only when this "
        "module is built with TensorRT-RTX's own headers",
        options.target);
#endif
#if !VTL_TRT_AT_LEAST(8, 6)
  config.setPreviewFeature(nv::PreviewFeature::kFASTER_DYNAMIC_SHAPES_0805, true);
#endif
#if !VTL_TRT_AT_LEAST(10, 0)
  leave_out_missing_libraries(config);
#endif
  return {};
}

int64_t context_bytes(const nv::ICudaEngine& engine, [[maybe_unused]] int profile) {
#if VTL_TRT_AT_LEAST(10, 1)
  return engine.getDeviceMemorySizeForProfileV2(profile);
#elif VTL_TRT_AT_LEAST(10, 0)
  return static_cast<int64_t>(engine.getDeviceMemorySizeForProfile(profile));
#else
  return static_cast<int64_t>(engine.getDeviceMemorySize());
#endif
}

void set_context_memory(nv::IExecutionContext& context, void* memory, [[maybe_unused]] int64_t bytes) {
#if VTL_TRT_AT_LEAST(10, 1)
  context.setDeviceMemoryV2(memory, bytes);
#else
  context.setDeviceMemory(memory);
#endif
}

std::unique_ptr<nv::IExecutionContext> make_context(nv::ICudaEngine& engine) {
#if VTL_TRT_AT_LEAST(10, 0)
  return std::unique_ptr<nv::IExecutionContext>(
      engine.createExecutionContext(nv::ExecutionContextAllocationStrategy::kUSER_MANAGED));
#else
  return std::unique_ptr<nv::IExecutionContext>(engine.createExecutionContextWithoutDeviceMemory());
#endif
}

void quieten(nv::IExecutionContext& context) {
  (void)context.setNvtxVerbosity(nv::ProfilingVerbosity::kNONE);
}

}  // namespace vitrail::tensorrt
