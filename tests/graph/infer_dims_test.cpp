// SPDX-License-Identifier: Apache-2.0
#include "graph/infer_dims.h"

#include <gtest/gtest.h>

namespace vitrail::infer {
namespace {

// Every answer of the symbolic arithmetic must hold at each batch size that it claims to hold for.
TEST(Dims, AnswersAgreeWithPlainArithmetic) {
  std::vector<Dim> dims;
  for (int64_t slope : {-3, -1, 0, 1, 2, 6})
    for (int64_t fixed : {-7, -2, -1, 0, 1, 3, 6}) dims.push_back({slope, fixed});
  for (Dim a : dims) {
    for (Dim b : dims) {
      bool always_at_most = true, never_at_most = true, always_equal = true, never_equal = true;
      for (int64_t n = 1; n <= 40; ++n) {
        const int64_t x = a.at(n), y = b.at(n);
        (x <= y ? never_at_most : always_at_most) = false;
        (x == y ? never_equal : always_equal) = false;
        auto holds = [&](const char* what, std::optional<Dim> got, int64_t want) {
          if (!got) return;
          EXPECT_EQ(got->at(n), want) << what << " " << to_string(a) << " " << to_string(b) << " N=" << n;
        };
        holds("+", add(a, b), x + y);
        holds("-", subtract(a, b), x - y);
        holds("*", multiply(a, b), x * y);
        if (y != 0) {
          holds("/", divide(a, b), x / y);
          holds("%", modulo(a, b), ((x % y) + y) % y);
        }
        if (b.is_fixed() && y > 0) holds("floor", floor_divide(a, y), (x - ((x % y) + y) % y) / y);
        holds("min", smaller(a, b), std::min(x, y));
        holds("max", larger(a, b), std::max(x, y));
      }
      const std::string pair = to_string(a) + " " + to_string(b);
      if (auto r = at_most(a, b))
        EXPECT_TRUE(*r ? always_at_most : never_at_most) << pair;
      else
        EXPECT_FALSE(always_at_most || never_at_most) << pair;
      if (auto r = equal_for_all_batches(a, b))
        EXPECT_TRUE(*r ? always_equal : never_equal) << pair;
      else
        EXPECT_FALSE(always_equal || never_equal) << pair;
    }
  }
}

TEST(Dims, Broadcast) {
  EXPECT_EQ(broadcast(SymShape{{1, 0}, {0, 1}}, SymShape{{0, 5}}), (SymShape{{1, 0}, {0, 5}}));
  EXPECT_EQ(broadcast(SymShape{{1, 0}}, SymShape{{0, 3}}), std::nullopt);
  EXPECT_EQ(broadcast(SymShape{}, SymShape{{2, 1}}), (SymShape{{2, 1}}));
}

}  // namespace
}  // namespace vitrail::infer
