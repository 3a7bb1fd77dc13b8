// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/tactics.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace vitrail::cuda {
namespace {

class Tactics : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_ = testing::TempDir() + "tactics_" + std::to_string(getpid()) + "_" +
                        testing::UnitTest::GetInstance()->current_test_info()->name();
  std::string path_ = folder_ + "/deep/tactics.json";
};

TEST_F(Tactics, SurviveTheFile) {
  TacticCache cache = TacticCache::open(path_);
  EXPECT_EQ(cache.size(), 0u);
  cache.put("a", {"pingpong_128x192", 12.5});
  ASSERT_TRUE(cache.save().ok());
  EXPECT_EQ(TacticCache::open(path_).find("a"), (Timing{"pingpong_128x192", 12.5}));
  EXPECT_FALSE(TacticCache::open(path_).find("b"));
}

TEST_F(Tactics, KeepWhatAnotherBuildHasWritten) {
  TacticCache first = TacticCache::open(path_), second = TacticCache::open(path_);
  first.put("a", {"x", 1});
  second.put("b", {"y", 2});
  ASSERT_TRUE(first.save().ok());
  ASSERT_TRUE(second.save().ok());
  EXPECT_EQ(TacticCache::open(path_).size(), 2u);
}

TEST_F(Tactics, ABrokenFileCountsAsEmptyAndIsReplaced) {
  for (const char* text :
       {"", "{", "[]", "{\"format\":1}", "{\"format\":2,\"timings\":{}}",
        "{\"format\":1,\"timings\":{\"a\":{\"config\":3,\"us\":1},\"b\":7}}", "\xff\xfe"}) {
    std::filesystem::create_directories(folder_ + "/deep");
    std::ofstream(path_) << text;
    TacticCache cache = TacticCache::open(path_);
    EXPECT_EQ(cache.size(), 0u) << text;
    cache.put("a", {"c", 1});
    ASSERT_TRUE(cache.save().ok());
    EXPECT_EQ(TacticCache::open(path_).size(), 1u) << text;
  }
}

TEST_F(Tactics, KeyTellsProblemsApart) {
  const Device device{"GPU", 90, 132, 0, 13000, 13000};
  Product p;
  p.args.m = 197, p.args.n = 768, p.args.k = 3072;
  const std::string plain = tactic_key(device, p);
  Product residual = p;
  residual.args.residual = &residual;
  residual.args.residual_rows = 197;
  EXPECT_NE(tactic_key(device, residual), plain);
  Product wide = p;
  wide.args.m = 394;
  EXPECT_NE(tactic_key(device, wide), plain);
  Product fp8 = p;
  fp8.type = Type::kE4M3;
  EXPECT_NE(tactic_key(device, fp8), plain);
  EXPECT_NE(tactic_key({"other", 90, 132, 0, 13000, 13000}, p), plain);
}

}  // namespace
}  // namespace vitrail::cuda
