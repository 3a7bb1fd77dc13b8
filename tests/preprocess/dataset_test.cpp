// SPDX-License-Identifier: Apache-2.0
#include "preprocess/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace vitrail {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Dataset : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(::testing::TempDir()) /
            (std::string("dataset_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  std::string put(const std::string& name, const std::string& content = "") {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name, std::ios::binary) << content;
    return (root_ / name).string();
  }

  fs::path root_;
};

TEST_F(Dataset, ListsImagesRecursivelyInOrder) {
  const auto b = put("b/2.JPEG"), a = put("a/deep/er/1.png"), top = put("z.WebP"), b1 = put("b/1.jpg");
  put("b/notes.txt"), put("b/jpg"), put("c/.hidden/x.gif");
  fs::create_directory(root_ / "folder.png");
  const auto images = list_images(root_.string());
  ASSERT_TRUE(images.ok()) << images.status().message();
  EXPECT_THAT(*images, ElementsAre(a, b1, b, top));
}

TEST_F(Dataset, FollowsLinksOnce) {
  const auto image = put("a/1.jpg");
  fs::create_directory_symlink(root_, root_ / "a/loop");
  fs::create_directory_symlink(root_ / "nowhere", root_ / "broken");
  fs::create_symlink(root_ / "nowhere.jpg", root_ / "broken.jpg");
  const auto images = list_images(root_.string());
  ASSERT_TRUE(images.ok()) << images.status().message();
  EXPECT_THAT(*images, ElementsAre(image));
  fs::create_directory(root_ / "other");
  fs::create_directory_symlink(root_ / "a", root_ / "other/linked");
  const auto linked = list_images((root_ / "other").string());
  ASSERT_TRUE(linked.ok());
  EXPECT_EQ(linked->size(), 1u);  // through "linked"; "linked/loop" leads to `a` again, which has been seen
}

TEST_F(Dataset, EmptyAndMissingFoldersAreErrors) {
  EXPECT_THAT(list_images(root_.string()).status().message(), HasSubstr("no image in this folder"));
  EXPECT_EQ(list_images(root_.string()).status().code(), Code::kBadInput);
  EXPECT_THAT(list_images((root_ / "x").string()).status().message(), HasSubstr("dataset_"));
  EXPECT_THAT(list_images(put("1.jpg")).status().message(), HasSubstr("not a folder"));
}

TEST(ClassFolder, IsTheParent) {
  EXPECT_EQ(class_folder("test/cat/1.jpg"), "cat");
  EXPECT_EQ(class_folder("1.jpg"), "");
}

TEST_F(Dataset, Labels) {
  const auto labels =
      load_labels(put("labels", "\xef\xbb\xbfgrey owl\r\nh\xc3\xa9ron\n\xf0\x9f\x90\xb8\r\n\r\n\n"));
  ASSERT_TRUE(labels.ok()) << labels.status().message();
  EXPECT_THAT(*labels, ElementsAre("grey owl", "h\xc3\xa9ron", "\xf0\x9f\x90\xb8"));
  EXPECT_THAT(*load_labels(put("labels", "a\nb")), ElementsAre("a", "b"));
  EXPECT_THAT(load_labels(put("labels", "a\n\nb\n")).status().message(), HasSubstr("line 2 is blank"));
  EXPECT_THAT(load_labels(put("labels", "\n")).status().message(), HasSubstr("no label"));
  EXPECT_EQ(load_labels((root_ / "missing").string()).status().code(), Code::kIo);
  for (const char* bad :
       {"\xe9", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xf0\x80\x80\x80", "\x80"}) {
    const auto refused = load_labels(put("labels", std::string("a\n") + bad + "\n"));
    ASSERT_FALSE(refused.ok());
    EXPECT_THAT(refused.status().message(), HasSubstr("line 2 is not UTF-8"));
  }
}

}  // namespace
}  // namespace vitrail
