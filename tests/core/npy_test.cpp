// SPDX-License-Identifier: Apache-2.0
#include "../tools/python.h"
#include "core/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "core/npy_header.h"

namespace vitrail {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string temp(const std::string& name) { return ::testing::TempDir() + "npy_test_" + name; }
std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
std::span<const std::byte> bytes_of(const std::string& s) { return std::as_bytes(std::span(s)); }

// A .npy of the given version with any dictionary and data.
std::string npy(const std::string& dictionary, const std::string& data, int version = 1) {
  std::string out = "\x93NUMPY";
  out += {static_cast<char>(version), '\0'};
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i)
    out += static_cast<char>(dictionary.size() >> (8 * i) & 0xff);
  return out + dictionary + data;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.bytes() == 0 || std::memcmp(a.data(), b.data(), a.bytes()) == 0);
}

constexpr DType kDTypes[] = {DType::kF32, DType::kF64, DType::kF16, DType::kI8,  DType::kU8,  DType::kI16,
                             DType::kU16, DType::kI32, DType::kU32, DType::kI64, DType::kU64, DType::kBool};

// Every type and rank, empty axes included.
std::vector<NamedTensor> samples() {
  std::vector<NamedTensor> out;
  std::mt19937 random(3);
  for (DType dtype : kDTypes)
    for (const Shape& shape : {Shape{}, Shape{5}, Shape{2, 3}, Shape{2, 0, 3}, Shape{1, 2, 3, 4}}) {
      Tensor t(dtype, shape);
      auto* bytes = static_cast<uint8_t*>(t.mutable_data());
      for (size_t i = 0; i < t.bytes(); ++i)
        bytes[i] = static_cast<uint8_t>(random() % (dtype == DType::kBool ? 2 : 256));
      out.push_back({std::string(dtype_name(dtype)) + "/" + std::to_string(out.size()), t});
    }
  return out;
}

TEST(Npy, RoundTripOfEveryTypeAndShape) {
  for (const auto& [name, tensor] : samples()) {
    ASSERT_TRUE(save_npy(temp("x.npy"), tensor.view()).ok());
    EXPECT_EQ((read(temp("x.npy")).size() - tensor.bytes()) % 64, 0u) << "data is aligned";
    const auto loaded = load_npy(temp("x.npy"));
    ASSERT_TRUE(loaded.ok()) << name << ": " << loaded.status().message();
    EXPECT_TRUE(same(*loaded, tensor)) << name;
  }
}

TEST(Npy, WritesTheBytesOfNumPy) {
  const std::string header = write_npy_header(DType::kF32, {2, 3});
  EXPECT_EQ(header.size(), 128u);
  EXPECT_EQ(header.substr(0, 70), std::string("\x93NUMPY\x01\0v\0", 10) +
                                      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" + " ");
  EXPECT_THAT(write_npy_header(DType::kU8, {7}),
              HasSubstr("'|u1', 'fortran_order': False, 'shape': (7,), }"));
  EXPECT_THAT(write_npy_header(DType::kBool, {}), HasSubstr("'|b1', 'fortran_order': False, 'shape': (), }"));
}

TEST(Npy, ReadsTheWritingsOfOthers) {
  const std::string data("\1\0\2\0\3\0\4\0\5\0\6\0", 12);
  // Versions, quotes, key order, spaces, no last comma, Python 2's long numbers.
  for (const auto& file : {npy("{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }\n", data, 2),
                           npy("{\"shape\":(2L,3L),\"descr\":\"<i2\",\"fortran_order\":False}", data, 3)}) {
    const auto t = parse_npy(bytes_of(file));
    ASSERT_TRUE(t.ok()) << t.status().message();
    EXPECT_EQ(t->shape(), (Shape{2, 3}));
    EXPECT_THAT(t->as<int16_t>(), ElementsAre(1, 2, 3, 4, 5, 6));
  }
  const auto f = parse_npy(bytes_of(npy("{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3)}", data)));
  ASSERT_TRUE(f.ok());
  EXPECT_THAT(f->as<int16_t>(), ElementsAre(1, 3, 5, 2, 4, 6));
  const auto b =
      parse_npy(bytes_of(npy("{'descr': '|b1', 'fortran_order': False, 'shape': (3,)}", {0, 2, 1})));
  ASSERT_TRUE(b.ok());
  EXPECT_THAT(b->as<uint8_t>(), ElementsAre(0, 1, 1));
}

TEST(Npy, FortranOrderOfThreeAxes) {
  std::string data;
  for (char i = 0; i < 24; ++i) data += i;
  const auto t =
      parse_npy(bytes_of(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4)}", data)));
  ASSERT_TRUE(t.ok());
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j)
      for (int k = 0; k < 4; ++k) EXPECT_EQ(t->as<uint8_t>()[(i * 3 + j) * 4 + k], i + 2 * j + 6 * k);
}

TEST(Npy, EveryMistakeIsNamed) {
  const std::string tail = ", 'fortran_order': False, 'shape': (1,)}";
  const std::pair<std::string, const char*> cases[] = {
      {"", "not a .npy file"},
      {"PK\3\4 something else", "not a .npy file"},
      {"\x93NUMPY\1", "cut off"},
      {npy("{}", "", 9), "version 9"},
      {npy("{'descr': '>f4'" + tail, "1234"), "big-endian"},
      {npy("{'descr': '|O'" + tail, "1234"), "'|O'"},
      {npy("{'descr': '<V2'" + tail, "12"), "'<V2'"},
      {npy("{'descr': [('a', '<f4')]" + tail, "1234"), "records"},
      {npy("{'descr': '<f4'" + tail, "123"), "float32 [1] = 4 bytes, but 3 bytes follow"},
      {npy("{'descr': '<f4'" + tail, "12345"), "but 5 bytes follow"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", ""), "too large"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", ""), "malformed"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", ""), "malformed"},
      {npy("{'descr': '<f4', 'fortran_order': False}", "1234"), "malformed"},
      {npy("{'descr': '<f4', 'descr': '<f4'" + tail, "1234"), "malformed"},
      {npy("{'descr': '<f4'" + tail + "x", "1234"), "malformed"},
      {npy(std::string(70000, ' '), "", 2), "claims 70000 bytes"},
  };
  for (const auto& [file, message] : cases) {
    const auto t = parse_npy(bytes_of(file));
    ASSERT_FALSE(t.ok()) << message;
    EXPECT_EQ(t.status().code(), Code::kBadInput);
    EXPECT_THAT(t.status().message(), HasSubstr(message));
  }
  EXPECT_THAT(load_npy("/nowhere.npy").status().message(), HasSubstr("/nowhere.npy"));
}

TEST(Npy, HugeClaimsAllocateNothing) {
  // 2^60 bytes claimed by a file of a hundred: refused by the size check, not by a failing allocation.
  const auto t = parse_npy(
      bytes_of(npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1152921504606846976,)}", "1")));
  EXPECT_EQ(t.status().code(), Code::kBadInput);
}

TEST(Npy, SaveRefusesWhatNumPyLacks) {
  const Status bf16 = save_npy(temp("bf16.npy"), Tensor(DType::kBF16, {2}).view());
  EXPECT_EQ(bf16.code(), Code::kUsage);
  EXPECT_THAT(bf16.message(), HasSubstr("cast the tensor to float32"));
  EXPECT_FALSE(std::filesystem::exists(temp("bf16.npy")));
  EXPECT_EQ(save_npy(temp("rank.npy"), Tensor(DType::kF32, Shape(65, 1)).view()).code(), Code::kUsage);
  EXPECT_EQ(save_npy("/nowhere/x.npy", Tensor::f32({1}, {1}).view()).code(), Code::kIo);
}

TEST(Npz, RoundTrip) {
  const auto tensors = samples();
  ASSERT_TRUE(save_npz(temp("x.npz"), tensors).ok());
  const std::string first = read(temp("x.npz"));
  const auto loaded = load_npz(temp("x.npz"));
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  ASSERT_EQ(loaded->size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ((*loaded)[i].name, tensors[i].name);
    EXPECT_TRUE(same((*loaded)[i].tensor, tensors[i].tensor)) << tensors[i].name;
  }
  ASSERT_TRUE(save_npz(temp("x.npz"), tensors).ok());
  EXPECT_EQ(read(temp("x.npz")), first) << "the same tensors give the same bytes";
  ASSERT_TRUE(save_npz(temp("empty.npz"), {}).ok());
  EXPECT_TRUE(load_npz(temp("empty.npz")).ok());
}

TEST(Npz, NamesMustBeUsable) {
  const Tensor t = Tensor::f32({1}, {1});
  EXPECT_EQ(save_npz(temp("n.npz"), std::vector<NamedTensor>{{"a", t}, {"a", t}}).code(), Code::kUsage);
  EXPECT_EQ(save_npz(temp("n.npz"), std::vector<NamedTensor>{{"", t}}).code(), Code::kUsage);
  const Status bf16 = save_npz(temp("n.npz"), std::vector<NamedTensor>{{"half", Tensor(DType::kBF16, {1})}});
  EXPECT_THAT(bf16.message(), HasSubstr("\"half\""));
}

TEST(Npz, DamageIsFound) {
  ASSERT_TRUE(save_npz(temp("d.npz"), std::vector<NamedTensor>{{"a", Tensor::f32({3}, {1, 2, 3})}}).ok());
  const std::string file = read(temp("d.npz"));
  for (size_t size = 0; size < file.size(); ++size)
    ASSERT_FALSE(parse_npz(bytes_of(file.substr(0, size))).ok()) << size;
  std::string flipped = file;
  flipped[30 + 5 + 128 + 2] ^= 1;  // in the data, behind the local record, its name and the header
  EXPECT_THAT(parse_npz(bytes_of(flipped)).status().message(), HasSubstr("entry \"a.npy\": the checksum"));
  std::string method = file;
  method[file.find("PK\1\2") + 10] = 14;
  EXPECT_THAT(parse_npz(bytes_of(method)).status().message(), HasSubstr("compression method 14"));
  std::string encrypted = file;
  encrypted[file.find("PK\1\2") + 8] |= 1;
  EXPECT_THAT(parse_npz(bytes_of(encrypted)).status().message(), HasSubstr("encrypted"));
  std::string bomb = file;
  const size_t central = file.find("PK\1\2");
  bomb[central + 10] = 8;
  bomb.replace(central + 24, 4, std::string("\0\0\0\x7f", 4));
  EXPECT_THAT(parse_npz(bytes_of(bomb)).status().message(), HasSubstr("claims 2130706432 bytes"));
}

// Random damage to files of every kind must end in a value or an error, never in a crash or a large
// allocation.
TEST(Npz, CorruptFilesNeverCrash) {
  ASSERT_TRUE(save_npz(temp("f.npz"), samples()).ok());
  const std::string files[] = {
      read(temp("f.npz")),
      npy("{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }\n", std::string(12, 'x'), 2)};
  std::mt19937 random(11);
  int refused = 0;
  for (const std::string& file : files)
    for (int i = 0; i < 3000; ++i) {
      std::string damaged = file;
      for (int k = 0; k <= i % 6; ++k) damaged[random() % damaged.size()] = static_cast<char>(random());
      if (i % 5 == 0) damaged.resize(random() % damaged.size());
      refused += !parse_npz(bytes_of(damaged)).ok();
      refused += !parse_npy(bytes_of(damaged)).ok();
    }
  EXPECT_GT(refused, 9000);
}

TEST(Npz, NumPyAgrees) {
  const std::string python = test_python();
  if (std::system((python + " -c 'import numpy' 2>/dev/null").c_str()) != 0)
    GTEST_SKIP() << python << " cannot import numpy (set VTL_PYTHON)";
  ASSERT_TRUE(save_npz(temp("to_numpy.npz"), samples()).ok());
  ASSERT_TRUE(save_npy(temp("to_numpy.npy"), Tensor::f32({2, 1}, {1.5f, -2}).view()).ok());
  std::ofstream(temp("numpy.py")) << R"(
import sys, numpy as np
folder = sys.argv[1]
arrays = dict(np.load(folder + "to_numpy.npz"))
one = np.load(folder + "to_numpy.npy")
assert one.dtype == np.float32 and one.tolist() == [[1.5], [-2.0]]
assert all(name.split("/")[0] == a.dtype.name for name, a in arrays.items()), arrays.keys()
np.savez(folder + "stored.npz", **arrays)
np.savez_compressed(folder + "deflated.npz", **arrays)
np.savez_compressed(folder + "large.npz", x=np.arange(300000).reshape(3, 1000, 100), f=np.asfortranarray(np.arange(6.).reshape(2, 3)))
)";
  ASSERT_EQ(std::system((python + " " + temp("numpy.py") + " " + temp("")).c_str()), 0);
  for (const char* name : {"stored.npz", "deflated.npz"}) {
    const auto loaded = load_npz(temp(name));
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    const auto expected = samples();
    ASSERT_EQ(loaded->size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ((*loaded)[i].name, expected[i].name);
      EXPECT_TRUE(same((*loaded)[i].tensor, expected[i].tensor)) << name << " " << expected[i].name;
    }
  }
  const auto large = load_npz(temp("large.npz"));
  ASSERT_TRUE(large.ok()) << large.status().message();
  EXPECT_EQ((*large)[0].tensor.shape(), (Shape{3, 1000, 100}));
  EXPECT_EQ((*large)[0].tensor.as<int64_t>().back(), 299999);
  EXPECT_THAT((*large)[1].tensor.as<double>(), ElementsAre(0, 1, 2, 3, 4, 5));
}

}  // namespace
}  // namespace vitrail
