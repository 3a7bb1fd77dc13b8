// SPDX-License-Identifier: Apache-2.0
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <iostream>

#include "sample.h"

namespace vitrail {
namespace {

namespace fs = std::filesystem;
using test::read_all;
using test::sample_graph;
using test::sample_info;
using test::TempDir;

size_t entries(const std::string& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(WriteCertificate, ReplacesOnlyTheCertificate) {
  TempDir dir;
  const std::string path = dir / "e.vtl";
  ASSERT_TRUE(write_engine(path, sample_info(), sample_graph()).ok());
  const std::string before = read_all(path);
  auto old = load_engine(path);
  ASSERT_TRUE(old.ok());

  ASSERT_TRUE(write_certificate(path, R"({"passed":true})").ok());
  auto certified = load_engine(path);
  ASSERT_TRUE(certified.ok()) << certified.status().message();
  EXPECT_EQ(certified->info.certificate_json, R"({"passed":true})");
  EXPECT_NE(certified->hash, old->hash);
  EXPECT_EQ(certified->info.labels, old->info.labels);
  EXPECT_EQ(old->graph->constant(old->graph->find("w")).as<float>()[3], 4.0f);  // the old map is still whole

  ASSERT_TRUE(write_certificate(path, R"({"passed":false})").ok());
  EXPECT_EQ(load_engine(path)->info.certificate_json, R"({"passed":false})");
  ASSERT_TRUE(write_certificate(path, "").ok());
  EXPECT_EQ(read_all(path), before);
}

TEST(WriteCertificate, RefusesWhatIsNotJsonAndKeepsTheFile) {
  TempDir dir;
  const std::string path = dir / "e.vtl";
  ASSERT_TRUE(write_engine(path, sample_info(), sample_graph()).ok());
  const std::string before = read_all(path);
  const Status status = write_certificate(path, "{passed}");
  EXPECT_EQ(status.code(), Code::kBadInput);
  EXPECT_NE(status.message().find("certificate"), std::string::npos) << status.message();
  EXPECT_EQ(read_all(path), before);
  EXPECT_EQ(write_certificate(dir / "missing.vtl", "{}").code(), Code::kIo);
}

TEST(WriteEngine, RefusesWhatCouldNotBeLoaded) {
  TempDir dir;
  auto refuse = [&](const EngineInfo& info, const Graph& graph, const std::string& message) {
    const Status status = write_engine(dir / "e.vtl", info, graph).status();
    EXPECT_EQ(status.code(), Code::kBadInput);
    EXPECT_NE(status.message().find(message), std::string::npos) << status.message();
    EXPECT_EQ(entries(dir.string()), 0u);
  };
  EngineInfo info = sample_info();
  info.profiles.clear();
  refuse(info, sample_graph(), "no profile");
  info = sample_info();
  info.profiles[0].min = 0;
  refuse(info, sample_graph(), "profile 0:8:64");
  info = sample_info();
  info.labels[0] = "\xC3(";
  refuse(info, sample_graph(), "metadata: cannot be written as JSON");

  Graph graph = sample_graph();
  graph.nodes[0].name = "\xFF";
  refuse(sample_info(), graph, "graph: cannot be written as JSON");
  graph = sample_graph();
  graph.nodes[0].inputs[0] = 99;
  refuse(sample_info(), graph, "layer 'fc'");
  graph = sample_graph();
  graph.value(graph.outputs[0]).shape.reset();
  refuse(sample_info(), graph, "output 'z' has no known type and shape");
  graph = sample_graph();
  graph.nodes[0].attributes["value"] = Tensor();
  refuse(sample_info(), graph, "attribute 'value'");
  graph = sample_graph();
  graph.value(graph.find("w")).dtype = DType::kI32;
  refuse(sample_info(), graph, "constant 'w' is int32");
}

TEST(WriteEngine, AFolderThatCannotBeWrittenIsAnError) {
  TempDir dir;
  test::write_all(dir / "file", "x");
  const Status status = write_engine(dir / "file/e.vtl", sample_info(), sample_graph()).status();
  EXPECT_EQ(status.code(), Code::kIo);
  EXPECT_NE(status.message().find("file/e.vtl"), std::string::npos) << status.message();
  EXPECT_EQ(write_engine(dir / "no/such/e.vtl", sample_info(), sample_graph()).status().code(), Code::kIo);
}

TEST(WriteEngine, AReadOnlyFolderIsAnError) {
  if (::geteuid() == 0) GTEST_SKIP() << "permissions do not bind root";
  TempDir dir;
  ::chmod(dir.string().c_str(), 0555);
  EXPECT_EQ(write_engine(dir / "e.vtl", sample_info(), sample_graph()).status().code(), Code::kIo);
  ::chmod(dir.string().c_str(), 0755);
}

// The limit on file sizes fails the write halfway, as a full disk does.
TEST(WriteEngine, AFullDiskLeavesTheOldEngineAndNothingElse) {
  TempDir dir;
  const std::string path = dir / "e.vtl";
  ASSERT_TRUE(write_engine(path, sample_info(), sample_graph()).ok());
  const std::string before = read_all(path);

  struct rlimit old {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  auto* old_handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = old;
  small.rlim_cur = 1000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status written = write_engine(path, sample_info(), sample_graph()).status();
  const Status certified = write_certificate(path, "{}");
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, old_handler);

  EXPECT_EQ(written.code(), Code::kIo);
  EXPECT_NE(written.message().find(path), std::string::npos) << written.message();
  EXPECT_EQ(certified.code(), Code::kIo);
  EXPECT_EQ(read_all(path), before);
  EXPECT_EQ(entries(dir.string()), 1u);
}

TEST(WriteEngine, AFullFileSystemIsAnError) {
  TempDir dir;
  if (::mount("none", dir.string().c_str(), "tmpfs", 0, "size=4k") != 0)
    GTEST_SKIP() << "mounting a small tmpfs is not allowed here";
  Graph graph = sample_graph();
  graph.add_constant("large", Tensor(DType::kU8, {65536}));
  const Status status = write_engine(dir / "e.vtl", sample_info(), graph).status();
  const size_t left = entries(dir.string());
  ::umount(dir.string().c_str());
  EXPECT_EQ(status.code(), Code::kIo);
  EXPECT_EQ(left, 0u);
}

// The size of ViT-B/16: 150 weights, 346 MB together. The goal, 50 ms with 2 threads, is printed, not
// asserted: a shared machine would make the test fail for no reason.
TEST(LoadEngine, LargeEngineLoadsFast) {
  TempDir dir;
  if (fs::space(dir.string()).available < (size_t{1} << 30))
    GTEST_SKIP() << "less than 1 GiB of disk is free";
  Graph graph = sample_graph();
  const int64_t rows = 346'000'000 / 150 / 4 / 768;
  for (int i = 0; i < 150; ++i) {
    Tensor t(DType::kF32, {rows, 768});
    t.as_mutable<float>()[static_cast<size_t>(i)] = 1;
    graph.add_constant("weight" + std::to_string(i), t);
  }
  using Clock = std::chrono::steady_clock;
  auto ms = [](Clock::time_point since) {
    return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
  };
  auto start = Clock::now();
  ASSERT_TRUE(write_engine(dir / "e.vtl", sample_info(), graph).ok());
  std::cout << "write: " << ms(start) << " ms\n";
  for (int threads : {1, 2}) {
    double best = 1e9;
    for (int i = 0; i < 5; ++i) {
      start = Clock::now();
      auto engine = load_engine(dir / "e.vtl", threads);
      best = std::min(best, ms(start));
      ASSERT_TRUE(engine.ok()) << engine.status().message();
      EXPECT_GT(engine->weight_bytes, 345'000'000);
    }
    std::cout << "load of " << fs::file_size(dir / "e.vtl") / 1'000'000 << " MB with " << threads
              << " thread(s): " << best << " ms\n";
  }
}

}  // namespace
}  // namespace vitrail
