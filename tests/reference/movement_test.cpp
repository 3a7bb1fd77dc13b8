// SPDX-License-Identifier: Apache-2.0
#include "call.h"

namespace vitrail {
namespace {

Tensor count_up(const Shape& shape) {
  Tensor t(DType::kI64, shape);
  int64_t next = 0;
  for (int64_t& v : t.as_mutable<int64_t>()) v = next++;
  return t;
}

TEST(Movement, Slice) {
  const Tensor x = count_up({2, 5});
  expect_i64(run(Op::Slice, {x, vec({1}), vec({4}), vec({1})}), {2, 3}, {1, 2, 3, 6, 7, 8});
  expect_i64(run(Op::Slice, {x, vec({-1}), vec({INT64_MIN}), vec({1}), vec({-2})}), {2, 3},
             {4, 2, 0, 9, 7, 5});
  expect_i64(run(Op::Slice, {x, vec({0}), vec({INT64_MAX}), vec({-1}), vec({INT64_MAX})}), {2, 1}, {0, 5});
  expect_i64(run(Op::Slice, {x, vec({4}), vec({0}), vec({1}), vec({INT64_MIN})}), {2, 1}, {4, 9});
  expect_i64(run(Op::Slice, {x, vec({3}), vec({1}), vec({1})}), {2, 0}, {});
  failure(Op::Slice, {x, vec({0}), vec({1}), vec({2})});
  failure(Op::Slice, {x, vec({0}), vec({1}), vec({1}), vec({0})});
  failure(Op::Slice, {x, vec({0, 0}), vec({1, 1}), vec({1, -1})});
}

TEST(Movement, Gather) {
  const Tensor x = count_up({3, 2});
  expect_i64(run(Op::Gather, {x, Tensor::i64({2, 1}, {-1, 0})}), {2, 1, 2}, {4, 5, 0, 1});
  expect_i64(run(Op::Gather, {x, Tensor::i64({}, {1})}, {{"axis", int64_t{1}}}), {3}, {1, 3, 5});
  EXPECT_THAT(failure(Op::Gather, {x, vec({3})}), testing::HasSubstr("index 3"));
  failure(Op::Gather, {x, vec({-4})});
}

TEST(Movement, TransposeExpandTile) {
  const Tensor x = count_up({2, 3});
  expect_i64(run(Op::Transpose, {x}), {3, 2}, {0, 3, 1, 4, 2, 5});
  expect_i64(run(Op::Transpose, {count_up({1, 2, 2})}, {{"perm", ints({2, 0, 1})}}), {2, 1, 2}, {0, 2, 1, 3});
  expect_i64(run(Op::Expand, {count_up({2, 1}), vec({2, 1, 2})}), {2, 2, 2}, {0, 0, 1, 1, 0, 0, 1, 1});
  expect_i64(run(Op::Tile, {x, vec({1, 2})}), {2, 6}, {0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5});
  failure(Op::Transpose, {x}, {{"perm", ints({0, 0})}});
  failure(Op::Transpose, {x}, {{"perm", ints({0})}});
  failure(Op::Tile, {x, vec({-1, 2})});
}

TEST(Movement, ConcatAndSplit) {
  const Tensor x = count_up({2, 2});
  expect_i64(run(Op::Concat, {x, count_up({2, 1})}, {{"axis", int64_t{-1}}}), {2, 3}, {0, 1, 0, 2, 3, 1});
  failure(Op::Concat, {x, count_up({1, 1})}, {{"axis", int64_t{0}}});
  const auto parts =
      evaluate(Op::Split, {count_up({1, 5})}, {{"axis", int64_t{1}}, {"num_outputs", int64_t{2}}}, 2);
  ASSERT_TRUE(parts.ok());
  expect_i64((*parts)[0], {1, 3}, {0, 1, 2});
  expect_i64((*parts)[1], {1, 2}, {3, 4});
  const auto given = evaluate(Op::Split, {x, vec({2, 0})}, {{"axis", int64_t{1}}}, 2);
  ASSERT_TRUE(given.ok());
  expect_i64((*given)[1], {2, 0}, {});
  failure(Op::Split, {x, vec({1, 2})});
  failure(Op::Split, {x, vec({INT64_MAX, INT64_MAX, 4})});
}

TEST(Movement, Pad) {
  const Tensor x = count_up({1, 3});
  const auto mode = [](const char* name) { return Attributes{{"mode", std::string(name)}}; };
  expect_i64(run(Op::Pad, {x, vec({0, 2, 0, 1}), vec({9}).reshaped({})}), {1, 6}, {9, 9, 0, 1, 2, 9});
  expect_i64(run(Op::Pad, {x, vec({0, -1, 0, 1})}), {1, 3}, {1, 2, 0});
  expect_i64(run(Op::Pad, {x, vec({2, 3}), Tensor(), vec({-1})}, mode("edge")), {1, 8},
             {0, 0, 0, 1, 2, 2, 2, 2});
  expect_i64(run(Op::Pad, {x, vec({3, 3}), Tensor(), vec({1})}, mode("reflect")), {1, 9},
             {1, 2, 1, 0, 1, 2, 1, 0, 1});
  expect_i64(run(Op::Pad, {x, vec({4, 1}), Tensor(), vec({1})}, mode("wrap")), {1, 8},
             {2, 0, 1, 2, 0, 1, 2, 0});
  failure(Op::Pad, {x, vec({1, 1})});
  failure(Op::Pad, {x, vec({0, INT64_MAX, 0, 0})});
  failure(Op::Pad, {Tensor(DType::kI64, {0}), vec({1, 1})}, mode("edge"));
  failure(Op::Pad, {x, vec({0, 0, 0, 0})}, mode("mirror"));
}

TEST(Movement, ReshapeKnowsZeroAndMinusOne) {
  const Tensor x = count_up({2, 3, 4});
  EXPECT_EQ(run(Op::Reshape, {x, vec({0, -1})}).shape(), (Shape{2, 12}));
  EXPECT_EQ(run(Op::Reshape, {x}, {{"shape", ints({4, -1, 3})}}).shape(), (Shape{4, 2, 3}));
  EXPECT_EQ(run(Op::Reshape, {count_up({0, 3}), vec({3, 0})}, {{"allowzero", int64_t{1}}}).shape(),
            (Shape{3, 0}));
  failure(Op::Reshape, {x, vec({-1, -1})});
  failure(Op::Reshape, {x, vec({5, -1})});
  failure(Op::Reshape, {x, vec({INT64_MAX, INT64_MAX})});
  failure(Op::Reshape, {x});
}

TEST(Movement, ShapesOfShapes) {
  const Tensor x = count_up({2, 1, 3});
  EXPECT_EQ(run(Op::Squeeze, {x}).shape(), (Shape{2, 3}));
  EXPECT_EQ(run(Op::Squeeze, {x, vec({-2})}).shape(), (Shape{2, 3}));
  EXPECT_EQ(run(Op::Unsqueeze, {x, vec({0, -1})}).shape(), (Shape{1, 2, 1, 3, 1}));
  EXPECT_EQ(run(Op::Flatten, {x}, {{"axis", int64_t{-1}}}).shape(), (Shape{2, 3}));
  expect_i64(run(Op::Shape, {x}, {{"start", int64_t{-2}}}), {2}, {1, 3});
  expect_i64(run(Op::Size, {x}), {}, {6});
  failure(Op::Squeeze, {x, vec({0})});
  failure(Op::Unsqueeze, {x, vec({0, 0})});
}

TEST(Movement, MakersOfTensors) {
  expect_i64(run(Op::Range, {Tensor::i64({}, {10}), Tensor::i64({}, {3}), Tensor::i64({}, {-3})}), {3},
             {10, 7, 4});
  expect_f32(run(Op::Range, {Tensor::f32({}, {0}), Tensor::f32({}, {1}), Tensor::f32({}, {0.4f})}), {3},
             {0, 0.4f, 0.8f});
  expect_i64(run(Op::ConstantOfShape, {vec({2})}, {{"value", Tensor::i64({1}, {7})}}), {2}, {7, 7});
  expect_f32(run(Op::ConstantOfShape, {vec({1, 2})}), {1, 2}, {0, 0});
  expect_i64(run(Op::Constant, {}, {{"value_ints", ints({4, 5})}}), {2}, {4, 5});
  failure(Op::Range, {Tensor::i64({}, {0}), Tensor::i64({}, {1}), Tensor::i64({}, {0})});
  failure(Op::Constant, {});
}

// Sizes come from files: absurd ones are refused before anything is allocated.
TEST(Movement, AbsurdSizesAreRefused) {
  const int64_t huge = int64_t{1} << 40;
  const Tensor one = Tensor::f32({1}, {1});
  for (const auto& result :
       {evaluate(Op::ConstantOfShape, {vec({huge, huge})}),
        evaluate(Op::ConstantOfShape, {vec({0, huge, huge})}), evaluate(Op::Expand, {one, vec({huge})}),
        evaluate(Op::Tile, {one, vec({huge})}),
        evaluate(Op::Pad, {one.reshaped({1, 1}), vec({huge / 1024, huge / 1024, huge / 1024, huge / 1024})}),
        evaluate(Op::Range,
                 {Tensor::i64({}, {INT64_MIN}), Tensor::i64({}, {INT64_MAX}), Tensor::i64({}, {1})}),
        evaluate(Op::Range, {Tensor::f32({}, {0}), Tensor::f32({}, {1e30f}), Tensor::f32({}, {1e-30f})}),
        evaluate(Op::Resize, {one, Tensor(), Tensor::f32({1}, {1e20f})})}) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.status().code(), Code::kResource) << result.status().message();
    EXPECT_THAT(result.status().message(), testing::HasSubstr("the_layer"));
  }
  failure(Op::ConstantOfShape, {vec({-1})});
}

TEST(Movement, DepthToSpaceAndBack) {
  const Tensor x = count_up({1, 4, 1, 2});
  for (const char* mode : {"DCR", "CRD"}) {
    const Attributes attributes{{"blocksize", int64_t{2}}, {"mode", std::string(mode)}};
    const Tensor wide = run(Op::DepthToSpace, {x}, attributes);
    expect_i64(wide, {1, 1, 2, 4}, {0, 2, 1, 3, 4, 6, 5, 7});
    expect_i64(run(Op::SpaceToDepth, {wide}, attributes), {1, 4, 1, 2}, {0, 1, 2, 3, 4, 5, 6, 7});
  }
  failure(Op::DepthToSpace, {x}, {{"blocksize", int64_t{3}}});
  failure(Op::DepthToSpace, {x}, {{"blocksize", int64_t{0}}});
}

TEST(Movement, DropoutIsTheIdentity) {
  const Tensor x = Tensor::f32({2}, {1, 2});
  const auto both = evaluate(Op::Dropout, {x, Tensor::f32({}, {0.5f}), bools({}, {0})}, {}, 2);
  ASSERT_TRUE(both.ok());
  expect_f32((*both)[0], {2}, {1, 2});
  EXPECT_EQ((*both)[1].as<uint8_t>()[1], 1);
  EXPECT_THAT(failure(Op::Dropout, {x, Tensor::f32({}, {0.5f}), bools({}, {1})}),
              testing::HasSubstr("training"));
}

}  // namespace
}  // namespace vitrail
