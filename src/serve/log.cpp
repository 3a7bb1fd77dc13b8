// SPDX-License-Identifier: Apache-2.0
#include "serve/log.h"

#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "core/error.h"
#include "serve/infer_json.h"

namespace vitrail::serve {
namespace {

using Json = nlohmann::json;

constexpr size_t kQueue = 8192;  // lines that wait to be written
constexpr int kMaxVerbose = 1'000'000;

constexpr std::string_view kLetters = "EWIV";
constexpr std::string_view kNames[] = {"error", "warning", "info", "verbose"};

// As it is where it is one plain word, else as a JSON string.
std::string word(std::string_view text) {
  const bool plain = !text.empty() && std::ranges::all_of(text, [](char c) {
    return c > ' ' && c < 127 && c != '"' && c != '=' && c != '\\';
  });
  return plain ? std::string(text) : json_string(text);
}

// A message stands without quotes, and only what would break the line is escaped.
std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= ' ' && c != 127)
      out += c;
    else
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string text_of(const LogValue& value, bool json) {
  if (const auto* whole = std::get_if<int64_t>(&value)) return fmt::format("{}", *whole);
  if (const auto* real = std::get_if<double>(&value)) return fmt::format("{:.3f}", *real);
  const std::string_view text = std::get<std::string_view>(value);
  return json ? json_string(text) : word(text);
}

std::string_view name_of(LogFormat format) {
  return format == LogFormat::kJson ? "json" : format == LogFormat::kIso8601 ? "ISO8601" : "default";
}

}  // namespace

std::optional<LogFormat> log_format_of(std::string_view name) {
  if (name == "default" || name == "text") return LogFormat::kText;
  if (name == "ISO8601") return LogFormat::kIso8601;
  if (name == "json") return LogFormat::kJson;
  return std::nullopt;
}

std::string log_line(LogFormat format, LogLevel level, std::chrono::system_clock::time_point time,
                     std::string_view message, std::span<const LogField> fields) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
  const std::time_t seconds = static_cast<std::time_t>(us / 1'000'000);
  std::tm t{};
  ::gmtime_r(&seconds, &t);
  const char letter = kLetters[static_cast<size_t>(level)];
  if (format == LogFormat::kJson) {
    std::string line = fmt::format(
        R"({{"time":"{}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z","level":"{}","message":{})", t.tm_year + 1900, t.tm_mon + 1,
        t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, us % 1'000'000, kNames[static_cast<size_t>(level)], json_string(message));
    for (const auto& [name, value] : fields) line += fmt::format(",\"{}\":{}", name, text_of(value, true));
    return line + "}";
  }
  std::string line =
      format == LogFormat::kText
          ? fmt::format("{}{:02}{:02} {:02}:{:02}:{:02}.{:06} {}] ", letter, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min,
                        t.tm_sec, us % 1'000'000, ::getpid())
          : fmt::format("{}-{:02}-{:02}T{:02}:{:02}:{:02}Z {} {}] ", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour,
                        t.tm_min, t.tm_sec, letter, ::getpid());
  line += one_line(message);
  for (const auto& [name, value] : fields) line += fmt::format(" {}={}", name, text_of(value, false));
  return line;
}

Result<std::unique_ptr<Log>> Log::open(LogOptions options) {
  std::unique_ptr<Log> log(new Log);
  log->levels_ = (2 << static_cast<int>(options.level)) - 1;
  log->verbose_ = options.level == LogLevel::kVerbose ? 1 : 0;
  log->format_ = options.format;
  log->file_ = std::move(options.file);
  try {
    log->pool_ = std::make_shared<spdlog::details::thread_pool>(kQueue, 1);
  } catch (const std::exception& error) {
    return resource_error("the log's thread: {}", error.what());
  }
  VTL_TRY(log->open_sink());
  return log;
}

// What is queued is written before the thread ends.
Log::~Log() = default;

Status Log::open_sink() {
  try {
    spdlog::sink_ptr sink;
    if (file_.empty())
      sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    else
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file_);
    auto logger = std::make_shared<spdlog::async_logger>("serve", std::move(sink), pool_,
                                                         spdlog::async_overflow_policy::overrun_oldest);
    logger->set_pattern("%v");
    logger->flush_on(spdlog::level::trace);
    logger->set_level(spdlog::level::trace);
    const std::lock_guard lock(mutex_);
    logger_ = std::move(logger);
  } catch (const std::exception& error) {
    return io_error("log file: {}", error.what());
  }
  return {};
}

Status Log::reopen() { return file_.empty() ? Status() : open_sink(); }

uint64_t Log::dropped() const { return pool_->overrun_counter(); }

void Log::put(LogLevel level, std::string_view message, std::span<const LogField> fields) {
  const std::string line = log_line(format_, level, std::chrono::system_clock::now(), message, fields);
  std::unique_lock lock(mutex_);
  const auto logger = logger_;
  lock.unlock();
  logger->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
}

nlohmann::ordered_json Log::settings() const {
  return {{"log_file", file_},
          {"log_info", takes(LogLevel::kInfo)},
          {"log_warning", takes(LogLevel::kWarning)},
          {"log_error", takes(LogLevel::kError)},
          {"log_verbose_level", verbose_.load()},
          {"log_format", name_of(format_)}};
}

Fault Log::update(const Json& settings) {
  if (!settings.is_object()) return {Cause::kInvalid, "log settings are a JSON object"};
  int set = 0, clear = 0, verbose = -1;
  std::optional<LogFormat> format;
  for (const auto& [name, value] : settings.items()) {
    if (value.is_null()) continue;
    const bool info = name == "log_info", warning = name == "log_warning", error = name == "log_error";
    if (info || warning || error) {
      if (!value.is_boolean()) return fault(Cause::kInvalid, "{}: it must be true or false", name);
      const LogLevel level = info ? LogLevel::kInfo : warning ? LogLevel::kWarning : LogLevel::kError;
      (value.get<bool>() ? set : clear) |= 1 << static_cast<int>(level);
    } else if (name == "log_verbose_level") {
      if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() > kMaxVerbose)
        return fault(Cause::kInvalid, "{}: it must be a whole number from 0 to {}", name, kMaxVerbose);
      verbose = value.get<int>();
    } else if (name == "log_format") {
      if (value.is_string()) format = log_format_of(value.get<std::string>());
      if (!format) return fault(Cause::kInvalid, "{}: it must be \"default\", \"ISO8601\" or \"json\"", name);
    } else if (name == "log_file") {
      return {Cause::kInvalid, "log_file: where the log is written cannot be changed over the network"};
    } else {
      return fault(Cause::kInvalid,
                   "{}: no such setting; there are log_info, log_warning, log_error, log_verbose_level and log_format",
                   one_line(name.substr(0, 100)));
    }
  }
  const int bit = 1 << static_cast<int>(LogLevel::kVerbose);
  if (verbose >= 0) (verbose > 0 ? set : clear) |= bit, verbose_ = verbose;
  levels_ |= set;
  levels_ &= ~clear;
  if (format) format_ = *format;
  return {};
}

}  // namespace vitrail::serve
