// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/common.h"
#include "cli/verbs.h"
#include "core/cancel.h"
#include "core/error.h"
#include "core/files.h"
#include "preprocess/dataset.h"
#include "vitrail/client.h"
#include "vitrail/image.h"

namespace vitrail::cli {
namespace {

constexpr int kMaxAttempts = 5;  // of a picture that the server is too busy for

struct ClientFlags {
  std::string url = "localhost:8000", model, folder;
  int top = 1, concurrency = 4;
  bool json = false;
};

struct Row {
  std::string path;
  std::vector<Classification> top;
  Status status;
  bool answered = true;  // or failed; not when it was interrupted before
};

Row classify(Client& client, const ClientFlags& flags, const std::string& path) {
  Row row{path, {}, {}, true};
  const auto file = read_file(path, kMaxImageFileBytes);
  row.status = file.status();
  for (int attempt = 0; row.status.ok() && attempt < kMaxAttempts; ++attempt) {
    auto classes = client.classify(flags.model, std::as_bytes(std::span(*file)), flags.top);
    if (classes.ok()) {
      row.top = std::move(*classes);
      return row;
    }
    if (cancel::requested()) {
      row.answered = false;
      return row;
    }
    if (classes.status().code() != Code::kUnavailable || attempt + 1 == kMaxAttempts) {
      row.status = classes.status();
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100 << attempt));
  }
  return row;
}

Status run(const ClientFlags& flags) {
  VTL_ASSIGN(const auto files, list_images(flags.folder));
  VTL_ASSIGN(Client probe, Client::create(flags.url));
  VTL_TRY(probe.model(flags.model).status());  // before anything is sent
  std::vector<Row> rows(files.size(), Row{{}, {}, {}, false});
  std::atomic<size_t> next{0};
  std::mutex mutex;
  int64_t done = 0;
  const auto progress = sample_progress(flags.json, "classify");
  const auto work = [&] {
    auto client = Client::create(flags.url);
    for (size_t i = next++; i < files.size() && !cancel::requested(); i = next++) {
      rows[i] = classify(*client, flags, files[i]);
      const std::lock_guard lock(mutex);
      ++done;
      if (progress) progress(done, static_cast<int64_t>(files.size()));
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < std::min<int>(flags.concurrency, static_cast<int>(files.size())); ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  // What an interruption left is kept.
  const bool whole = !cancel::requested();
  std::erase_if(rows, [](const Row& row) { return !row.answered; });

  int64_t failed = 0, right = 0, labelled = 0;
  auto list = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    failed += !row.status.ok();
    nlohmann::ordered_json json = {{"image", row.path}};
    std::string text = row.path + ":";
    if (!row.status.ok()) {
      json["error"] = row.status.message();
      text += " " + row.status.message();
    }
    auto top = nlohmann::ordered_json::array();
    for (const Classification& c : row.top) {
      top.push_back({{"index", c.index}, {"label", c.label}, {"score", c.score}});
      text += fmt::format("  {:.2f} % {}", c.score * 100, c.label.empty() ? fmt::format("class {}", c.index) : c.label);
    }
    if (!row.top.empty() && !row.top[0].label.empty()) {
      ++labelled;
      right += row.top[0].label == class_folder(row.path);
    }
    json["top"] = top;
    list.push_back(std::move(json));
    if (!flags.json) print(text + "\n");
  }
  if (flags.json)
    print_json({{"model", flags.model}, {"images", rows.size()}, {"of", files.size()}, {"failed", failed}, {"results", list}});
  else
    print(fmt::format("{} images{}, {} failed{}\n", rows.size(), whole ? "" : fmt::format(" of {} (interrupted)", files.size()), failed,
                      right > 0 ? fmt::format(", {} of {} in the folder of their class", right, labelled) : ""));
  if (!whole) return cancelled();
  return failed == 0 ? Status() : check_failed("{} of {} images were not classified", failed, files.size());
}

}  // namespace

void add_client(CLI::App& app, Action& action) {
  auto flags = std::make_shared<ClientFlags>();
  CLI::App* verb = app.add_subcommand("client", "Classify a folder of pictures through a server");
  verb->add_option("FOLDER", flags->folder, "Pictures, at any depth")->required();
  verb->add_option("-m,--model", flags->model, "Model")->required();
  verb->add_option("-u,--url", flags->url, "Address of the server's HTTP port; https://host:port for TLS")->capture_default_str();
  verb->add_option("--top", flags->top, "Classes to show")->check(CLI::PositiveNumber)->capture_default_str();
  verb->add_option("--concurrency", flags->concurrency, "Pictures under way at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace vitrail::cli
