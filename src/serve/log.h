// SPDX-License-Identifier: Apache-2.0
// The server's log: structured lines, written by a thread of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "serve/fault.h"

namespace spdlog {
class async_logger;
namespace details {
class thread_pool;
}
}  // namespace spdlog

namespace vitrail::serve {

enum class LogLevel { kError, kWarning, kInfo, kVerbose };  // verbose: a line for each request
enum class LogFormat { kText, kIso8601, kJson };

using LogValue = std::variant<int64_t, double, std::string_view>;
using LogField = std::pair<std::string_view, LogValue>;

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
  std::string file;  // appended to; empty: stderr
};

// One line without its end, as Triton's formats begin one (level, time, process), or a JSON object. Whatever a client
// put into a field stays on the line: control characters are escaped.
std::string log_line(LogFormat format, LogLevel level, std::chrono::system_clock::time_point time,
                     std::string_view message, std::span<const LogField> fields);

// "text" or "default", "ISO8601", "json"; nothing for other words.
std::optional<LogFormat> log_format_of(std::string_view name);

// All members may be called from several threads at once. Nobody waits for the file or the terminal: of lines that
// come faster than they can be written, the oldest are dropped.
class Log {
 public:
  // kIo when the file cannot be opened.
  static Result<std::unique_ptr<Log>> open(LogOptions options);
  ~Log();

  void write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {}) {
    write(level, message, std::span<const LogField>(fields.begin(), fields.size()));
  }
  void write(LogLevel level, std::string_view message, std::span<const LogField> fields) {
    if (takes(level)) put(level, message, fields);
  }
  // Whether the level is taken or not: for what was begun while it was.
  void put(LogLevel level, std::string_view message, std::span<const LogField> fields);
  bool takes(LogLevel level) const { return (levels_ >> static_cast<int>(level) & 1) != 0; }
  uint64_t dropped() const;

  // Triton's names: log_file, log_info, log_warning, log_error, log_verbose_level, log_format.
  nlohmann::ordered_json settings() const;
  // Changes those that `settings` names, all or none of them; null leaves one as it is. The file stays.
  Fault update(const nlohmann::json& settings);
  // Opens the file again, after it was moved away.
  Status reopen();

 private:
  Log() = default;
  Status open_sink();

  std::atomic<int> levels_{0};  // a bit for each
  std::atomic<int> verbose_{0};
  std::atomic<LogFormat> format_{LogFormat::kText};
  std::string file_;
  std::shared_ptr<spdlog::details::thread_pool> pool_;
  mutable std::mutex mutex_;  // guards what follows
  std::shared_ptr<spdlog::async_logger> logger_;
};

}  // namespace vitrail::serve
