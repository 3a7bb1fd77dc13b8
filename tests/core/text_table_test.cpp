// SPDX-License-Identifier: Apache-2.0
#include "core/text_table.h"

#include <gtest/gtest.h>

namespace vitrail {
namespace {

TEST(TextTable, WordsStandToTheLeftAndNumbersToTheRight) {
  TextTable table({"batch", "ms", "type", "share", "kernel"});
  table.add_row({"1", "0.5", "f16", "–", "gemm"});
  table.add_row({"16", "-12.25", "int8", "98 %", "a_long_name"});
  EXPECT_EQ(table.str(),
            "batch      ms  type  share  kernel\n"
            "───────────────────────────────────────\n"
            "1         0.5  f16       –  gemm\n"
            "16     -12.25  int8   98 %  a_long_name\n");
}

TEST(TextTable, CellsArePrintableAndAsManyAsTheHeader) {
  TextTable table({"name", "n"});
  table.add_row({"a\x1b[31m\nb"});
  table.add_row({"é", "<1", "surplus"});
  EXPECT_EQ(table.str(),
            "name       n\n"
            "────────────\n"
            "a?[31m b\n"
            "é         <1\n");
}

}  // namespace
}  // namespace vitrail
