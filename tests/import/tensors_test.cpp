// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/tensor_reader.h"

#include <functional>
#include <limits>

#include "model_builder.h"

namespace vitrail::testing_import {
namespace {

using onnx::TensorProto;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Tensors = ImportTest;

Result<Tensor> read(const std::function<void(TensorProto&)>& fill) {
  auto model = std::make_shared<onnx_import::ModelFile>();
  TensorProto& tensor = *model->proto.mutable_graph()->add_initializer();
  fill(tensor);
  return onnx_import::TensorReader(model, "").read(tensor);
}

template <class T>
std::vector<T> read_values(int32_t type, DType expected, const std::function<void(TensorProto&)>& fill) {
  const auto tensor = read([&](TensorProto& t) {
    t.set_data_type(type);
    t.add_dims(2);
    fill(t);
  });
  EXPECT_TRUE(tensor.ok()) << tensor.status().message();
  if (!tensor.ok()) return {};
  EXPECT_EQ(tensor->dtype(), expected);
  const auto values = tensor->template as<T>();
  return {values.begin(), values.end()};
}

template <class T>
void expect_raw(int32_t type, DType dtype, std::vector<T> values) {
  EXPECT_EQ(read_values<T>(type, dtype, [&](TensorProto& t) { t.set_raw_data(raw_bytes(values)); }), values);
}

TEST_F(Tensors, RawDataOfEveryType) {
  expect_raw<float>(1, DType::kF32, {1.5f, -2});
  expect_raw<uint8_t>(2, DType::kU8, {1, 255});
  expect_raw<int8_t>(3, DType::kI8, {-1, 127});
  expect_raw<uint16_t>(4, DType::kU16, {1, 65535});
  expect_raw<int16_t>(5, DType::kI16, {-1, 300});
  expect_raw<int32_t>(6, DType::kI32, {-1, 70000});
  expect_raw<int64_t>(7, DType::kI64, {-1, int64_t{1} << 40});
  expect_raw<uint8_t>(9, DType::kBool, {0, 1});
  expect_raw<uint16_t>(10, DType::kF16, {0x3c00, 0xc000});
  expect_raw<double>(11, DType::kF64, {1e300, -2});
  expect_raw<uint32_t>(12, DType::kU32, {1, 0xffffffffu});
  expect_raw<uint64_t>(13, DType::kU64, {1, ~uint64_t{0}});
  expect_raw<uint16_t>(16, DType::kBF16, {0x3f80, 0xc000});
}

TEST_F(Tensors, TypedFieldsOfEveryType) {
  auto int32s = [](int32_t a, int32_t b) {
    return [=](TensorProto& t) {
      t.add_int32_data(a);
      t.add_int32_data(b);
    };
  };
  auto uint64s = [](uint64_t a, uint64_t b) {
    return [=](TensorProto& t) {
      t.add_uint64_data(a);
      t.add_uint64_data(b);
    };
  };
  EXPECT_THAT(read_values<float>(1, DType::kF32,
                                 [](TensorProto& t) {
                                   t.add_float_data(1.5f);
                                   t.add_float_data(-2);
                                 }),
              ElementsAre(1.5f, -2));
  EXPECT_THAT(read_values<double>(11, DType::kF64,
                                  [](TensorProto& t) {
                                    t.add_double_data(1e300);
                                    t.add_double_data(-2);
                                  }),
              ElementsAre(1e300, -2));
  EXPECT_THAT(read_values<int64_t>(7, DType::kI64,
                                   [](TensorProto& t) {
                                     t.add_int64_data(int64_t{1} << 40);
                                     t.add_int64_data(-2);
                                   }),
              ElementsAre(int64_t{1} << 40, -2));
  EXPECT_THAT(read_values<uint8_t>(2, DType::kU8, int32s(1, 255)), ElementsAre(1, 255));
  EXPECT_THAT(read_values<int8_t>(3, DType::kI8, int32s(-1, 127)), ElementsAre(-1, 127));
  EXPECT_THAT(read_values<uint16_t>(4, DType::kU16, int32s(1, 65535)), ElementsAre(1, 65535));
  EXPECT_THAT(read_values<int16_t>(5, DType::kI16, int32s(-1, 300)), ElementsAre(-1, 300));
  EXPECT_THAT(read_values<int32_t>(6, DType::kI32, int32s(-1, 70000)), ElementsAre(-1, 70000));
  EXPECT_THAT(read_values<uint8_t>(9, DType::kBool, int32s(0, 256)), ElementsAre(0, 1));
  EXPECT_THAT(read_values<uint16_t>(10, DType::kF16, int32s(0x3c00, 0xc000)), ElementsAre(0x3c00, 0xc000));
  EXPECT_THAT(read_values<uint16_t>(16, DType::kBF16, int32s(0x3f80, 0xc000)), ElementsAre(0x3f80, 0xc000));
  EXPECT_THAT(read_values<uint32_t>(12, DType::kU32, uint64s(1, 0xffffffffu)), ElementsAre(1, 0xffffffffu));
  EXPECT_THAT(read_values<uint64_t>(13, DType::kU64, uint64s(1, ~uint64_t{0})), ElementsAre(1, ~uint64_t{0}));
}

TEST_F(Tensors, LargeOnesAreSharedWithTheMessage) {
  auto model = std::make_shared<onnx_import::ModelFile>();
  TensorProto& raw = *model->proto.mutable_graph()->add_initializer();
  raw.set_data_type(1);
  raw.add_dims(1000);
  raw.set_raw_data(std::string(4000, '\1'));
  TensorProto& typed = *model->proto.mutable_graph()->add_initializer();
  typed.set_data_type(1);
  typed.add_dims(100);
  for (int i = 0; i < 100; ++i) typed.add_float_data(static_cast<float>(i));
  auto reader = std::make_unique<onnx_import::TensorReader>(model, "");
  const auto a = reader->read(raw), b = reader->read(typed);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(a->data(), raw.raw_data().data());
  EXPECT_EQ(b->data(), typed.float_data().data());
  const std::weak_ptr<onnx_import::ModelFile> watch = model;
  model.reset();
  reader.reset();
  EXPECT_FALSE(watch.expired()) << "the tensors no longer keep their bytes alive";
}

TEST_F(Tensors, BooleansOtherThanZeroAndOneAreCleaned) {
  EXPECT_THAT(read_values<uint8_t>(9, DType::kBool, [](TensorProto& t) { t.set_raw_data("\x02\xff"); }),
              ElementsAre(1, 1));
}

TEST_F(Tensors, ScalarsAndEmptyOnes) {
  const auto scalar = read([](TensorProto& t) {
    t.set_data_type(1);
    t.add_float_data(3);
  });
  ASSERT_TRUE(scalar.ok());
  EXPECT_EQ(scalar->count(), 1);
  const auto none = read([](TensorProto& t) {
    t.set_data_type(1);
    t.add_dims(0);
  });
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->count(), 0);
  EXPECT_FALSE(none->empty()) << "a tensor of no elements is still a tensor";
}

TEST_F(Tensors, WhoseSizeDoesNotFitTheirShapeAreAnError) {
  auto with_dims = [](std::vector<int64_t> dims) {
    return read([&](TensorProto& t) {
      t.set_data_type(1);
      for (int64_t d : dims) t.add_dims(d);
      t.set_raw_data(std::string(8, '\0'));
    });
  };
  EXPECT_TRUE(with_dims({2}).ok());
  for (const auto& dims : std::vector<std::vector<int64_t>>{{3},
                                                            {1},
                                                            {-2},
                                                            {-1, -2},
                                                            {int64_t{1} << 62, 8},
                                                            {0, int64_t{1} << 62, int64_t{1} << 62},
                                                            {int64_t{1} << 32, int64_t{1} << 32, 2},
                                                            {int64_t{1} << 60},
                                                            {std::numeric_limits<int64_t>::min()}}) {
    const auto tensor = with_dims(dims);
    ASSERT_FALSE(tensor.ok()) << to_string(dims);
    EXPECT_EQ(tensor.status().code(), Code::kBadInput);
    EXPECT_THAT(tensor.status().message(), HasSubstr(to_string(dims)));
  }
  // A huge shape without data must not be allocated first.
  const auto absent = read([](TensorProto& t) {
    t.set_data_type(10);
    t.add_dims(int64_t{1} << 50);
  });
  ASSERT_FALSE(absent.ok());
  EXPECT_THAT(absent.status().message(), HasSubstr("0 elements"));
}

TEST_F(Tensors, OfTypesThatVitrailLacksAreAnErrorThatNamesThem) {
  for (const auto& [type, name] : std::vector<std::pair<int32_t, const char*>>{{8, "string"},
                                                                               {14, "complex64"},
                                                                               {18, "float8e4m3fnuz"},
                                                                               {22, "int4"},
                                                                               {99, "data type 99"},
                                                                               {0, "type 0"}}) {
    ModelBuilder m = one_node("Relu");
    m.initializer("odd", {1}, type);
    expect_error(m, {"initializer 'odd'", name});
  }
}

TEST_F(Tensors, SparseInitializersAreAnError) {
  ModelBuilder m = one_node("Relu");
  m.graph().add_sparse_initializer();
  expect_error(m, {"sparse"});
}

}  // namespace
}  // namespace vitrail::testing_import
