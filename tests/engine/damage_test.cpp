// SPDX-License-Identifier: Apache-2.0
// Whatever happens to the file, loading it is an error that says where, never a crash.
#include <cstring>
#include <random>

#include "engine/format.h"
#include "engine/graph_json.h"
#include "sample.h"

namespace vitrail {
namespace {

using test::read_all;
using test::write_all;

class Damage : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(write_engine(path_, test::sample_info(), test::sample_graph()).ok());
    ASSERT_TRUE(write_certificate(path_, R"({"passed":true})").ok());
    good_ = read_all(path_);
  }
  // The name of the section that holds a byte.
  std::string section(size_t byte) const {
    FileHeader header;
    std::memcpy(&header, good_.data(), sizeof header);
    if (byte < header.header_bytes) return "header";
    for (size_t i = 0; i < header.segment_count; ++i) {
      SegmentEntry entry;
      std::memcpy(&entry, good_.data() + sizeof header + i * sizeof entry, sizeof entry);
      const std::string name = segment_name(entry.kind, i);
      if (byte < entry.offset) return "padding before " + name;
      if (byte < entry.offset + entry.bytes) return name;
    }
    return "?";
  }
  Status load(const std::string& bytes) const {
    write_all(path_, bytes);
    return load_engine(path_, 1).status();
  }

  test::TempDir dir_;
  std::string path_ = dir_ / "e.vtl";
  std::string good_;
};

TEST_F(Damage, EveryChangedByteIsRefusedAndItsSectionNamed) {
  const ByteSpan good = std::as_bytes(std::span(good_));
  ASSERT_TRUE(open_container(good, 1).ok());
  for (size_t i = 0; i < good_.size(); ++i) {
    for (int change : {0x01, 0x80, 0xFF}) {
      std::string bad = good_;
      bad[i] = static_cast<char>(bad[i] ^ change);
      const Status status = open_container(std::as_bytes(std::span(bad)), 1).status();
      ASSERT_FALSE(status.ok()) << "byte " << i << " of " << good_.size();
      EXPECT_EQ(status.code(), Code::kBadInput);
      EXPECT_NE(status.message().find(section(i)), std::string::npos)
          << "byte " << i << ": " << status.message();
    }
  }
  // The whole way through a file, at fewer places.
  for (size_t i = 0; i < good_.size(); i += 97) {
    std::string bad = good_;
    bad[i] = static_cast<char>(bad[i] + 1);
    EXPECT_FALSE(load(bad).ok()) << "byte " << i;
  }
  EXPECT_TRUE(load(good_).ok());
}

TEST_F(Damage, EveryTruncationIsRefused) {
  for (size_t length = 0; length < good_.size(); ++length) {
    const Status status = open_container(std::as_bytes(std::span(good_).first(length)), 1).status();
    ASSERT_EQ(status.code(), Code::kBadInput) << length;
  }
  const Status empty = load("");
  EXPECT_NE(empty.message().find("not a Vitrail engine"), std::string::npos) << empty.message();
  const Status half = load(good_.substr(0, good_.size() / 2));
  EXPECT_NE(half.message().find(std::to_string(good_.size())), std::string::npos) << half.message();
  EXPECT_FALSE(load(good_ + '\0').ok());
}

TEST_F(Damage, NotAnEngine) {
  const Status status = load("PK\3\4 something else altogether, long enough to hold a header");
  EXPECT_EQ(status.code(), Code::kBadInput);
  EXPECT_NE(status.message().find("not a Vitrail engine"), std::string::npos) << status.message();
  EXPECT_NE(status.message().find(path_), std::string::npos) << status.message();
  EXPECT_EQ(load_engine(dir_ / "missing.vtl").status().code(), Code::kIo);
}

TEST_F(Damage, OtherVersionSaysWhichAndWhatToDo) {
  std::string other = good_;
  other[8] = 2;
  const Status status = load(other);
  EXPECT_NE(status.message().find("version 2"), std::string::npos) << status.message();
  EXPECT_NE(status.message().find("reads version 1"), std::string::npos) << status.message();
  EXPECT_NE(status.message().find("vitrail build"), std::string::npos) << status.message();
}

// Segments of the good file with one replaced, under hashes that fit: what a broken writer might produce.
class Resealed : public Damage {
 protected:
  void SetUp() override {
    Damage::SetUp();
    auto container = open_container(std::as_bytes(std::span(good_)), 1);
    ASSERT_TRUE(container.ok());
    for (ByteSpan s : container->segments)
      segments_.emplace_back(reinterpret_cast<const char*>(s.data()), s.size());
  }
  Status load_with(size_t index, const std::string& content) {
    std::vector<std::string> changed = segments_;
    changed[index] = content;
    std::vector<ByteSpan> spans;
    for (const std::string& s : changed) spans.push_back(std::as_bytes(std::span(s)));
    Hash128 root;
    const auto header = make_header(spans, &root);
    std::string file(reinterpret_cast<const char*>(header.data()), header.size());
    for (const std::string& s : changed) {
      file.append(padding_at(file.size()), '\0');
      file += s;
    }
    return load(file);
  }
  Status load_replacing(size_t index, const std::string& from, const std::string& to) {
    std::string content = segments_[index];
    const size_t at = content.find(from);
    EXPECT_NE(at, std::string::npos) << from << " is not in " << content;
    return load_with(index, content.replace(at, from.size(), to));
  }
  std::vector<std::string> segments_;
};

TEST_F(Resealed, SealingItselfIsSound) { EXPECT_TRUE(load_with(0, segments_[0]).ok()); }

TEST_F(Resealed, BadFieldsAreNamed) {
  struct Case {
    size_t segment;
    std::string from, to, message;
  };
  const Case cases[] = {
      {0, R"("labels":["cat")", R"("labels":[3)", "'labels' is not a string"},
      {0, R"("producer")", R"("produces")", "lacks its member 'producer'"},
      {0, R"("workspace_bytes":8589934592)", R"("workspace_bytes":-1)", "'workspace_bytes' is -1"},
      {0, R"("workspace_bytes":8589934592)", R"("workspace_bytes":18446744073709551615)",
       "is not an integer"},
      {0, R"("workspace_bytes":8589934592)", R"("workspace_bytes":1e300)", "is not an integer"},
      {0, R"("max":64)", R"("max":7)", "profile 1:8:7"},
      {0, R"("max":64)", R"("max":9000000000)", "profile 1:8:9000000000"},
      {1, R"("op":"Gemm")", R"("op":"Germ")", "no operator 'Germ'"},
      {1, R"("dtype":"float32")", R"("dtype":"float33")", "'float33' is not a type"},
      {1, R"("shape":[2,2])", R"("shape":[2,3])", "does not fit its segment"},
      {1, R"("shape":[2,2])", R"("shape":[4294967296,4294967296])", "does not fit its segment"},
      {1, R"("shape":[2,2])", R"("shape":[-2,-2])", "does not fit its segment"},
      {1, R"("segment":2)", R"("segment":3)", "does not fit its segment"},
      {1, R"("segment":2)", R"("segment":1)", "outside 2 to"},
      {1, R"("segment":2)", R"("segment":99)", "outside 2 to"},
      {1, R"("alpha":{"float":)", R"("alpha":{"double":)", "lacks its member 'strings'"},
      {1, R"("transB":{"int":1})", R"("transB":{"int":"1"})", "'int' is not an integer"},
      {1, R"("alpha":{"float":0.1)", R"("alpha":{"float":1e39,"x":0.1)", "does not fit a float"},
      {1, R"("shape":[[1,0],[0,2]])", R"("shape":[[1,0],[0]])", "has no element 1"},
      {1, R"("shape":[[1,0],[0,2]])", R"("shape":[[1,0],[1099511627776,0]])", "does not fit memory"},
      {1, R"("shape":[[1,0],[0,2]])", R"("shape":[[1,0],[0,-2]])", "does not fit memory"},
      {1, R"("inputs":[0,1,2])", R"("inputs":[0,1,77])", "layer 'fc'"},
      {1, R"("inputs":[0,1,2])", R"("inputs":[0,1,-9])", "'inputs' is -9"},
      {1, R"("inputs":[0,1,2])", R"("inputs":[7,1,2])", "read before anything makes it"},
      {1, R"("inputs":[0],)", R"("inputs":[0,0],)", "listed twice"},
      {1, R"("outputs":[7],"values")", R"("outputs":[8],"values")", "graph output unknown"},
  };
  for (const Case& c : cases) {
    const Status status = load_replacing(c.segment, c.from, c.to);
    EXPECT_EQ(status.code(), Code::kBadInput) << c.to;
    EXPECT_NE(status.message().find(c.message), std::string::npos) << c.to << " gave: " << status.message();
  }
}

TEST_F(Resealed, BrokenJsonIsAnError) {
  for (size_t segment : {size_t{0}, size_t{1}, segments_.size() - 1}) {
    EXPECT_EQ(load_with(segment, "{\"a\":").code(), Code::kBadInput);
    EXPECT_EQ(load_with(segment, "\xFF\xFE").code(), Code::kBadInput);
    EXPECT_EQ(load_with(segment, std::string(200000, '[')).code(), Code::kBadInput);
    EXPECT_EQ(load_with(segment, std::string(100000, '[') + std::string(100000, ']')).ok(),
              segment == segments_.size() - 1);
  }
}

TEST_F(Resealed, FuzzedSegmentsNeverCrash) {
  std::mt19937 random(7);
  auto pick = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  const std::string alphabet = "0123456789-[]{},:\"eE.xnull";
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    const size_t segment = pick(2);
    std::string content = segments_[segment];
    for (size_t changes = 1 + pick(3); changes > 0; --changes) {
      const size_t at = pick(content.size());
      switch (pick(3)) {
        case 0:
          content[at] = alphabet[pick(alphabet.size())];
          break;
        case 1:
          content.erase(at, 1 + pick(8));
          break;
        default:
          content.insert(at, 1, alphabet[pick(alphabet.size())]);
      }
    }
    refused += load_with(segment, content).ok() ? 0 : 1;
  }
  EXPECT_GT(refused, 1500);
}

}  // namespace
}  // namespace vitrail
