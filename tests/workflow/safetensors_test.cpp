// SPDX-License-Identifier: Apache-2.0
// Models of transformers and timm, saved by their own classes, against what these compute
// (tests/tools/export_safetensors.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "../tools/python.h"
#include "core/npy.h"
#include "import/safetensors/import.h"
#include "workflow/build.h"
#include "workflow/inspect.h"
#include "workflow/open.h"

namespace vitrail {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr int kBlocks = 2;  // of every model of the script

struct Models {
  fs::path folder;
  std::vector<std::string> names;
  std::string why_none;
};

const Models& models() {
  static const Models kModels = [] {
    const char* given = std::getenv("VTL_SAFETENSORS");
    Models m{given ? fs::path(given) : fs::path(VTL_SOURCE_DIR) / ".cache/safetensors", {}, ""};
    const std::string command = "'" + test_python() + "' '" VTL_SOURCE_DIR "/tests/tools/export_safetensors.py' '" +
                                m.folder.string() + "' >/dev/null 2>&1";
    if (std::system(command.c_str()) != 0) {
      m.why_none = "this fails (are torch, timm and transformers there?): " + command;
      return m;
    }
    for (const auto& entry : fs::directory_iterator(m.folder))
      if (entry.path().extension() == ".npz") m.names.push_back(entry.path().stem().string());
    std::sort(m.names.begin(), m.names.end());
    return m;
  }();
  return kModels;
}

class Safetensors : public ::testing::Test {
 protected:
  void SetUp() override {
    if (models().names.empty()) GTEST_SKIP() << models().why_none;
    folder_ = fs::temp_directory_path() / ("vtl_safetensors_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::string path(const std::string& name) { return (models().folder / name).string(); }

  // A copy to be damaged.
  std::string copy(const std::string& name) const {
    const fs::path to = folder_ / name;
    fs::remove_all(to);
    fs::copy(models().folder / name, to, fs::copy_options::recursive);
    return to.string();
  }
  static nlohmann::json read(const std::string& file) { return nlohmann::json::parse(std::ifstream(file)); }
  static void write(const std::string& file, const nlohmann::json& json) { std::ofstream(file) << json.dump(); }

  fs::path folder_;
};

void expect_close(const Tensor& out, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(out.shape(), expected.shape()) << what;
  float largest = 0, error = 0;
  for (size_t i = 0; i < expected.as<float>().size(); ++i) {
    largest = std::max(largest, std::abs(expected.as<float>()[i]));
    error = std::max(error, std::abs(out.as<float>()[i] - expected.as<float>()[i]));
  }
  // Both sum up in float32 over at most 256 products, in different orders, a dozen times.
  EXPECT_LE(error, 2e-5f * std::max(1.0f, largest)) << what << ", largest value " << largest;
  EXPECT_GT(largest, 0.01f) << what;
}

TEST_F(Safetensors, EveryOutputOfEveryModelIsPytorchs) {
  EXPECT_GE(models().names.size(), 30u);
  for (const std::string& name : models().names) {
    SCOPED_TRACE(name);
    const auto data = load_npz((models().folder / (name + ".npz")).string());
    ASSERT_TRUE(data.ok()) << data.status().message();
    const auto array = [&](const std::string& key) {
      const auto it = std::ranges::find(*data, key, &NamedTensor::name);
      return it == data->end() ? Tensor() : it->tensor;
    };
    for (const char* backend : {"reference", "cpu"}) {
      BuildOptions options;
      options.backend = backend;
      const std::string engine = (folder_ / "model.vtl").string();
      const auto built = build_engine(path(name), engine, options);
      ASSERT_TRUE(built.ok()) << built.status().message();
      EXPECT_EQ(built->max_batch, 64);
      const auto attention = std::ranges::find(built->passes, "fuse_attention", &PassReport::pass);
      EXPECT_TRUE(built->passes.empty() || (attention != built->passes.end() && attention->changes >= kBlocks));
      const auto opened = open_engine(engine, {});
      ASSERT_TRUE(opened.ok()) << opened.status().message();
      const auto session = Session::create(opened->engine, opened->program, {});
      ASSERT_TRUE(session.ok()) << session.status().message();
      const Graph& graph = *opened->engine->graph;
      for (const char* batch : {"1", "3"}) {
        const auto outputs =
            (*session)->run({{graph.value(graph.inputs[0]).name, array(std::string("x") + batch)}});
        ASSERT_TRUE(outputs.ok()) << outputs.status().message();
        size_t expected = 0;
        for (const NamedTensor& t : *data) expected += t.name.starts_with(std::string("y") + batch);
        EXPECT_EQ(outputs->size(), expected);
        for (const NamedTensor& out : *outputs)
          expect_close(out.tensor, array(std::string("y") + batch + "." + out.name),
                       std::string(backend) + ", batch " + batch + ", output " + out.name);
      }
    }
  }
}

TEST_F(Safetensors, NothingOfAnOrdinaryModelMissesTheFastPath) {
  for (const char* name : {"vit_classifier", "dinov2_registers", "clip_projection", "siglip_vision", "timm_registers"}) {
    const auto inspection = inspect_model(path(name), "cpu", {});
    ASSERT_TRUE(inspection.ok()) << inspection.status().message();
    for (const LayerReport& layer : inspection->layers)
      // A shape of a few integers, which SigLIP's head repeats its probe by, needs no kernel of its own.
      if (layer.precision != "int64") {
        EXPECT_THAT(layer.kernel, ::testing::Not(HasSubstr("reference"))) << name << ": " << layer.name;
      }
  }
}

TEST_F(Safetensors, PreprocessingAndLabelsComeWithTheModel) {
  const auto squash = import_model(path("vit_classifier"), {});
  ASSERT_TRUE(squash.ok()) << squash.status().message();
  EXPECT_TRUE(squash->preprocess_known);
  EXPECT_EQ(squash->labels, (std::vector<std::string>{"owl", "tench", "héron"}));
  EXPECT_EQ(squash->preprocess.resize_mode, ResizeMode::kSquash);
  EXPECT_EQ(squash->preprocess.interpolation, Interpolation::kBilinear);
  EXPECT_EQ(squash->preprocess.height, 32);
  EXPECT_EQ(squash->preprocess.mean, (std::array{0.5f, 0.4f, 0.3f}));
  EXPECT_EQ(squash->preprocess.arithmetic, Arithmetic::kPillow);
  const auto crop = import_model(path("dinov2_classifier"), {});
  ASSERT_TRUE(crop.ok()) << crop.status().message();
  EXPECT_EQ(crop->preprocess.resize_mode, ResizeMode::kShortest);
  EXPECT_EQ(std::floor(32 / crop->preprocess.crop_pct), 37);
  EXPECT_EQ(crop->preprocess.arithmetic, Arithmetic::kTorch);
  EXPECT_TRUE(crop->labels.empty());  // LABEL_0 … are no names
  const auto timm = import_model(path("timm_siglip"), {});
  ASSERT_TRUE(timm.ok()) << timm.status().message();
  EXPECT_EQ(timm->preprocess.crop_pct, 0.9);
  EXPECT_EQ(timm->preprocess.std, (std::array{0.5f, 0.5f, 0.5f}));
  const auto none = import_model(path("vit"), {});
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->preprocess_known);
}

TEST_F(Safetensors, AFileAndItsFolderAreTheSameModel) {
  const auto folder = import_model(path("vit") + "/", {});
  const auto file = import_model(path("vit") + "/model.safetensors", {});
  ASSERT_TRUE(folder.ok() && file.ok()) << file.status().message();
  EXPECT_EQ(folder->hash, file->hash);
  EXPECT_EQ(folder->file_name, "vit");
  EXPECT_EQ(file->file_name, "model.safetensors");
  const auto shards = import_model(path("vit_sharded") + "/model.safetensors.index.json", {});
  ASSERT_TRUE(shards.ok()) << shards.status().message();
  EXPECT_EQ(shards->hash, import_model(path("vit_sharded"), {})->hash);
}

TEST_F(Safetensors, Float32WeightsPointIntoTheFile) {
  const auto graph = import_safetensors(path("vit"));
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  const ValueId q = graph->find("encoder.layer.0.attention.attention.query.weight");
  const ValueId k = graph->find("encoder.layer.0.attention.attention.key.weight");
  ASSERT_TRUE(graph->is_constant(q) && graph->is_constant(k));
  // In one map, and where the file has them: the key's weight comes before the query's bias and weight.
  EXPECT_EQ(static_cast<const float*>(graph->constant(q).data()) - static_cast<const float*>(graph->constant(k).data()),
            64 * 64 + 64);
  const auto packed = import_safetensors(path("timm_vit"));
  ASSERT_TRUE(packed.ok());
  EXPECT_EQ(static_cast<const float*>(packed->constant(packed->find("blocks.0.attn.qkv.k.weight")).data()) -
                static_cast<const float*>(packed->constant(packed->find("blocks.0.attn.qkv.q.weight")).data()),
            64 * 64);
}

TEST_F(Safetensors, MissingSuperfluousAndMisshapenKeysAreListed) {
  const std::string model = copy("vit_classifier");
  nlohmann::json config = read(model + "/config.json");
  config["num_hidden_layers"] = 3;
  config["intermediate_size"] = 128;
  write(model + "/config.json", config);
  const auto wrong = import_model(model, {});
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.status().code(), Code::kBadInput);
  EXPECT_THAT(wrong.status().message(), HasSubstr("16 missing: vit.encoder.layer.2."));
  EXPECT_THAT(wrong.status().message(), HasSubstr("intermediate.dense.weight is [160,64] instead of [128,64]"));
  config["num_hidden_layers"] = 1;
  config["intermediate_size"] = 160;
  write(model + "/config.json", config);
  EXPECT_THAT(import_model(model, {}).status().message(), HasSubstr("16 superfluous: vit.encoder.layer.1."));
}

TEST_F(Safetensors, WhatCannotBeBuiltSaysWhyAndTheWayOut) {
  const std::string model = copy("vit_classifier");
  const nlohmann::json good = read(model + "/config.json");
  const auto refused = [&](const char* key, const nlohmann::json& value) {
    nlohmann::json config = good;
    config[key] = value;
    write(model + "/config.json", config);
    const auto imported = import_model(model, {});
    EXPECT_FALSE(imported.ok()) << key;
    return imported.status().message();
  };
  EXPECT_THAT(refused("architectures", {"SwinModel"}), HasSubstr("vitrail export"));
  EXPECT_THAT(refused("architectures", nlohmann::json::array()), HasSubstr("vitrail export"));
  EXPECT_THAT(refused("hidden_act", "mish"), HasSubstr("mish"));
  EXPECT_THAT(refused("num_attention_heads", 5), HasSubstr("64 is not divisible by 5 heads"));
  EXPECT_THAT(refused("num_hidden_layers", 1000000000), HasSubstr("\"num_hidden_layers\""));
  EXPECT_THAT(refused("hidden_size", -1), HasSubstr("\"hidden_size\""));
  EXPECT_THAT(refused("image_size", "large"), HasSubstr("\"image_size\""));
  EXPECT_THAT(refused("patch_size", 64), HasSubstr("no patch"));
  fs::remove(model + "/config.json");
  EXPECT_THAT(import_model(model, {}).status().message(), HasSubstr("config.json"));
  EXPECT_THAT(import_model(folder_.string(), {}).status().message(), HasSubstr("model.safetensors"));
  const std::string sharded = copy("vit_sharded");
  fs::remove(sharded + "/model-00002-of-00007.safetensors");
  EXPECT_THAT(import_model(sharded, {}).status().message(), HasSubstr("model-00002-of-00007.safetensors"));
}

}  // namespace
}  // namespace vitrail
