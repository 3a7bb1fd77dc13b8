// SPDX-License-Identifier: Apache-2.0
// Every operator with operands and attributes that make no sense: inference must answer or refuse, within
// bounds. The sanitizer builds are what gives this test its teeth.
#include <gtest/gtest.h>

#include <random>

#include "../passes/graph_builder.h"
#include "graph/infer.h"

namespace vitrail::testing {
namespace {

class Fuzz {
 public:
  explicit Fuzz(unsigned seed) : random_(seed) {}

  int64_t number() {
    static const Ints kNasty{
        INT64_MIN, INT64_MIN + 1, -(int64_t{1} << 40), -3,       -2, -1, 0, 1, 2, 3, 4, 7,
        1 << 20,   INT32_MAX,     int64_t{1} << 40,    INT64_MAX};
    return kNasty[pick(kNasty.size())];
  }
  Ints numbers() {
    Ints values(pick(6));
    for (int64_t& v : values) v = number();
    return values;
  }
  SymShape shape() {
    static const SymShape kDims{
        {1, 0}, {196, 0}, {1, 1}, {0, 0}, {0, 1}, {0, 3}, {0, 4}, {0, 8}, {0, int64_t{1} << 35}};
    SymShape s(pick(6));
    for (Dim& d : s) d = kDims[pick(kDims.size())];
    return s;
  }
  ValueId operand(GraphBuilder& b) {
    switch (pick(8)) {
      case 0:
        return kNoValue;
      case 1:
        return b.ints(numbers());
      case 2:
        return b.integer(number());
      case 3:
        return b.constant(Tensor::f32({2}, {NAN, 1e30f}));
      case 4:
        return b.node(Op::Shape, {b.input("s" + std::to_string(inputs_++), shape())});
      case 5:
        return b.input("i" + std::to_string(inputs_++), shape(), DType::kI64);
      default:
        return b.input("f" + std::to_string(inputs_++), shape());
    }
  }
  Attributes attributes() {
    static const char* kIntegers[] = {"axis",        "to",           "keepdims",  "start",     "end",
                                      "group",       "blocksize",    "heads",     "head_dim",  "q_offset",
                                      "prefix",      "out_channels", "packed_n",  "ceil_mode", "allowzero",
                                      "num_outputs", "transA",       "block_size"};
    static const char* kLists[] = {"axes",      "perm",  "kernel_shape",   "strides",      "pads",
                                   "dilations", "shape", "output_padding", "output_shape", "value_ints"};
    Attributes a;
    for (const char* name : kIntegers)
      if (pick(3) == 0) a[name] = number();
    for (const char* name : kLists)
      if (pick(3) == 0) a[name] = pick(2) ? numbers() : Ints(pick(5), 1 + static_cast<int64_t>(pick(3)));
    if (pick(4) == 0) a["auto_pad"] = "SAME_UPPER";
    if (pick(4) == 0) a["value"] = Tensor::i64({1}, {number()});
    return a;
  }
  size_t pick(size_t count) { return random_() % count; }

 private:
  std::mt19937 random_;
  int inputs_ = 0;
};

TEST(InferFuzz, NonsenseIsRefusedOrBounded) {
  int answered = 0;
  for (const OpInfo& info : all_ops()) {
    for (unsigned seed = 0; seed < 400; ++seed) {
      Fuzz fuzz(seed);
      GraphBuilder b;
      std::vector<ValueId> inputs(fuzz.pick(static_cast<size_t>(std::min(info.max_inputs, 4)) + 1));
      for (ValueId& id : inputs) id = fuzz.operand(b);
      const auto outputs = b.nodes(info.op, inputs, info.max_outputs > 1 ? 2 : 1, fuzz.attributes());
      if (!infer_shapes(b.graph).ok()) continue;
      for (ValueId id : outputs) {
        const Value& v = b.graph.value(id);
        if (!v.shape) continue;
        ++answered;
        const auto count = element_count(*v.shape);
        for (Dim d : *v.shape)
          ASSERT_TRUE(d.per_batch >= 0 && d.at(1) >= 0) << info.name << " " << to_string(*v.shape);
        if (!v.integers) continue;
        ASSERT_EQ(count, Dim::of(std::ssize(*v.integers))) << info.name;
      }
    }
  }
  EXPECT_GT(answered, 2000);  // else the nonsense is refused too early to test anything
}

}  // namespace
}  // namespace vitrail::testing
