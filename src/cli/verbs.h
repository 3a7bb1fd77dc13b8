// SPDX-License-Identifier: Apache-2.0
// One function a verb: declares its options and, when the verb was given, sets the action that main() runs.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "vitrail/status.h"

namespace vitrail::cli {

using Action = std::function<Status()>;

void add_export(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_build(CLI::App& app, Action& action);
void add_refit(CLI::App& app, Action& action);
void add_run(CLI::App& app, Action& action);
void add_quantize(CLI::App& app, Action& action);
void add_compare(CLI::App& app, Action& action);
void add_verify(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_load(CLI::App& app, Action& action);
void add_client(CLI::App& app, Action& action);
void add_serve(CLI::App& app, Action& action);
void add_report(CLI::App& app, Action& action);
void add_optimize(CLI::App& app, Action& action);
void add_explain(CLI::App& app, Action& action);
void add_trtexec(CLI::App& app, Action& action);
void add_completion(CLI::App& app, Action& action);

}  // namespace vitrail::cli
