// SPDX-License-Identifier: Apache-2.0
// Vitrail's plugins as TensorRT sees them, without a GPU: what a plan stores of them, and what is refused.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "backends/tensorrt/module/plugin_choice.h"
#include "backends/tensorrt/module/plugin_kinds.h"

namespace vitrail::tensorrt {
#if VTL_TRT_AT_LEAST(10, 0)
using Interface = nv::IPluginCreatorInterface;
#else
using Interface = nv::IPluginCreator;
#endif
}  // namespace vitrail::tensorrt

// What trtexec --dynamicPlugins calls.
extern "C" vitrail::tensorrt::Interface* const*
#if VTL_TRT_AT_LEAST(10, 0)
getCreators
#else
getPluginCreators
#endif
    (int32_t& count);

namespace vitrail::tensorrt {
namespace {

using testing::HasSubstr;

std::span<Interface* const> creators() {
  int32_t count = 0;
#if VTL_TRT_AT_LEAST(10, 0)
  Interface* const* list = getCreators(count);
#else
  Interface* const* list = getPluginCreators(count);
#endif
  return {list, static_cast<size_t>(count)};
}

#define VTL_NEEDS_KERNELS() \
  if (plugin_kinds().empty()) GTEST_SKIP() << "Vitrail's kernels are not compiled in (VITRAIL_CUDA)"

TEST(Plugins, EveryKindHasACreator) { EXPECT_EQ(creators().size(), plugin_kinds().size()); }

#if !VTL_TRT_AT_LEAST(10, 0)
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

struct Destroy {
  void operator()(nv::IPluginV2* p) const { p->destroy(); }
};
using Made = std::unique_ptr<nv::IPluginV2, Destroy>;

Interface* creator(std::string_view name) {
  for (Interface* c : creators())
    if (c->getPluginName() == name) return c;
  return nullptr;
}

std::vector<float> stored(const nv::IPluginV2& plugin) {
  std::vector<float> numbers(plugin.getSerializationSize() / sizeof(float));
  plugin.serialize(numbers.data());
  return numbers;
}

TEST(Plugins, APlanGivesBackWhatItStored) {
  VTL_NEEDS_KERNELS();
  float heads = 12, scale = 0.125f;
  const nv::PluginField fields[] = {{"scale", &scale, nv::PluginFieldType::kFLOAT32, 1},
                                    {"heads", &heads, nv::PluginFieldType::kFLOAT32, 1}};
  const nv::PluginFieldCollection given{2, fields};
  Interface* c = creator(kAttentionPlugin);
  ASSERT_NE(c, nullptr);
  const Made made(c->createPlugin("a", &given));
  ASSERT_TRUE(made);
  const std::vector<float> numbers = stored(*made);
  EXPECT_EQ(numbers[0], 12);
  EXPECT_EQ(numbers[6], 0.125f);
  const Made again(c->deserializePlugin("a", numbers.data(), numbers.size() * sizeof(float)));
  ASSERT_TRUE(again);
  EXPECT_EQ(stored(*again), numbers);
  const Made clone(again->clone());
  EXPECT_EQ(stored(*clone), numbers);
}

TEST(Plugins, DamagedBytesAreRefused) {
  VTL_NEEDS_KERNELS();
  for (Interface* c : creators()) {
    PluginNumbers numbers{};
    EXPECT_FALSE(Made(c->deserializePlugin("a", numbers.data(), sizeof(numbers) - 1)));
    EXPECT_FALSE(Made(c->deserializePlugin("a", nullptr, 0)));
    for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1e30f}) {
      numbers[2] = bad;
      EXPECT_FALSE(Made(c->deserializePlugin("a", numbers.data(), sizeof(numbers)))) << bad;
    }
  }
}

// Outputs come last; TensorRT asks in order, what comes later is not set yet.
bool takes(std::string_view name, int position, const std::vector<nv::PluginTensorDesc>& tensors) {
  const PluginNumbers numbers{1};
  const Made made(creator(name)->deserializePlugin("a", numbers.data(), sizeof(numbers)));
  const int outputs = made->getNbOutputs();
  return static_cast<nv::IPluginV2DynamicExt&>(*made).supportsFormatCombination(
      position, tensors.data(), static_cast<int>(tensors.size()) - outputs, outputs);
}

bool takes(std::string_view name, int position, const std::vector<nv::DataType>& types,
           nv::TensorFormat format = nv::TensorFormat::kLINEAR) {
  std::vector<nv::PluginTensorDesc> tensors(types.size());
  for (size_t i = 0; i < types.size(); ++i) tensors[i].type = types[i], tensors[i].format = format;
  return takes(name, position, tensors);
}

// Rows [R, columns, 1, 1] of half precision in every tensor but the vectors, which are the last inputs.
bool takes_rows(const PluginKind& kind, int position, int columns, nv::TensorFormat format, nv::TensorFormat other) {
  const int vectors = kind.takes(kind.inputs - 1, nv::DataType::kHALF, nv::DataType::kHALF) ? 0 : 2;
  std::vector<nv::PluginTensorDesc> tensors(static_cast<size_t>(kind.inputs + kind.outputs));
  for (int i = 0; i < std::ssize(tensors); ++i) {
    nv::PluginTensorDesc& t = tensors[static_cast<size_t>(i)];
    const bool vector = i >= kind.inputs - vectors && i < kind.inputs;
    t.type = vector ? nv::DataType::kFLOAT : nv::DataType::kHALF;
    t.format = i == position ? other : vector ? nv::TensorFormat::kLINEAR : format;
    t.dims.nbDims = vector ? 1 : 4;
    t.dims.d[0] = vector ? columns : -1;
    for (int k = 1; k < t.dims.nbDims; ++k) t.dims.d[k] = k == 1 ? columns : 1;
  }
  return takes(kind.name, position, tensors);
}

TEST(Plugins, RowsAreTakenInEveryLayoutThatIsTheSameMemory) {
  VTL_NEEDS_KERNELS();
  using Format = nv::TensorFormat;
  for (const PluginKind& kind : plugin_kinds()) {
    for (Format format : {Format::kLINEAR, Format::kHWC, Format::kHWC8, Format::kCHW32})
      EXPECT_TRUE(takes_rows(kind, 0, 96, format, format)) << kind.name;
    EXPECT_FALSE(takes_rows(kind, 0, 96, Format::kCHW4, Format::kCHW4)) << kind.name;
    // 200 channels in blocks of 32 would be padded.
    EXPECT_TRUE(takes_rows(kind, 0, 200, Format::kHWC8, Format::kHWC8)) << kind.name;
    EXPECT_FALSE(takes_rows(kind, 0, 200, Format::kCHW32, Format::kCHW32)) << kind.name;
    const int last = kind.inputs + kind.outputs - 1;
    EXPECT_TRUE(takes_rows(kind, last, 96, Format::kHWC8, Format::kHWC8)) << kind.name;
    EXPECT_FALSE(takes_rows(kind, last, 96, Format::kHWC8, Format::kLINEAR)) << kind.name;
  }
  const auto norm = std::ranges::find(plugin_kinds(), std::string_view(kLayerNormPlugin), &PluginKind::name);
  EXPECT_TRUE(takes_rows(*norm, 1, 96, Format::kHWC8, Format::kLINEAR));
  EXPECT_FALSE(takes_rows(*norm, 1, 96, Format::kHWC8, Format::kHWC8));
}

TEST(Plugins, TypesAndLayoutsThatAreTaken) {
  VTL_NEEDS_KERNELS();
  constexpr auto kHalf = nv::DataType::kHALF, kFloat = nv::DataType::kFLOAT, kInt8 = nv::DataType::kINT8;
  for (int position = 0; position < 4; ++position) {
    EXPECT_TRUE(takes(kAttentionPlugin, position, {kHalf, kHalf, kHalf, kHalf}));
    EXPECT_TRUE(takes(kAttentionPlugin, position, {kFloat, kFloat, kFloat, kFloat}));
    EXPECT_FALSE(takes(kAttentionPlugin, position, {kInt8, kInt8, kInt8, kInt8}) && position == 0);
    EXPECT_FALSE(takes(kAttentionPlugin, position, {kHalf, kHalf, kHalf, kHalf}, nv::TensorFormat::kCHW2));
    EXPECT_TRUE(takes(kLayerNormPlugin, position, {kHalf, kFloat, kFloat, kHalf}));
  }
  for (int position = 0; position < 6; ++position) {
    EXPECT_TRUE(takes(kAddLayerNormPlugin, position, {kHalf, kHalf, kFloat, kFloat, kHalf, kHalf}));
    EXPECT_TRUE(takes(kAddLayerNormPlugin, position, std::vector(6, kFloat)));
  }
  for (int position : {1, 4, 5})
    EXPECT_FALSE(takes(kAddLayerNormPlugin, position, {kHalf, kFloat, kFloat, kFloat, kFloat, kFloat}));
  EXPECT_FALSE(takes(kAddLayerNormPlugin, 2, std::vector(6, kHalf)));
  EXPECT_FALSE(takes(kAttentionPlugin, 1, {kHalf, kFloat, kFloat, kFloat}));
  EXPECT_FALSE(takes(kLayerNormPlugin, 1, {kHalf, kHalf, kHalf, kHalf}));
  EXPECT_FALSE(takes(kLayerNormPlugin, 3, {kHalf, kFloat, kFloat, kFloat}));
}
#endif

TEST(Plugins, HeadsThatDoNotFitAreRefused) {
  VTL_NEEDS_KERNELS();
  const AttentionNumbers vit{12, 64, 64, 0, 768, 1536, 0.125f};
  EXPECT_EQ(refuse_attention_plugin(vit, 2304, 2304, 2304), "");
  EXPECT_THAT(refuse_attention_plugin(vit, 2304, 2304, 2303), HasSubstr("outside of their rows"));
  AttentionNumbers odd = vit;
  odd.k_offset = 764;
  EXPECT_THAT(refuse_attention_plugin(odd, 2304, 2304, 2304), HasSubstr("multiples of 16 bytes"));
}

Result<PluginUse> chosen(std::string plugins, std::string precision = "fp16", std::string save = "") {
  PlanOptions plan;
  plan.plugins = std::move(plugins);
  plan.save_plan = std::move(save);
  plan.profiles = {{1, 8, 16}};
  CompileOptions options;
  options.precision = std::move(precision);
  return choose_plugins(Graph(), options, plan);
}

TEST(Plugins, AreRefusedWhereTheyCannotBe) {
  ASSERT_TRUE(chosen("off").ok());
  EXPECT_FALSE(chosen("off")->any());
  for (const char* wanted : {"on", "auto"}) {
    const auto use = chosen(wanted);
    if (kTakesPlugins && !plugin_kinds().empty()) {
      EXPECT_TRUE(use.ok());
      continue;
    }
    EXPECT_EQ(use.status().code(), Code::kUnavailable);
    EXPECT_THAT(use.status().message(), HasSubstr(kTakesPlugins ? "-DVITRAIL_CUDA=ON" : "TensorRT-RTX take no plugins"));
  }
}

TEST(Plugins, WithoutTheOptionAreTakenWhereTheyWereMeasured) {
  const bool here = kTakesPlugins && !kStronglyTyped && !plugin_kinds().empty();
  EXPECT_EQ(chosen("")->any(), here);
  EXPECT_EQ(chosen("", "int8")->any(), here);
  EXPECT_FALSE(chosen("", "fp32")->any());
  EXPECT_FALSE(chosen("", "fp16", "bare.plan")->any());
}

TEST(Plugins, WhatWasChosenIsFoundAgain) {
  for (bool attention : {false, true})
    for (bool norm : {false, true}) {
      const PluginUse back = PluginUse::unpacked(PluginUse{attention, norm, attention != norm}.packed());
      EXPECT_EQ(back.attention, attention);
      EXPECT_EQ(back.layer_norm, norm);
      EXPECT_EQ(back.gelu, attention != norm);
    }
  constexpr int64_t kOlder[] = {1, 1};  // engines from before there was one for GELU
  EXPECT_TRUE(PluginUse::unpacked(kOlder).layer_norm);
  EXPECT_FALSE(PluginUse::unpacked(kOlder).gelu);
  EXPECT_FALSE(PluginUse::unpacked({}).any());
}

}  // namespace
}  // namespace vitrail::tensorrt
