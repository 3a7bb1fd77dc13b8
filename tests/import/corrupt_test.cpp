// SPDX-License-Identifier: Apache-2.0
// Files that are no model, or a damaged one: an error or a graph, never a crash.
#include <sys/stat.h>

#include <random>

#include "model_builder.h"

namespace vitrail::testing_import {
namespace {

using ::testing::HasSubstr;

class Corrupt : public ImportTest {
 protected:
  Status import_bytes(std::string_view bytes) {
    write_bytes(folder_ / "model.onnx", bytes);
    return import_onnx((folder_ / "model.onnx").string()).status();
  }

  // One of everything that the importer reads.
  static std::string rich_model() {
    ModelBuilder m(11);
    m.input("x", {"batch", 3, 8, 8}).output("y");
    m.floats("w", {4, 3, 2, 2}, std::vector<float>(48, 0.5f)).ints("shape", {2}, {0, -1});
    auto& typed = m.initializer("bias", {4}, 10);
    for (int i = 0; i < 4; ++i) typed.add_int32_data(0x3c00 + i);
    auto& external = m.initializer("far", {2}, 1);
    external.set_data_location(onnx::TensorProto::EXTERNAL);
    for (const auto& [key, value] : {std::pair{"location", "w.bin"}, {"offset", "4"}, {"length", "8"}}) {
      auto& entry = *external.add_external_data();
      entry.set_key(key);
      entry.set_value(value);
    }
    set_ints(m.node("Conv", {"x", "w"}, {"a"}, "conv"), "strides", {2, 2});
    m.node("Reshape", {"a", "shape"}, {"b"}, "flatten");
    set_ints(m.node("ReduceMean", {"b"}, {"c"}, "mean"), "axes", {1});
    set_ints(m.node("Split", {"b"}, {"s", "t"}, "split"), "split", {2, 62});
    set_int(m.node("Softmax", {"c"}, {"d"}, "softmax"), "axis", 1);
    m.node("F", {"d"}, {"y"}, "call").set_domain("my");
    auto& f = *m.proto.add_functions();
    f.set_domain("my");
    f.set_name("F");
    f.add_input("a");
    f.add_output("b");
    ModelBuilder::fill_node(*f.add_node(), "Relu", {"a"}, {"b"}, "r");
    return m.proto.SerializeAsString();
  }

  void SetUp() override { write_bytes(folder_ / "w.bin", raw_bytes<float>({1, 2, 3})); }
};

TEST_F(Corrupt, FilesThatAreNoModelAreAnErrorThatSaysWhat) {
  EXPECT_THAT(import_bytes("").message(), HasSubstr("empty"));
  EXPECT_THAT(import_bytes("hello, I am a text file\n").message(), HasSubstr("no ONNX model"));
  EXPECT_THAT(import_bytes(std::string(1000, '\0')).message(), HasSubstr("no ONNX model"));
  EXPECT_THAT(import_bytes(std::string("\x08\x07", 2)).message(), HasSubstr("no graph"));
  EXPECT_THAT(import_bytes("version https://git-lfs.github.com/spec/v1\noid sha256:1\n").message(),
              HasSubstr("git lfs pull"));
  ModelBuilder empty;
  EXPECT_THAT(import_bytes(empty.proto.SerializeAsString()).message(), HasSubstr("no layers"));
  ModelBuilder no_output;
  no_output.input("x", {1}).node("Relu", {"x"}, {"y"});
  EXPECT_THAT(import_bytes(no_output.proto.SerializeAsString()).message(), HasSubstr("no outputs"));
}

TEST_F(Corrupt, PathsThatAreNoFilesAreAnIoErrorThatNamesThem) {
  const std::string pipe = (folder_ / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const std::string& path : {(folder_ / "missing.onnx").string(), folder_.path().string(), pipe,
                                  std::string("/dev/zero"), std::string("")}) {
    const Status status = import_onnx(path).status();
    EXPECT_EQ(status.code(), Code::kIo) << path;
    EXPECT_THAT(status.message(), HasSubstr(path));
  }
}

// A sparse file takes no disk; it must not be read before its size is refused.
TEST_F(Corrupt, MessagesOver2GiBAreAnErrorThatNamesExternalData) {
  write_bytes(folder_ / "big.onnx", "x");
  std::error_code error;
  fs::resize_file(folder_ / "big.onnx", (uint64_t{1} << 31) + 5, error);
  if (error) GTEST_SKIP() << "no sparse files here: " << error.message();
  const Status status = import_onnx((folder_ / "big.onnx").string()).status();
  EXPECT_EQ(status.code(), Code::kBadInput);
  EXPECT_THAT(status.message(), HasSubstr("2147483653"));
  EXPECT_THAT(status.message(), HasSubstr("external data"));
}

TEST_F(Corrupt, ModelsCutOffAnywhereNeverCrash) {
  const std::string model = rich_model();
  ASSERT_TRUE(import_bytes(model).ok()) << import_bytes(model).message();
  int errors = 0;
  for (size_t size = 0; size < model.size(); ++size) {
    const Status status = import_bytes(std::string_view(model).substr(0, size));
    errors += !status.ok();
    EXPECT_NE(status.code(), Code::kInternal) << size << ": " << status.message();
  }
  EXPECT_GE(errors, static_cast<int>(model.size()) - 2) << "a cut at a field's end may leave a whole model";
}

TEST_F(Corrupt, ModelsWithChangedBytesNeverCrash) {
  const std::string model = rich_model();
  std::mt19937 random(7);
  int errors = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string changed = model;
    for (unsigned n = 1 + random() % 4; n > 0; --n) {
      char& byte = changed[random() % changed.size()];
      byte = random() % 2 ? static_cast<char>(random()) : static_cast<char>(byte ^ (1 << random() % 8));
    }
    const Status status = import_bytes(changed);
    errors += !status.ok();
    EXPECT_NE(status.code(), Code::kInternal) << "round " << round << ": " << status.message();
    EXPECT_NE(status.code(), Code::kResource) << "round " << round << ": " << status.message();
  }
  EXPECT_GT(errors, 1000);
}

TEST_F(Corrupt, RandomBytesNeverCrash) {
  std::mt19937 random(11);
  for (int round = 0; round < 1000; ++round) {
    std::string bytes(random() % 300, '\0');
    for (char& b : bytes) b = static_cast<char>(random());
    EXPECT_FALSE(import_bytes(bytes).ok()) << "round " << round;
  }
}

}  // namespace
}  // namespace vitrail::testing_import
