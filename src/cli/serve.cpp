// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <signal.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "cli/common.h"
#include "cli/verbs.h"
#include "core/error.h"
#include "core/files.h"
#include "core/parse_number.h"
#include "core/thread_pool.h"
#include "serve/server.h"
#include "vitrail/image.h"
#include "vitrail/version.h"
#include "workflow/open.h"

namespace vitrail::cli {
namespace {

struct ServeFlags {
  serve::ServerOptions options;
  std::vector<std::string> engines;
  std::string control = "none", max_delay = "0us", timeout, slo, workspace, token_file, tls_certificate, tls_key, isa;
  std::string max_body = "128MiB", max_body_total = "1GiB", log_level = "info", log_format = "text";
  std::vector<std::string> trace_config;
  bool no_batching = false, no_grpc = false, no_metrics = false;
  uint16_t grpc_port = 8001, metrics_port = 8002;
};

// "500us", "20ms", "1.5s" in nanoseconds.
Result<int64_t> parse_time(const std::string& text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::string unit = text.substr(digits);
  const double scale = unit == "us" ? 1e3 : unit == "ms" ? 1e6 : unit == "s" ? 1e9 : 0;
  double value = 0;
  if (scale == 0 || !parse_number(std::string_view(text).substr(0, digits), value) || value * scale > 1e15)
    return usage_error("'{}' is no time; write it like 500us, 20ms or 1.5s", text);
  return static_cast<int64_t>(value * scale);
}

// "NAME=FILE.vtl", or the file's own name.
std::pair<std::string, std::string> engine_of(const std::string& text) {
  const size_t at = text.find('=');
  if (at != std::string::npos && at > 0) return {text.substr(0, at), text.substr(at + 1)};
  return {std::filesystem::path(text).stem().string(), text};
}

Result<serve::LoadedEngine> load(const std::string& path, const std::string& isa) {
  VTL_ASSIGN(OpenedEngine opened, open_engine(path, {isa, available_cores()}));
  auto kept = std::make_shared<OpenedEngine>(std::move(opened));
  return serve::LoadedEngine{kept->engine, kept->program, kept};
}

Result<serve::ServerOptions> options_of(const ServeFlags& flags) {
  serve::ServerOptions o = flags.options;
  serve::ModelSettings& settings = o.repository.settings;
  serve::SchedulerOptions& scheduler = settings.scheduler;
  for (const std::string& text : flags.engines) o.repository.engines.push_back(engine_of(text));
  if (o.repository.engines.empty() && o.repository.folder.empty())
    return usage_error("serve needs engine files (*.vtl) or --model-repository DIR");
  for (size_t i = 0; i < o.repository.engines.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (o.repository.engines[i].first == o.repository.engines[j].first)
        return usage_error("two engines are named '{}'; name them: NAME={}", o.repository.engines[i].first,
                           o.repository.engines[i].second);
  o.repository.control = flags.control == "explicit" ? serve::Control::kExplicit
                         : flags.control == "poll"   ? serve::Control::kPoll
                                                     : serve::Control::kNone;
  if (o.repository.control != serve::Control::kExplicit && !o.repository.load.empty())
    return usage_error("--load-model goes with --model-control explicit");
  VTL_ASSIGN(scheduler.policy.max_delay_ns, parse_time(flags.max_delay));
  if (!flags.timeout.empty()) {
    VTL_ASSIGN(scheduler.queue.usual.default_timeout_ns, parse_time(flags.timeout));
  }
  if (!flags.slo.empty()) {
    VTL_ASSIGN(scheduler.slo_ns, parse_time(flags.slo));
    if (scheduler.queue.usual.default_timeout_ns == 0) scheduler.queue.usual.default_timeout_ns = scheduler.slo_ns;
  }
  std::ranges::sort(scheduler.policy.preferred);
  scheduler.policy.merge = !flags.no_batching;
  if (!flags.workspace.empty()) {
    VTL_ASSIGN(settings.workspace_bytes, parse_bytes(flags.workspace));
  }
  VTL_ASSIGN(const int64_t body, parse_bytes(flags.max_body));
  o.http.max_body = static_cast<uint64_t>(body);
  VTL_ASSIGN(const int64_t total, parse_bytes(flags.max_body_total));
  if (total < body) return usage_error("--max-body-total {} is less than --max-body {}", flags.max_body_total, flags.max_body);
  o.max_body_total = static_cast<uint64_t>(total);
  o.grpc_port = flags.no_grpc ? std::nullopt : std::optional(flags.grpc_port);
  o.metrics_port = flags.no_metrics ? std::nullopt : std::optional(flags.metrics_port);
  if (flags.tls_certificate.empty() != flags.tls_key.empty())
    return usage_error("--tls-certificate and --tls-key go together");
  if (!flags.tls_key.empty()) o.http.tls = serve::TlsFiles{flags.tls_certificate, flags.tls_key};
  if (!flags.token_file.empty()) {
    VTL_ASSIGN(std::string token, read_file(flags.token_file, 4096));
    while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
    if (token.empty()) return bad_input("{}: the token is empty", flags.token_file);
    o.access.token = std::move(token);
  }
  o.log.level = flags.log_level == "verbose"   ? serve::LogLevel::kVerbose
                : flags.log_level == "info"    ? serve::LogLevel::kInfo
                : flags.log_level == "warning" ? serve::LogLevel::kWarning
                                               : serve::LogLevel::kError;
  o.log.format = *serve::log_format_of(flags.log_format);
  for (const std::string& text : flags.trace_config) VTL_TRY(serve::read_trace_config(text, o.traces));
  o.repository.loader = [isa = flags.isa](const std::string& path) { return load(path, isa); };
  return o;
}

Status run(const ServeFlags& flags) {
  VTL_ASSIGN(serve::ServerOptions options, options_of(flags));
  // Blocked here and so in every thread to come; sigwait() takes them.
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  if (!flags.options.log.file.empty()) sigaddset(&stop, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  const std::string address = options.http.address;
  VTL_ASSIGN(const auto server, serve::Server::start(std::move(options)));
  std::string models;
  for (const auto& model : server->repository().ready())
    models += fmt::format("  {} version {}: {}, batches of up to {}\n", model->name(), model->version(),
                          model->platform(), std::max<int64_t>(model->max_batch(), 1));
  print(fmt::format("vitrail {}\nhttp    http{}://{}:{}\n", version(), flags.tls_key.empty() ? "" : "s", address, server->http_port()));
  if (!flags.no_grpc) print(fmt::format("grpc    {}:{}\n", address, server->grpc_port()));
  if (!flags.no_metrics) print(fmt::format("metrics http://{}:{}/metrics\n", address, server->metrics_port()));
  print(fmt::format("models\n{}ready\n", models));
  std::fflush(stdout);
  int signal = 0;
  while (sigwait(&stop, &signal) == 0 && signal == SIGHUP)
    if (const Status status = server->log().reopen(); !status.ok()) server->log().write(serve::LogLevel::kError, status.message());
  server->log().write(serve::LogLevel::kInfo, fmt::format("{}: answering what has come, then stopping; again to stop at once",
                                                          signal == SIGTERM ? "SIGTERM" : "SIGINT"));
  ::signal(SIGTERM, SIG_DFL);
  ::signal(SIGINT, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &stop, nullptr);
  return server->drain();
}

}  // namespace

void add_serve(CLI::App& app, Action& action) {
  auto flags = std::make_shared<ServeFlags>();
  serve::ServerOptions& o = flags->options;
  serve::ModelSettings& model = o.repository.settings;
  CLI::App* verb = app.add_subcommand("serve", "Answer requests over HTTP and gRPC (Open Inference Protocol)");
  verb->add_option("ENGINE", flags->engines, "Engine files (.vtl), or NAME=FILE.vtl");
  verb->add_option("--model-repository", o.repository.folder, "Folder of MODEL/VERSION/FILE.vtl");
  verb->add_option("--model-control", flags->control, "none: everything is loaded at the start; explicit: on request; poll: what changes in the repository is loaded")
      ->check(CLI::IsMember({"none", "explicit", "poll"}))
      ->capture_default_str();
  verb->add_option("--poll-seconds", o.poll_seconds, "Between two looks at the repository, with poll control")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
  verb->add_option("--load-model", o.repository.load, "Models to load at the start, with explicit control");
  verb->add_option("--address", o.http.address, "IP address to listen on; 0.0.0.0 for all")->capture_default_str();
  verb->add_option("--http-port", o.http.port, "0: any that is free")->capture_default_str();
  verb->add_option("--grpc-port", flags->grpc_port, "0: any that is free")->capture_default_str();
  verb->add_flag("--no-grpc", flags->no_grpc, "Without gRPC");
  verb->add_option("--metrics-port", flags->metrics_port, "0: any that is free")->capture_default_str();
  verb->add_flag("--no-metrics", flags->no_metrics, "Without a port for metrics");
  verb->add_option("--instances", model.instances, "Batches that may run at once; they share the weights")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  verb->add_option("--threads", model.threads, "Threads of each instance (default: the cores divided by the instances)")
      ->check(CLI::Range(1, 1024));
  verb->add_option("--max-batch", model.max_batch, "Largest batch (default: the engine's)")->check(CLI::PositiveNumber);
  verb->add_option("--workspace", flags->workspace, "Cap on memory beyond the weights (default: the engine's)");
  verb->add_flag("--no-batching", flags->no_batching, "Each request runs alone");
  verb->add_option("--preferred-batch", model.scheduler.policy.preferred, "Batch sizes that run as soon as they are there")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  verb->add_option("--max-queue-delay", flags->max_delay,
                   "Longest that a request waits for others to join it; never longer than that gains")
      ->capture_default_str();
  verb->add_option("--max-queue", model.scheduler.queue.usual.max_queue, "Requests that may wait (of each priority); more are refused")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb->add_option("--timeout", flags->timeout, "A request that waits longer is refused (default: never)");
  verb->add_option("--slo", flags->slo, "Sets batches, delay and refusals so that answers come within this time");
  verb->add_option("--priority-levels", model.scheduler.priority_levels, "Priorities 1 (first) to this one; 0: none")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  verb->add_flag("--preserve-ordering", model.scheduler.preserve_ordering, "Answers come in the order of requests");
  verb->add_option("--warm-up", model.warm_up_seconds, "Seconds that a model runs before it is ready, at the most")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  verb->add_flag("--allow-uncertified", model.allow_uncertified, "Also engines that `verify --certify` has not passed");
  verb->add_flag("--allow-non-finite", model.scheduler.allow_non_finite,
                 "Inputs may hold NaN and infinity, which are refused otherwise (perf_analyzer's random data does)");
  verb->add_flag("--allow-control", o.access.allow_control, "Loading and unloading from other machines as well");
  verb->add_option("--token-file", flags->token_file, "Loading and unloading need the token in this file");
  verb->add_option("--tls-certificate", flags->tls_certificate, "PEM file of the certificate chain: HTTPS, and gRPC over TLS");
  verb->add_option("--tls-key", flags->tls_key, "PEM file of its private key");
  verb->add_option("--max-body", flags->max_body, "Largest request")->capture_default_str();
  verb->add_option("--max-body-total", flags->max_body_total, "Bytes of all requests that are held at once, of HTTP and of gRPC each; more are refused")
      ->capture_default_str();
  verb->add_option("--max-image-pixels", o.service.max_image_pixels, "Largest picture that is decoded")
      ->check(CLI::Range(int64_t{1}, kMaxImagePixels))
      ->capture_default_str();
  verb->add_option("--io-threads", o.io_threads, "Threads of connections (default: a quarter of the cores, 2 to 16)")
      ->check(CLI::Range(1, 256));
  verb->add_option("--decode-threads", o.service.decode_threads, "Threads that decode pictures (default: half of the cores)")
      ->check(CLI::Range(1, 1024));
  verb->add_option("--log-level", flags->log_level, "error, warning, info, or verbose: a line for each request as well")
      ->check(CLI::IsMember({"error", "warning", "info", "verbose"}))
      ->capture_default_str();
  verb->add_option("--log-format", flags->log_format, "Lines of text, with ISO8601's times, or JSON objects")
      ->check(CLI::IsMember({"text", "ISO8601", "json"}))
      ->capture_default_str();
  verb->add_option("--log-file", o.log.file, "Appended to, and opened again on SIGHUP (default: stderr)");
  verb->add_option("--trace-config", flags->trace_config,
                   "As Triton's: level=TIMESTAMPS, rate=100, count=-1, triton,file=trace.json, mode=opentelemetry, "
                   "opentelemetry,url=http://localhost:4318/v1/traces …")
      ->allow_extra_args(false);
  verb->add_option("--drain-seconds", o.drain_seconds, "Longest that SIGTERM waits for requests that run")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  verb->add_option("--isa", flags->isa, "scalar, avx2, avxvnni, avx512, avx512vnni or avx512amx (default: the best here)");
  verb->callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace vitrail::cli
