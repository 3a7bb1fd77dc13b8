// SPDX-License-Identifier: Apache-2.0
#include "serve/shared_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace vitrail::serve {
namespace {

class Memory : public testing::Test {
 protected:
  void SetUp() override {
    key_ = "/vitrail_test_" + std::to_string(::getpid());
    fd_ = ::shm_open(key_.c_str(), O_CREAT | O_RDWR, 0600);
    ASSERT_GE(fd_, 0);
    ASSERT_EQ(::ftruncate(fd_, 8192), 0);
    ASSERT_EQ(::pwrite(fd_, "hello", 5, 4100), 5);
  }
  void TearDown() override {
    ::close(fd_);
    ::shm_unlink(key_.c_str());
  }
  std::string key_;
  int fd_ = -1;
  SharedMemory memory_;
};

TEST_F(Memory, ReadsAndWritesParts) {
  ASSERT_TRUE(memory_.add({"a", key_, 4096, 100}).ok());
  const auto bytes = memory_.read({"a", 4, 5});
  ASSERT_TRUE(bytes.ok()) << bytes.fault().message;
  EXPECT_EQ(**bytes, "hello");
  const std::string text = "other";
  ASSERT_TRUE(memory_.write({"a", 10, 5}, std::as_bytes(std::span(text))).ok());
  char back[5];
  ASSERT_EQ(::pread(fd_, back, 5, 4106), 5);
  EXPECT_EQ(std::string(back, 5), text);
  const auto list = memory_.list("");
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(list->at(0).key, key_);
  memory_.remove("a");
  EXPECT_FALSE(memory_.read({"a", 0, 1}).ok());
  EXPECT_FALSE(memory_.list("a").ok());
}

TEST_F(Memory, PartsOutsideAreRefused) {
  ASSERT_TRUE(memory_.add({"a", key_, 0, 100}).ok());
  EXPECT_FALSE(memory_.add({"a", key_, 0, 100}).ok());
  EXPECT_FALSE(memory_.read({"a", 0, 101}).ok());
  EXPECT_FALSE(memory_.read({"a", 101, 0}).ok());
  EXPECT_FALSE(memory_.read({"a", UINT64_MAX, 1}).ok());
  EXPECT_FALSE(memory_.read({"a", 1, UINT64_MAX}).ok());
  EXPECT_FALSE(memory_.write({"a", 98, 2}, std::as_bytes(std::span("12345", 5))).ok());
  EXPECT_FALSE(memory_.add({"b", key_, 8000, 193}).ok());
  EXPECT_FALSE(memory_.add({"b", key_, UINT64_MAX, 2}).ok());
  for (const char* key : {"", "/", "/..", "/../etc/passwd", "no_slash", "/not_there_at_all"})
    EXPECT_FALSE(memory_.add({"c", key, 0, 1}).ok()) << key;
}

TEST_F(Memory, MemoryThatShrinksIsAnErrorAndNoCrash) {
  ASSERT_TRUE(memory_.add({"a", key_, 0, 8192}).ok());
  ASSERT_EQ(::ftruncate(fd_, 16), 0);
  EXPECT_FALSE(memory_.read({"a", 4096, 10}).ok());
  EXPECT_FALSE(memory_.write({"a", 4096, 10}, std::as_bytes(std::span("0123456789", 10))).ok());
  EXPECT_TRUE(memory_.read({"a", 0, 16}).ok());
}

}  // namespace
}  // namespace vitrail::serve
