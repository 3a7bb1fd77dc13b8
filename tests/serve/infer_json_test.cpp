// SPDX-License-Identifier: Apache-2.0
#include "serve/infer_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

namespace vitrail::serve {
namespace {

using testing::HasSubstr;

Result<InferRequest> parse(std::string text, std::string binary = "") {
  const size_t header = text.size();
  auto body = std::make_shared<const std::string>(text + binary);
  return parse_infer_request(std::as_bytes(std::span(*body)), header, body);
}

template <class T>
std::vector<T> elements(const InferInput& input) {
  std::vector<T> out(input.data.size() / sizeof(T));
  std::memcpy(out.data(), input.data.data(), input.data.size());
  return out;
}

std::string fault_of_parse(const std::string& text, std::string binary = "") {
  const auto request = parse(text, std::move(binary));
  EXPECT_FALSE(request.ok()) << text;
  EXPECT_EQ(request.status().code(), Code::kBadInput);
  return request.status().message();
}

// One input whose members are given.
std::string with_input(const std::string& members) { return R"({"inputs":[{"name":"x",)" + members + "}]}"; }

TEST(InferJson, ReadsARequest) {
  const auto request = parse(R"({"id":"42","parameters":{"priority":2,"timeout":1500,"binary_data_output":true,"own":"x"},
    "inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[[1,2.5],[-3e2,4]]},
              {"name":"y","shape":[3],"datatype":"INT64","data":[9007199254740993,-1,0]}],
    "outputs":[{"name":"a","parameters":{"classification":3}},{"name":"b","parameters":{"binary_data":false}}],
    "unknown":{"deep":[{"er":[1,"x",null,true]}]}})");
  ASSERT_TRUE(request.ok()) << request.status().message();
  EXPECT_EQ(request->id, "42");
  EXPECT_EQ(request->priority, 2);
  EXPECT_EQ(request->timeout_us, 1500);
  EXPECT_TRUE(request->binary_outputs);
  ASSERT_EQ(request->inputs.size(), 2u);
  EXPECT_EQ(request->inputs[0].shape, Shape({2, 2}));
  EXPECT_EQ(elements<float>(request->inputs[0]), std::vector<float>({1, 2.5f, -300, 4}));
  EXPECT_EQ(elements<int64_t>(request->inputs[1]), std::vector<int64_t>({9007199254740993, -1, 0}));
  ASSERT_EQ(request->outputs.size(), 2u);
  EXPECT_EQ(request->outputs[0].classes, 3);
  EXPECT_FALSE(request->outputs[0].binary.has_value());
  EXPECT_EQ(request->outputs[1].binary, false);
}

TEST(InferJson, DataMayComeBeforeItsDatatype) {
  const auto request = parse(R"({"inputs":[{"data":[1,2,3],"name":"x","datatype":"UINT8","shape":[3]}]})");
  ASSERT_TRUE(request.ok()) << request.status().message();
  EXPECT_EQ(elements<uint8_t>(request->inputs[0]), std::vector<uint8_t>({1, 2, 3}));
}

TEST(InferJson, BinaryTensorsFollowTheHeaderInOrder) {
  const std::string header =
      R"({"inputs":[{"name":"a","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}},
                    {"name":"b","shape":[2],"datatype":"UINT8","parameters":{"binary_data_size":2}}]})";
  const float value = 1.5f;
  std::string binary(reinterpret_cast<const char*>(&value), 4);
  binary += "\x07\x08";
  const auto request = parse(header, binary);
  ASSERT_TRUE(request.ok()) << request.status().message();
  EXPECT_EQ(elements<float>(request->inputs[0]), std::vector<float>({1.5f}));
  EXPECT_EQ(elements<uint8_t>(request->inputs[1]), std::vector<uint8_t>({7, 8}));
  EXPECT_THAT(fault_of_parse(header, binary.substr(0, 5)), HasSubstr("'b': binary_data_size is 2, but 1 bytes are left"));
  EXPECT_THAT(fault_of_parse(header, binary + "x"), HasSubstr("1 bytes of the body belong to no input"));
  EXPECT_FALSE(parse_infer_request({}, 1, nullptr).ok());
}

TEST(InferJson, TextsBecomeBytesElements) {
  const auto request = parse(with_input(R"("shape":[2],"datatype":"BYTES","data":["ab","c"])"));
  ASSERT_TRUE(request.ok()) << request.status().message();
  const auto parts = bytes_elements(request->inputs[0], 2);
  ASSERT_TRUE(parts.ok()) << parts.status().message();
  EXPECT_EQ((*parts)[0].size(), 2u);
  EXPECT_EQ((*parts)[1].size(), 1u);
  EXPECT_FALSE(bytes_elements(request->inputs[0], 1).ok());
  EXPECT_FALSE(bytes_elements(request->inputs[0], 3).ok());
}

TEST(InferJson, FaultsNameWhatIsWrong) {
  EXPECT_THAT(fault_of_parse("{"), HasSubstr("not JSON"));
  EXPECT_THAT(fault_of_parse("[]"), HasSubstr("must be a JSON object"));
  EXPECT_THAT(fault_of_parse("7"), HasSubstr("must be a JSON object"));
  EXPECT_THAT(fault_of_parse("{} x"), HasSubstr("not JSON"));
  EXPECT_THAT(fault_of_parse(with_input(R"("datatype":"FP32","data":[1])")), HasSubstr("no 'shape'"));
  EXPECT_THAT(fault_of_parse(with_input(R"("shape":[1],"data":[1])")), HasSubstr("no 'datatype'"));
  EXPECT_THAT(fault_of_parse(with_input(R"("shape":[1],"datatype":"FP32")")), HasSubstr("binary_data_size"));
  EXPECT_THAT(fault_of_parse(R"({"inputs":[{"shape":[1],"datatype":"FP32","data":[1]}]})"), HasSubstr("no 'name'"));
  EXPECT_THAT(fault_of_parse(with_input(R"("shape":[1],"datatype":"FP99","data":[1])")), HasSubstr("'FP99' is not known"));
  EXPECT_THAT(fault_of_parse(with_input(R"("shape":[1],"datatype":"INT8","data":[128])")),
              HasSubstr("128 is outside the range of INT8"));
  EXPECT_THAT(fault_of_parse(with_input(R"("shape":[1],"datatype":"INT8","data":[1.5])")), HasSubstr("INT8"));
  EXPECT_THAT(fault_of_parse(with_input(R"("shape":[1],"datatype":"FP32","data":[1e39])")), HasSubstr("range of FP32"));
  EXPECT_THAT(fault_of_parse(with_input(R"("shape":[1],"datatype":"FP32","data":["1"])")), HasSubstr("a string"));
  EXPECT_THAT(fault_of_parse(with_input(R"("shape":[1],"datatype":"FP32","data":[{"a":1}])")), HasSubstr("an object"));
  EXPECT_THAT(fault_of_parse(with_input(R"("shape":[1],"datatype":"FP16","data":[1])")), HasSubstr("binary tensor"));
  EXPECT_THAT(fault_of_parse(with_input(R"("shape":[-1],"datatype":"FP32","data":[1])")), HasSubstr("-1 is outside"));
  EXPECT_THAT(fault_of_parse(with_input(R"("shape":"1","datatype":"FP32","data":[1])")), HasSubstr("'shape'"));
  EXPECT_THAT(fault_of_parse(with_input(R"("shape":[1.5],"datatype":"FP32","data":[1])")), HasSubstr("'shape'"));
  EXPECT_THAT(fault_of_parse(R"({"inputs":7})"), HasSubstr("'inputs'"));
  EXPECT_THAT(fault_of_parse(R"({"parameters":{"timeout":-1}})"), HasSubstr("'timeout'"));
  EXPECT_THAT(fault_of_parse(R"({"id":7})"), HasSubstr("'id'"));
  for (const char* value : {"\"5\"", "true", "1.5", "null", "[5]", "{}"})
    EXPECT_THAT(fault_of_parse(fmt::format(R"({{"parameters":{{"timeout":{}}}}})", value)), HasSubstr("a whole number")) << value;
  EXPECT_THAT(fault_of_parse(R"({"parameters":{"binary_data_output":1}})"), HasSubstr("true or false"));
  EXPECT_THAT(fault_of_parse(R"({"outputs":[{"parameters":{"classification":"3"}}]})"), HasSubstr("a whole number"));
  EXPECT_THAT(fault_of_parse(R"({"inputs":[{"parameters":{"shared_memory_region":7}}]})"), HasSubstr("a string"));
}

TEST(InferJson, DepthAndNumbersOfThingsAreLimited) {
  EXPECT_THAT(fault_of_parse(with_input(R"("shape":[1],"datatype":"FP32","data":)" + std::string(40, '[') + "1" +
                                        std::string(40, ']'))),
              HasSubstr("nested deeper"));
  EXPECT_THAT(fault_of_parse(R"({"u":)" + std::string(1'000'000, '[')), HasSubstr("nested deeper"));
  std::string inputs, extents;
  for (int i = 0; i < 65; ++i) inputs += std::string(i ? "," : "") + "{}";
  for (int i = 0; i < 17; ++i) extents += std::string(i ? "," : "") + "1";
  EXPECT_THAT(fault_of_parse(R"({"inputs":[)" + inputs + "]}"), HasSubstr("more than 64 inputs"));
  EXPECT_THAT(fault_of_parse(R"({"outputs":[)" + inputs + "]}"), HasSubstr("more than 64 outputs"));
  EXPECT_THAT(fault_of_parse(with_input(R"("shape":[)" + extents + R"(],"datatype":"FP32","data":[1])")),
              HasSubstr("more than 16 extents"));
}

InferOutput output(std::string name, const std::vector<float>& values, bool binary) {
  auto kept = std::make_shared<std::vector<float>>(values);
  return {std::move(name), "FP32", {static_cast<int64_t>(values.size())}, std::as_bytes(std::span(*kept)), kept, binary, {}};
}

TEST(InferJson, SharedMemoryIsNamedInParameters) {
  const auto request = parse(R"({"inputs":[{"name":"x","shape":[1],"datatype":"FP32","parameters":
      {"shared_memory_region":"r","shared_memory_offset":4,"shared_memory_byte_size":8}}],
      "outputs":[{"name":"y","parameters":{"shared_memory_byte_size":16,"shared_memory_region":"s"}}]})");
  ASSERT_TRUE(request.ok()) << request.status().message();
  EXPECT_EQ(request->inputs[0].region->region, "r");
  EXPECT_EQ(request->inputs[0].region->offset, 4u);
  EXPECT_EQ(request->inputs[0].region->byte_size, 8u);
  EXPECT_EQ(request->outputs[0].region->region, "s");
  EXPECT_EQ(request->outputs[0].region->byte_size, 16u);
  InferResponse response{"m", "1", "", {output("a", {1}, true)}};
  response.outputs[0].region = RegionPart{"s", 0, 4};
  const auto body = write_infer_response(response);
  ASSERT_TRUE(body.ok());
  EXPECT_EQ(nlohmann::json::parse(body->content)["outputs"][0]["parameters"]["shared_memory_byte_size"], 4);
}

TEST(InferJson, WritesTheAnswer) {
  InferResponse response{"m", "3", "\"id\"\xff", {output("a", {1, 0.1f}, false), output("b", {2}, true)}};
  const auto body = write_infer_response(response);
  ASSERT_TRUE(body.ok()) << body.status().message();
  ASSERT_EQ(body->content.size(), body->header_length + 4);
  const auto json = nlohmann::json::parse(body->content.substr(0, body->header_length));
  EXPECT_EQ(json["model_name"], "m");
  EXPECT_EQ(json["model_version"], "3");
  EXPECT_EQ(json["outputs"][0]["shape"], std::vector<int>({2}));
  EXPECT_EQ(json["outputs"][0]["data"][1].get<float>(), 0.1f);  // to the bit
  EXPECT_EQ(json["outputs"][1]["parameters"]["binary_data_size"], 4);
  EXPECT_FALSE(json["outputs"][1].contains("data"));
}

TEST(InferJson, WhatJsonCannotSayIsAnErrorUnlessBinary) {
  InferResponse response{"m", "1", "", {output("a", {NAN}, false)}};
  EXPECT_THAT(write_infer_response(response).status().message(), HasSubstr("ask for binary"));
  response.outputs[0].binary = true;
  EXPECT_TRUE(write_infer_response(response).ok());
}

}  // namespace
}  // namespace vitrail::serve
