// SPDX-License-Identifier: Apache-2.0
#include "serve/compression.h"

#include <gmock/gmock.h>

namespace vitrail::serve {
namespace {

using testing::HasSubstr;

std::string sample(size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) text += static_cast<char>((i * 2654435761u) >> 13 & 63);
  return text;
}

struct Inflated {
  Fault fault;
  std::string text;
};
Inflated inflated(Coding coding, std::string_view data, uint64_t most = 1 << 20) {
  HeldBody body;
  Fault fault = inflate_body(coding, data, most, body);
  return {std::move(fault), std::string(body.view())};
}

TEST(Compression, GivesBackWhatWentIn) {
  for (const Coding coding : {Coding::kGzip, Coding::kDeflate})
    for (const size_t size : {0, 1, 65535, 65536, 65537, 300000}) {
      const std::string text = sample(size);
      const Inflated back = inflated(coding, deflate_body(coding, text));
      EXPECT_TRUE(back.fault.ok()) << back.fault.message;
      EXPECT_EQ(back.text, text);
    }
}

TEST(Compression, AGzipBodyMayHaveMembers) {
  const std::string two = deflate_body(Coding::kGzip, "one ") + deflate_body(Coding::kGzip, "two");
  EXPECT_EQ(inflated(Coding::kGzip, two).text, "one two");
  std::string many;
  for (int i = 0; i < 2000; ++i) many += deflate_body(Coding::kGzip, "");
  EXPECT_EQ(inflated(Coding::kGzip, many).fault.cause, Cause::kInvalid);
}

TEST(Compression, ABombStopsAtTheBound) {
  const std::string bomb = deflate_body(Coding::kGzip, std::string(100 << 20, '\0'));  // 0.5 MB
  for (const uint64_t most : {uint64_t{0}, uint64_t{1}, uint64_t{65536}, uint64_t{1} << 20}) {
    HeldBody body;
    const Fault fault = inflate_body(Coding::kGzip, bomb, most, body);
    EXPECT_EQ(fault.cause, Cause::kTooLarge);
    EXPECT_LE(body.size(), most + 1);
  }
  EXPECT_TRUE(inflated(Coding::kGzip, deflate_body(Coding::kGzip, "12345"), 5).fault.ok());
  EXPECT_EQ(inflated(Coding::kGzip, deflate_body(Coding::kGzip, "123456"), 5).fault.cause, Cause::kTooLarge);
}

TEST(Compression, DamageIsNamed) {
  for (const Coding coding : {Coding::kGzip, Coding::kDeflate}) {
    const std::string good = deflate_body(coding, sample(5000));
    for (size_t length = 0; length < good.size(); ++length)
      EXPECT_EQ(inflated(coding, good.substr(0, length)).fault.cause, Cause::kInvalid) << length;
    EXPECT_THAT(inflated(coding, good.substr(0, good.size() - 1)).fault.message, HasSubstr("cut off"));
    std::string flipped = good;
    flipped[good.size() / 2] ^= 0x55;
    EXPECT_EQ(inflated(coding, flipped).fault.cause, Cause::kInvalid);
    EXPECT_THAT(inflated(coding, good + "more").fault.message, HasSubstr(coding == Coding::kGzip ? "damaged" : "follow"));
    EXPECT_THAT(inflated(coding, "{\"inputs\":[]}").fault.message, HasSubstr("damaged at byte"));
  }
}

TEST(Compression, WhatAClientAccepts) {
  EXPECT_EQ(accepted_coding("gzip"), Coding::kGzip);
  EXPECT_EQ(accepted_coding("deflate, GZIP;q=0.5"), Coding::kDeflate);
  EXPECT_EQ(accepted_coding("deflate, gzip"), Coding::kGzip);
  EXPECT_EQ(accepted_coding("br, *;q=0.1"), Coding::kGzip);
  EXPECT_EQ(accepted_coding("gzip;q=0, deflate ; q=0.2"), Coding::kDeflate);
  for (const char* none : {"", "identity", "br", "gzip;q=0", "gzip;q=x", "*;q=0", ",,;;", "gzip ;q="})
    EXPECT_EQ(accepted_coding(none), std::nullopt) << none;
}

TEST(BodyBudget, BoundsAllBodiesTogether) {
  const auto budget = std::make_shared<BodyBudget>(100);
  {
    HeldBody a(budget), b(budget);
    EXPECT_TRUE(a.grow(60));
    EXPECT_FALSE(b.grow(41));
    EXPECT_TRUE(b.grow(40));
    HeldBody c = std::move(a);
    EXPECT_EQ(budget->held(), 100u);
    c = HeldBody();
    EXPECT_EQ(budget->held(), 40u);
  }
  EXPECT_EQ(budget->held(), 0u);
  HeldBody body(budget);
  EXPECT_EQ(inflate_body(Coding::kGzip, deflate_body(Coding::kGzip, "x"), 1 << 20, body).cause, Cause::kBusy);
  EXPECT_TRUE(HeldBody().grow(uint64_t{1} << 60));  // without a budget
}

}  // namespace
}  // namespace vitrail::serve
