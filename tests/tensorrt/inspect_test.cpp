// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/inspect.h"

#include <gmock/gmock.h>

#include "backends/tensorrt/module/plugin_kinds.h"

namespace vitrail::tensorrt {
namespace {

// Names of TensorRT 8.5.3's kernels on an H200, of 10's and cuBLAS' elsewhere.
TEST(KernelNames, SayWhatIsMultiplied) {
  const std::pair<const char*, const char*> kNames[] = {
      {"sm90_xmma_gemm_f16f16_f16f16_f16_tn_n_tilesize64x256x32_cgasize4x1x1_warpgroupsize1x1x1_ssched", "float16"},
      {"sm80_xmma_gemm_f16f16_f16f32_f32_tn_n_tilesize64x64x64_stage6_warpsize2x2x1_tensor16x8x16", "float16"},
      {"sm80_xmma_fprop_implicit_gemm_indexed_f16f16_f16f16_f16_nhwckrsc_nhwc_tilesize128x256x32_stage3_warpsize2x4x1_g1_"
       "tensor16x8x16", "float16"},
      {"sm80_xmma_gemm_f16f16_f32f32_f32_tn_n_tilesize128x256x8_stage3_warpsize2x4x1_ffma_aligna2_alignc2", "float32"},
      {"sm80_xmma_gemm_f32f32_f32f32_f32_nn_n_tilesize32x32x8_stage3_warpsize1x2x1_ffma_aligna4_alignc4", "float32"},
      {"sm80_xmma_gemm_f32f32_tf32f32_f32_tn_n_tilesize32x32x64_stage5_warpsize2x2x1_tensor16x8x8", "tf32"},
      {"sm90_xmma_gemm_f32f32_tf32f32_f32_nn_n_tilesize64x64x32_cgasize1x1x1_warpgroupsize1x1x1_execute_segment_k_off_kernel", "tf32"},
      {"sm80_xmma_gemm_i8f16_i8i32_f16_tn_n_tilesize128x128x64_stage3_warpsize2x2x1_tensor16x8x32", "int8"},
      {"sm80_xmma_gemm_i8i8_i8i32_f32_tn_n_tilesize64x64x128_stage4_warpsize2x2x1_tensor16x8x32", "int8"},
      {"sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize64x128x64_warpgroupsize1x1x1_execute_segment_k_off_kernel", "bfloat16"},
      {"sm90_xmma_gemm_e4m3e4m3_e4m3f32_f32_tn_n_tilesize64x128x128_warpgroupsize1x1x1", "float8_e4m3"},
      {"ampere_h16816gemm_128x64_ldg8_stages_64x3_tn_v1", "float16"},
      {"ampere_sgemm_128x64_tn", "float32"},
      {"FcAddAdd", ""},
      {"Reduce", ""},
      {"PluginV2", ""},
      {"VitrailAttention", ""}};
  for (const auto& [name, precision] : kNames) EXPECT_EQ(precision_in_name(name), precision) << name;
}

Graph block() {
  Graph g;
  const SymShape rows{Dim::batch(), Dim::of(4), Dim::of(8)};
  const auto value = [&](const char* name) { return g.add_value({name, DType::kF32, rows, {}, {}}); };
  const ValueId x = value("x"), n = value("n"), a = value("a"), y = value("y");
  const ValueId w = g.add_constant("w", Tensor(DType::kF32, {8, 8})), s = g.add_constant("s", Tensor(DType::kF32, {8}));
  g.inputs = {x};
  g.outputs = {y};
  g.nodes = {{Op::LayerNormalization, "norm", {x, s, s}, {n}, {}, ""},
             {Op::MultiHeadAttention, "attention", {n, n, n}, {a}, {{"heads", int64_t{1}}, {"head_dim", int64_t{8}}}, ""},
             {Op::Linear, "linear", {a, w}, {y}, {}, ""}};
  return g;
}

Precision weak_half() {
  Precision p;
  p.weak = p.half_flag = p.keep_float = true;
  return p;
}

// As 8.5 tells of a plan with plugins: the interface instead of the plugin, and no types.
TEST(Reports, AWeaklyTypedPlanWithPlugins) {
  const std::vector<EngineLayer> layers = {
      {"norm", "PluginV2", "", "", ""},
      {"attention", "PluginV2", "", "", ""},
      {"linear", "sm90_xmma_gemm_f16f16_f16f16_f16_tn_n_tilesize64x256x32_cgasize4x1x1_warpgroupsize1x1x1_ssched", "", "", ""}};
  const Inspected told = make_reports(block(), layers, weak_half(), {true, true});
  ASSERT_EQ(told.reports.size(), 3u);
  EXPECT_EQ(told.reports[0].kernel, kLayerNormPlugin);
  EXPECT_EQ(told.reports[0].precision, "float32");
  EXPECT_EQ(told.reports[1].kernel, kAttentionPlugin);
  EXPECT_EQ(told.reports[1].precision, "float16");
  EXPECT_EQ(told.reports[2].precision, "float16");
}

// 8.5 surrounds what computes with copies of its name, of which most are none.
TEST(Reports, CopiesAroundALayerAreNotItsKernel) {
  const std::vector<EngineLayer> layers = {
      {"Reformatting CopyNode for Input Tensor 0 to norm", "NoOp", "", "", ""},
      {"norm", "PluginV2", "", "", ""},
      {"Reformatting CopyNode for Output Tensor 0 to norm", "Reformat", "", "", ""}};
  const Inspected told = make_reports(block(), layers, weak_half(), {true, true, true});
  EXPECT_EQ(told.reports[0].kernel, kLayerNormPlugin);
  EXPECT_EQ(told.layer_reports, (std::vector<int64_t>{0, 0, 0}));  // their times are its own all the same
  EXPECT_EQ(make_reports(block(), {layers[2]}, weak_half(), {}).reports[0].kernel, "Reformat");
}

TEST(Reports, AttentionThatStaysInFloat32IsTold) {
  const std::vector<EngineLayer> layers = {
      {"attention", "sm80_xmma_gemm_f16f16_f32f32_f32_tn_n_tilesize128x256x8_stage3_warpsize2x4x1_ffma_aligna2_alignc2",
       "float16", "float16", ""}};
  const Inspected told = make_reports(block(), layers, weak_half(), {});
  EXPECT_EQ(told.reports[1].precision, "float32");
  // A plan made elsewhere may hold other plugins.
  EXPECT_EQ(make_reports(block(), {{"attention", "PluginV2", "float16", "float16", ""}}, weak_half(), {}).reports[1].kernel,
            "PluginV2");
}

}  // namespace
}  // namespace vitrail::tensorrt
