// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/raw_data.h"

#include <random>

#include "model_builder.h"

namespace vitrail::testing_import {
namespace {

using onnx_import::leave_out_raw_data;

// Of the bytes parsed whole; empty when they are no ModelProto.
std::string parsed_whole(std::string_view bytes) {
  onnx::ModelProto proto;
  return proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ? proto.SerializeAsString() : "";
}

// The same by way of the lean message, with the raw data put back.
std::string parsed_lean(const onnx_import::LeanMessage& lean) {
  onnx::ModelProto proto;
  if (!proto.ParseFromString(lean.message)) return "";
  EXPECT_EQ(proto.graph().initializer_size(), std::ssize(lean.raw_data));
  for (int i = 0; i < proto.graph().initializer_size(); ++i)
    if (const std::string_view raw = lean.raw_data[static_cast<size_t>(i)]; !raw.empty())
      proto.mutable_graph()->mutable_initializer(i)->set_raw_data(std::string(raw));
  return proto.SerializeAsString();
}

std::string sample() {
  ModelBuilder m;
  m.input("x", {"batch", 8}).output("y");
  m.floats("w", {8, 8}, std::vector<float>(64, 0.5f)).ints("shape", {2}, {0, -1});
  m.initializer("bias", {2}, 1).add_float_data(1);
  m.floats("empty", {0}, {});
  m.node("MatMul", {"x", "w"}, {"y"}, "product");
  return m.proto.SerializeAsString();
}

TEST(RawData, LargeOnesAreLeftOutAndAllElseStays) {
  const std::string model = sample();
  const auto lean = leave_out_raw_data(model, 64);
  ASSERT_TRUE(lean);
  ASSERT_EQ(lean->raw_data.size(), 4u);
  EXPECT_EQ(lean->raw_data[0].size(), 256u);
  EXPECT_GE(lean->raw_data[0].data(), model.data());
  EXPECT_LT(lean->raw_data[0].data(), model.data() + model.size());
  for (size_t i = 1; i < 4; ++i) EXPECT_TRUE(lean->raw_data[i].empty()) << i;
  EXPECT_LE(lean->message.size(), model.size() - 256);
  EXPECT_EQ(parsed_lean(*lean), parsed_whole(model));
}

// Two graphs in one message are merged by protobuf; of two raw data in one tensor the last counts.
TEST(RawData, UnusualMessagesAreReadTheSameOrLeftAlone) {
  const std::string twice = sample() + sample();
  const auto lean = leave_out_raw_data(twice, 1);
  ASSERT_TRUE(lean);
  EXPECT_EQ(parsed_lean(*lean), parsed_whole(twice));

  const std::string tensor = "\x4a\x02" "ab" "\x4a\x01" "c";
  const std::string graph = "\x2a" + std::string(1, static_cast<char>(tensor.size())) + tensor;
  const std::string model = "\x3a" + std::string(1, static_cast<char>(graph.size())) + graph;
  EXPECT_NE(parsed_whole(model), "");
  EXPECT_FALSE(leave_out_raw_data(model, 1));
}

TEST(RawData, DamagedMessagesAreReadTheSameOrLeftAlone) {
  const std::string model = sample();
  std::mt19937 random(3);
  int lean_ones = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string changed = model.substr(0, round % 4 ? model.size() : random() % model.size());
    if (changed.empty()) continue;
    for (unsigned n = random() % 4; n > 0; --n)
      changed[random() % changed.size()] = static_cast<char>(random() % 2 ? random() : random() % 16);
    const auto lean = leave_out_raw_data(changed, 1);
    if (!lean) continue;
    ++lean_ones;
    EXPECT_EQ(parsed_lean(*lean), parsed_whole(changed)) << "round " << round;
  }
  EXPECT_GT(lean_ones, 1000);
}

// From a page on they are read past protobuf, at any alignment.
TEST_F(ImportTest, LargeWeightsComeOutWhole) {
  for (size_t padding = 0; padding < 4; ++padding) {
    std::vector<float> values(3 * 1500);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
    ModelBuilder m;
    m.graph().set_name(std::string(padding + 1, 'g'));
    m.input("x", {"batch", 3}).output("y").floats("w", {3, 1500}, values);
    m.node("MatMul", {"x", "w"}, {"y"}, "product");
    const Graph graph = import_ok(m);
    EXPECT_EQ(values_of<float>(graph, "w"), values) << padding;
    m.graph().mutable_initializer(0)->set_dims(1, 1501);
    expect_error(m, {"initializer 'w'", "18000 bytes", "18012"});
  }
}

}  // namespace
}  // namespace vitrail::testing_import
