// SPDX-License-Identifier: Apache-2.0
#include "import/safetensors/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace vitrail::safetensors {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string file_of(const std::string& header, const std::string& data = "") {
  std::string out(8, '\0');
  for (size_t i = 0; i < 8; ++i) out[i] = static_cast<char>(header.size() >> (8 * i) & 0xff);
  return out + header + data;
}

class SafetensorsFile : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("vtl_safetensors_file_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string put(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return (folder_ / name).string();
  }
  std::string refusal(const std::string& content) const {
    Entries entries;
    const Status status = read_file(put("a.safetensors", content), entries);
    EXPECT_EQ(status.code(), Code::kBadInput);
    EXPECT_THAT(status.message(), HasSubstr("a.safetensors"));
    return status.message();
  }
  fs::path folder_;
};

TEST_F(SafetensorsFile, ReadsEveryFloatTypeAndPointsIntoTheFile) {
  const float values[2] = {1.5f, -2.0f};
  std::string data(reinterpret_cast<const char*>(values), 8);
  data += std::string("\x00\x3e\x00\xc0", 4);  // 1.5, -2 in float16
  data += std::string("\xc0\x3f\x00\xc0", 4);  // in bfloat16
  const double wide[2] = {1.5, -2.0};
  data += std::string(reinterpret_cast<const char*>(wide), 16);
  const auto path = put("a.safetensors", file_of(R"({"__metadata__":{"format":"pt"},
      "a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[2,1],"data_offsets":[8,12]},
      "c":{"dtype":"BF16","shape":[1,2],"data_offsets":[12,16]},"d":{"dtype":"F64","shape":[2],"data_offsets":[16,32]},
      "e":{"dtype":"F32","shape":[0,3],"data_offsets":[32,32]},"i":{"dtype":"I64","shape":[],"data_offsets":[0,8]}})",
                                                 data));
  Entries entries;
  const Status status = read_file(path, entries);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(entries.size(), 6u);
  for (const char* name : {"a", "b", "c", "d"}) {
    const auto tensor = to_float(entries.at(name));
    ASSERT_TRUE(tensor.ok()) << name;
    EXPECT_EQ(tensor->shape(), entries.at(name).shape);
    EXPECT_EQ(tensor->as<float>()[0], 1.5f) << name;
    EXPECT_EQ(tensor->as<float>()[1], -2.0f) << name;
  }
  const Entry& a = entries.at("a");
  EXPECT_EQ(to_float(a)->data() == a.data, reinterpret_cast<uintptr_t>(a.data) % 4 == 0);
  EXPECT_EQ(to_float(entries.at("e"))->count(), 0);
  EXPECT_THAT(to_float(entries.at("i")).status().message(), HasSubstr("I64"));
}

TEST_F(SafetensorsFile, UnalignedWeightsAreCopied) {
  for (int pad = 0; pad < 4; ++pad) {
    const float value = 7;
    const auto path = put("a.safetensors", file_of(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})" +
                                                       std::string(pad, ' '),
                                                   std::string(reinterpret_cast<const char*>(&value), 4)));
    Entries entries;
    ASSERT_TRUE(read_file(path, entries).ok());
    EXPECT_EQ(to_float(entries.at("a"))->as<float>()[0], 7.0f);
  }
}

TEST_F(SafetensorsFile, WhatTheHeaderSaysIsCheckedBeforeAnythingIsAllocated) {
  EXPECT_THAT(refusal(""), HasSubstr("no safetensors file"));
  EXPECT_THAT(refusal(std::string(8, '\xff')), HasSubstr("claims 18446744073709551615 bytes"));
  EXPECT_THAT(refusal(file_of("{")), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal(file_of("[]")), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal(file_of(std::string(100000, '['))), HasSubstr("not a JSON object"));
  const auto tensor = [&](const std::string& fields) { return refusal(file_of("{\"a\":{" + fields + "}}", "12345678")); };
  EXPECT_THAT(tensor(""), HasSubstr("tensor 'a'"));
  EXPECT_THAT(tensor(R"("dtype":"F33","shape":[],"data_offsets":[0,4])"), HasSubstr("F33"));
  EXPECT_THAT(tensor(R"("dtype":"F32","shape":[1000000000000000],"data_offsets":[0,4000000000000000])"),
              HasSubstr("cut off"));
  EXPECT_THAT(tensor(R"("dtype":"F32","shape":[1000000000000000],"data_offsets":[0,8])"), HasSubstr("needs 4000000000000000"));
  EXPECT_THAT(tensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])"), HasSubstr("not possible"));
  EXPECT_THAT(tensor(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), HasSubstr("whole numbers"));
  EXPECT_THAT(tensor(R"("dtype":"F32","shape":[1.5],"data_offsets":[0,4])"), HasSubstr("whole numbers"));
  EXPECT_THAT(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])"), HasSubstr("data_offsets"));
  EXPECT_THAT(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[8,12])"), HasSubstr("cut off"));
  EXPECT_THAT(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615])"), HasSubstr("data_offsets"));
}

TEST_F(SafetensorsFile, ShardsLieBesideTheirIndex) {
  put("one.safetensors", file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234"));
  put("two.safetensors", file_of(R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234"));
  const auto index = [&](const std::string& map) {
    return open_checkpoint(put("model.safetensors.index.json", R"({"weight_map":)" + map + "}"));
  };
  const auto good = index(R"({"a":"one.safetensors","b":"two.safetensors","c":"two.safetensors"})");
  ASSERT_TRUE(good.ok()) << good.status().message();
  EXPECT_EQ(good->files.size(), 2u);
  EXPECT_TRUE(good->entries.contains("a") && good->entries.contains("b"));
  for (const char* name : {"../one.safetensors", "/etc/passwd", "..", "", "a/one.safetensors", "one.safetensors\\u0000x"}) {
    const auto outside = index(std::string(R"({"a":")") + name + "\"}");
    ASSERT_FALSE(outside.ok()) << name;
    EXPECT_THAT(outside.status().message(), HasSubstr("not a file beside the index")) << name;
  }
  EXPECT_THAT(index(R"({"a":3})").status().message(), HasSubstr("is no name"));
  EXPECT_THAT(index("[]").status().message(), HasSubstr("weight_map"));
  EXPECT_THAT(index("{}").status().message(), HasSubstr("names no file"));
  EXPECT_EQ(index(R"({"a":"three.safetensors"})").status().code(), Code::kIo);
  put("two.safetensors", file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234"));
  EXPECT_THAT(index(R"({"a":"one.safetensors","b":"two.safetensors"})").status().message(), HasSubstr("in two files"));
}

}  // namespace
}  // namespace vitrail::safetensors
