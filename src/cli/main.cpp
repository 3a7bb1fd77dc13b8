// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <exception>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "cli/verbs.h"
#include "core/cancel.h"
#include "vitrail/version.h"

namespace {

// The first Ctrl-C asks politely, so that partial results are kept; the second ends the process.
void on_interrupt(int) {
  if (vitrail::cancel::requested()) std::_Exit(130);
  vitrail::cancel::request();
}

int run(int argc, char** argv) {
  CLI::App app{"Takes a trained Vision Transformer to its fastest engine, proves it, measures it, runs it."};
  app.name("vitrail");
  app.set_version_flag("--version", std::string("vitrail ") + vitrail::version());
  app.require_subcommand(1);
  app.fallthrough(false);
  vitrail::cli::Action action;
  for (auto* add : {vitrail::cli::add_optimize, vitrail::cli::add_export, vitrail::cli::add_inspect,
                    vitrail::cli::add_build, vitrail::cli::add_refit, vitrail::cli::add_quantize, vitrail::cli::add_compare,
                    vitrail::cli::add_run, vitrail::cli::add_verify, vitrail::cli::add_bench,
                    vitrail::cli::add_report, vitrail::cli::add_serve, vitrail::cli::add_load,
                    vitrail::cli::add_client, vitrail::cli::add_explain, vitrail::cli::add_trtexec, vitrail::cli::add_completion})
    add(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const bool asked = e.get_exit_code() == 0;  // --help, --version
    app.exit(e);
    return asked ? 0 : 2;
  }
  const vitrail::Status status = action();
  if (!status.ok()) spdlog::error("{}", status.message());
  return vitrail::exit_status(status.code());
}

}  // namespace

int main(int argc, char** argv) {
  spdlog::set_default_logger(spdlog::stderr_color_st("vitrail"));
  spdlog::set_pattern("%^%l%$: %v");
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is then an error of write(), with a message
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {  // out of memory, for the most part
    spdlog::error("{}", e.what());
    return vitrail::exit_status(vitrail::Code::kInternal);
  }
}
