// SPDX-License-Identifier: Apache-2.0
#include "core/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <vector>

#include "core/mapped_file.h"

namespace vitrail {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Files : public ::testing::Test {
 protected:
  Files() {
    std::string pattern = (fs::temp_directory_path() / "vitrail_files_XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~Files() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  size_t entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  static std::string content(const std::string& path) {
    auto text = read_file(path, 1 << 20);
    return text.ok() ? *text : text.status().message();
  }

  fs::path folder_;
};

TEST_F(Files, WrittenPartsAreReadBackInOrder) {
  const std::string a = "abc", b, c(100000, 'x');
  const std::vector<ByteSpan> parts{std::as_bytes(std::span(a)), std::as_bytes(std::span(b)),
                                    std::as_bytes(std::span(c))};
  ASSERT_TRUE(write_file_atomically(path("f"), parts).ok());
  EXPECT_EQ(content(path("f")), a + c);
  ASSERT_TRUE(write_file_atomically(path("f"), "short").ok());
  EXPECT_EQ(content(path("f")), "short");
  EXPECT_EQ(entries(), 1u) << "a temporary file was left";
}

TEST_F(Files, WritingKeepsTheModeAndFollowsLinks) {
  ASSERT_TRUE(write_file_atomically(path("f"), "old").ok());
  fs::permissions(path("f"), fs::perms::owner_read | fs::perms::owner_write | fs::perms::others_read);
  fs::create_symlink("f", path("link"));
  ASSERT_TRUE(write_file_atomically(path("link"), "new").ok());
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(content(path("f")), "new");
  EXPECT_EQ(fs::status(path("f")).permissions(),
            fs::perms::owner_read | fs::perms::owner_write | fs::perms::others_read);
}

// The limit on file sizes stands in for a full disk: write() fails half-way in the same manner.
TEST_F(Files, AFailedWriteLeavesTheOldFileAndNothingElse) {
  ASSERT_TRUE(write_file_atomically(path("f"), "old").ok());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 5000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status status = write_file_atomically(path("f"), std::string(10000, 'x'));
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(status.code(), Code::kIo);
  EXPECT_THAT(status.message(), HasSubstr(path("f")));
  EXPECT_THAT(status.message(), HasSubstr("limit"));
  EXPECT_EQ(content(path("f")), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(Files, FullDevicesReadOnlyAndMissingFoldersAreNamedWithTheWayOut) {
  const Status full = write_file_atomically("/dev/full", "text");
  EXPECT_EQ(full.code(), Code::kIo);
  EXPECT_THAT(full.message(), HasSubstr("disk is full"));
  EXPECT_TRUE(write_file_atomically("/dev/null", "text").ok());
  EXPECT_TRUE(fs::is_character_file("/dev/null")) << "it was replaced by a file";

  const Status missing = write_file_atomically(path("no/such/f"), "text");
  EXPECT_EQ(missing.code(), Code::kIo);
  EXPECT_THAT(missing.message(), HasSubstr("does not exist"));
  const Status folder = write_file_atomically(folder_.string(), "text");
  EXPECT_THAT(folder.message(), HasSubstr("is a folder"));

  fs::permissions(folder_, fs::perms::owner_read | fs::perms::owner_exec);
  const bool root = ::geteuid() == 0;  // may write anywhere, so it becomes nobody for a moment
  if (root) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  const Status closed = write_file_atomically(path("f"), "text");
  if (root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  fs::permissions(folder_, fs::perms::owner_all);
  EXPECT_EQ(closed.code(), Code::kIo);
  EXPECT_THAT(closed.message(), HasSubstr("cannot be written"));
}

TEST_F(Files, ReadingIsBoundedAndNamesTheFile) {
  ASSERT_TRUE(write_file_atomically(path("f"), "12345678").ok());
  EXPECT_TRUE(read_file(path("f"), 8).ok());
  const Status large = read_file(path("f"), 7).status();
  EXPECT_EQ(large.code(), Code::kBadInput);
  EXPECT_THAT(large.message(), HasSubstr("8 bytes"));
  EXPECT_FALSE(content("/proc/self/status").empty()) << "its size is said to be 0";
  EXPECT_EQ(read_file("/proc/self/status", 10).status().code(), Code::kBadInput);
}

TEST_F(Files, MappedFilesShowTheirBytes) {
  ASSERT_TRUE(write_file_atomically(path("f"), "12345678").ok());
  auto file = MappedFile::open(path("f"));
  ASSERT_TRUE(file.ok()) << file.status().message();
  ASSERT_EQ((*file)->size(), 8u);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>((*file)->data()), 8), "12345678");

  // Replacing the file does not change what is mapped.
  ASSERT_TRUE(write_file_atomically(path("f"), "abc").ok());
  EXPECT_EQ(std::string(reinterpret_cast<const char*>((*file)->data()), 8), "12345678");

  ASSERT_TRUE(write_file_atomically(path("empty"), "").ok());
  auto empty = MappedFile::open(path("empty"));
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ((*empty)->size(), 0u);
}

TEST_F(Files, WhatIsNoRegularFileIsAnErrorThatNamesIt) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  for (const auto& [name, reason] : {std::pair<std::string, const char*>{path("missing"), "No such file"},
                                     {folder_.string(), "folder"},
                                     {path("pipe"), "regular"},
                                     {"/dev/zero", "regular"}}) {
    const Status mapped = MappedFile::open(name).status();
    EXPECT_EQ(mapped.code(), Code::kIo) << name;
    EXPECT_THAT(mapped.message(), HasSubstr(name));
    EXPECT_THAT(mapped.message(), HasSubstr(reason));
    EXPECT_THAT(read_file(name, 100).status().message(), HasSubstr(reason));
  }
}

}  // namespace
}  // namespace vitrail
