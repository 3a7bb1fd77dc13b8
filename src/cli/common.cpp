// SPDX-License-Identifier: Apache-2.0
#include "cli/common.h"

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include <spdlog/spdlog.h>

#include "core/clock.h"
#include "core/error.h"
#include "core/parse_number.h"
#include "core/thread_pool.h"

namespace vitrail::cli {
namespace {

constexpr int kBarWidth = 30;

}  // namespace

Result<int64_t> parse_bytes(const std::string& text) {
  const size_t digits = text.find_first_not_of("0123456789.");
  const std::string unit = digits == std::string::npos ? "" : text.substr(digits);
  double value = 0;
  int shift = -1;
  for (const auto& [name, bits] : {std::pair{"", 0},
                                   {"B", 0},
                                   {"KiB", 10},
                                   {"K", 10},
                                   {"MiB", 20},
                                   {"M", 20},
                                   {"GiB", 30},
                                   {"G", 30},
                                   {"TiB", 40}})
    if (unit == name) shift = bits;
  if (shift < 0 || !parse_number(std::string_view(text).substr(0, digits), value) || value <= 0 ||
      value * (1ll << shift) > 9e18)
    return usage_error("'{}' is no amount of memory; write it like 512MiB or 1GiB", text);
  return static_cast<int64_t>(value * static_cast<double>(1ll << shift));
}

Result<Profile> parse_profile(const std::string& text) {
  const size_t a = text.find(':'), b = text.find(':', a == std::string::npos ? a : a + 1);
  Profile p;
  if (b == std::string::npos || !parse_number(std::string_view(text).substr(0, a), p.min) ||
      !parse_number(std::string_view(text).substr(a + 1, b - a - 1), p.opt) ||
      !parse_number(std::string_view(text).substr(b + 1), p.max))
    return usage_error("--profile '{}': write it as MIN:OPT:MAX, for example 1:8:64", text);
  return p;
}

Result<std::pair<std::string, std::string>> parse_pair(const std::string& text) {
  const size_t at = text.find('=');
  if (at == std::string::npos || at == 0 || at + 1 == text.size())
    return usage_error("'{}': write it as NAME=VALUE", text);
  return std::pair{text.substr(0, at), text.substr(at + 1)};
}

void ModelFlags::add(CLI::App& verb) {
  verb.add_option("--preprocess", preprocess,
                  "JSON file: height, width, resize_mode, crop_pct, interpolation, mean, std, color");
  verb.add_option("--labels", labels, "Class names, one a line");
  verb.add_option("--dim", dims, "Size of an input dimension that the model leaves open, NAME=VALUE");
}

Result<ModelOptions> ModelFlags::options() const {
  ModelOptions options;
  options.preprocess_file = preprocess;
  options.labels_file = labels;
  for (const std::string& text : dims) {
    VTL_ASSIGN(const auto pair, parse_pair(text));
    if (!parse_number(pair.second, options.import.dims[pair.first]))
      return usage_error("--dim '{}': the size must be a whole number", text);
  }
  return options;
}

void BackendFlags::add(CLI::App& verb, bool several) {
  verb.add_option("--backend", backend, "cpu, cuda, tensorrt or reference")->capture_default_str();
  precisions = {precision};
  CLI::Option* option = verb.add_option(
      "--precision", precisions,
      several ? "One or more, with commas: an engine of each, measured in turns, and one report. cpu: fp32, int8; cuda and "
                "tensorrt: fp32, tf32, fp16, bf16, fp8, int8 (of a float model with --calibrate)"
              : "cpu and reference: fp32; cuda and tensorrt: fp32, tf32, fp16, bf16, fp8 (wants --calibrate), int8");
  option->check(CLI::IsMember({"fp32", "tf32", "fp16", "bf16", "fp8", "int8"}))->capture_default_str();
  if (several)
    option->delimiter(',')->allow_extra_args(false);
  else
    option->expected(1);
  verb.add_option("--timing-cache", timing_cache,
                  "File of kernel timings (cuda: default ~/.cache/vitrail/tactics.json; tensorrt: its own format, default none)");
  verb.add_option(
          "--input", input,
          "What pictures come as: float32 [N,3,H,W], normalised; or uint8 [N,H,W,3], normalised inside")
      ->check(CLI::IsMember({"float32", "uint8"}))
      ->capture_default_str();
  verb.add_option("--calibrate", calibrate,
                  "fp8, and int8 of a float model with tensorrt 8.5 to 10: folder of pictures that the ranges of values are taken from");
  verb.add_option("--calibrate-samples", calibrate_samples, "At most so many of them, evenly spread")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
}

void BackendFlags::apply(BuildOptions& options) const {
  options.backend = backend;
  options.precision = precisions.front();
  options.timing_cache = timing_cache;
  options.byte_input = input == "uint8";
  options.calibrate = calibrate;
  options.calibrate_samples = calibrate_samples;
}

void ThreadFlag::add(CLI::App& verb) {
  verb.add_option("--threads", threads, "Threads of a stream (default: all cores)")
      ->check([](const std::string& text) {
        int n = 0;
        return parse_number(text, n) && n >= 1 && n <= 1024
                   ? std::string()
                   : "must be a whole number from 1 to 1024";
      });
}

Result<int> ThreadFlag::value() const { return threads > 0 ? threads : available_cores(); }

nlohmann::ordered_json engine_json(const std::string& file, const BuildOutcome& outcome, double seconds) {
  return {{"engine", file},
          {"hash", outcome.hash},
          {"file_bytes", outcome.file_bytes},
          {"seconds", seconds},
          {"backend", outcome.info.backend},
          {"precision", outcome.info.precision}};
}

std::string human_bytes(int64_t bytes) {
  const auto b = static_cast<double>(bytes);
  if (bytes < 1 << 10) return fmt::format("{} B", bytes);
  if (bytes < 1 << 20) return fmt::format("{:.1f} KiB", b / (1 << 10));
  if (bytes < 1ll << 30) return fmt::format("{:.1f} MiB", b / (1 << 20));
  return fmt::format("{:.2f} GiB", b / (1 << 30));
}

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void print_json(const nlohmann::ordered_json& json) {
  print(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

void warn(const std::string& message) { spdlog::warn("{}", message); }

Progress progress_bar(bool quiet) {
  if (quiet) return nullptr;
  struct State {
    bool terminal = ::isatty(STDERR_FILENO) != 0;
    std::string stage;
    int64_t start = 0;
  };
  auto state = std::make_shared<State>();
  return [state](std::string_view stage, double done) {
    const int64_t now = steady_nanoseconds();
    const bool changed = state->stage != stage;
    if (changed || state->start == 0) state->start = state->stage.empty() || done <= 0 ? now : state->start;
    state->stage = stage;
    if (!state->terminal) {
      if (changed) fmt::print(stderr, "{} …\n", stage);
      return;
    }
    const double seconds = static_cast<double>(now - state->start) * 1e-9;
    const int filled = static_cast<int>(done * kBarWidth);
    const std::string left =
        done > 0.02 && done < 1 ? fmt::format("{:.0f} s left", seconds / done * (1 - done)) : "";
    fmt::print(stderr, "\r\033[K{:<10} [{}{}] {:3.0f} % {}", stage,
               std::string(static_cast<size_t>(filled), '#'),
               std::string(static_cast<size_t>(kBarWidth - filled), '.'), done * 100, left);
    if (done >= 1) fmt::print(stderr, "\n");
    std::fflush(stderr);
  };
}

std::function<void(int64_t done, int64_t total)> sample_progress(bool quiet, std::string stage) {
  const Progress bar = progress_bar(quiet);
  if (!bar) return nullptr;
  return [bar, stage = std::move(stage)](int64_t done, int64_t total) {
    bar(stage, static_cast<double>(done) / static_cast<double>(total > 0 ? total : 1));
  };
}

}  // namespace vitrail::cli
