// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "model_builder.h"

namespace vitrail::testing_import {
namespace {

using ::testing::ElementsAre;

class External : public ImportTest {
 protected:
  // One float weight of two elements, described by `entries`.
  static ModelBuilder model(const std::map<std::string, std::string>& entries) {
    ModelBuilder m = one_node("Relu");
    auto& t = m.initializer("w", {2}, 1);
    t.set_data_location(onnx::TensorProto::EXTERNAL);
    for (const auto& [key, value] : entries) {
      auto& entry = *t.add_external_data();
      entry.set_key(key);
      entry.set_value(value);
    }
    return m;
  }
};

TEST_F(External, IsMappedAtItsOffset) {
  write_bytes(folder_ / "w.bin", raw_bytes<float>({1, 2, 3, 4}));
  const Graph g =
      import_ok(model({{"location", "w.bin"}, {"offset", "8"}, {"length", "8"}, {"checksum", "x"}}));
  EXPECT_THAT(values_of<float>(g, "w"), ElementsAre(3, 4));
  // Byte 8 of a page: the bytes are those of the map, not a copy of them.
  EXPECT_EQ(reinterpret_cast<uintptr_t>(g.constant(g.find("w")).data()) % 4096, 8u);
  EXPECT_THAT(values_of<float>(import_ok(model({{"location", "w.bin"}})), "w"), ElementsAre(1, 2));
}

TEST_F(External, IsCopiedWhereItIsNotAligned) {
  write_bytes(folder_ / "w.bin", "abc" + raw_bytes<float>({5, 6}));
  const Graph g = import_ok(model({{"location", "w.bin"}, {"offset", "3"}, {"length", "8"}}));
  EXPECT_THAT(values_of<float>(g, "w"), ElementsAre(5, 6));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(g.constant(g.find("w")).data()) % alignof(float), 0u);
}

// Models over 2 GiB keep their weights like this; a sparse file takes no disk.
TEST_F(External, Beyond2GiBIsFound) {
  const uint64_t far = (uint64_t{5} << 30) + 16;
  write_bytes(folder_ / "w.bin", "");
  std::error_code error;
  fs::resize_file(folder_ / "w.bin", far, error);
  if (error) GTEST_SKIP() << "no sparse files here: " << error.message();
  std::ofstream(folder_ / "w.bin", std::ios::binary | std::ios::app) << raw_bytes<float>({9, 10});
  const Graph g = import_ok(model({{"location", "w.bin"}, {"offset", std::to_string(far)}, {"length", "8"}}));
  EXPECT_THAT(values_of<float>(g, "w"), ElementsAre(9, 10));
}

TEST_F(External, OutlivesItsFile) {
  fs::create_directory(folder_ / "sub");
  write_bytes(folder_ / "sub/w.bin", raw_bytes<float>({7, 8}));
  const Graph g = import_ok(model({{"location", "sub/w.bin"}}));
  fs::remove(folder_ / "sub/w.bin");
  EXPECT_THAT(values_of<float>(g, "w"), ElementsAre(7, 8));
}

TEST_F(External, BeyondTheFileIsAnError) {
  write_bytes(folder_ / "w.bin", raw_bytes<float>({1, 2, 3}));
  for (const char* offset : {"8", "12", "13", "18446744073709551608", "9223372036854775807"})
    expect_error(model({{"location", "w.bin"}, {"offset", offset}, {"length", "8"}}),
                 {"'w'", "w.bin", offset, "12"});
}

TEST_F(External, WithABadEntryIsAnError) {
  write_bytes(folder_ / "w.bin", raw_bytes<float>({1, 2, 3}));
  expect_error(model({{"location", "w.bin"}, {"length", "4"}}), {"'w'", "4 bytes", "8"});
  for (const char* number : {"-8", "8x", "", "99999999999999999999999", " 8"})
    expect_error(model({{"location", "w.bin"}, {"offset", number}}), {"'w'", "offset", "not a number"});
}

TEST_F(External, ThatIsMissingIsAnError) {
  expect_error(model({{"location", "gone.bin"}}), {"'w'", "gone.bin", "beside the model"}, Code::kIo);
  fs::create_directory(folder_ / "folder");
  expect_error(model({{"location", "folder"}}), {"'w'", "folder"}, Code::kIo);
}

TEST_F(External, MayNotLeaveTheModelsFolder) {
  TemporaryFolder elsewhere;
  const fs::path secret = elsewhere / "secret.bin";
  write_bytes(secret, raw_bytes<float>({1, 2}));
  fs::create_symlink(secret, folder_ / "link.bin");
  fs::create_directory_symlink(elsewhere.path(), folder_ / "inside");
  const std::string up = "../" + elsewhere.path().filename().string() + "/secret.bin";
  for (const std::string& location :
       {secret.string(), up, "x/../" + up, std::string("link.bin"), std::string("inside/secret.bin"),
        std::string(""), std::string("w.bin\0x", 7), std::string("..")})
    expect_error(model({{"location", location}}), {"'w'", "folder"});
  expect_error(model({}), {"'w'", "folder"});
}

// A sibling whose name begins like the folder's is outside all the same.
TEST_F(External, OfASiblingFolderIsOutside) {
  const fs::path sibling = folder_.path().string() + "_sibling";
  fs::create_directory(sibling);
  write_bytes(sibling / "w.bin", raw_bytes<float>({1, 2}));
  fs::create_symlink(sibling / "w.bin", folder_ / "w.bin");
  expect_error(model({{"location", "w.bin"}}), {"'w'", "leads out"});
  fs::remove_all(sibling);
}

TEST_F(External, BesideAModelGivenByABareNameIsFound) {
  write_bytes(folder_ / "w.bin", raw_bytes<float>({1, 2}));
  write_bytes(folder_ / "m.onnx", model({{"location", "w.bin"}}).proto.SerializeAsString());
  const fs::path before = fs::current_path();
  fs::current_path(folder_.path());
  const auto graph = import_onnx("m.onnx");
  fs::current_path(before);
  EXPECT_TRUE(graph.ok()) << graph.status().message();
}

}  // namespace
}  // namespace vitrail::testing_import
