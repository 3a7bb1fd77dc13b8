// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/bench_flags.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "core/error.h"
#include "core/files.h"
#include "workflow/measure.h"

namespace vitrail::cli {

void BenchFlags::add(CLI::App& verb) {
  verb.add_option("--batch", bench.batches, "Batch sizes")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  verb.add_option("--warm-up", bench.warm_up, "Untimed batches of each size")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  verb.add_option("--iterations", bench.iterations, "Timed batches of each size")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  verb.add_option("--streams", bench.streams, "Batches at the same time")
      ->capture_default_str()
      ->check(CLI::Range(1, kMaxStreams));
  verb.add_option("--idle-time", bench.idle_ms, "Milliseconds of pause after each timed batch")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e4));
  verb.add_option("--max-seconds", max_seconds,
                  "Shorten the whole run to about this long; the output says so")
      ->check(CLI::PositiveNumber);
  verb.add_flag("--layers", bench.layers, "Time each layer in a separate pass");
  threads.add(verb);
}

Result<BenchOptions> BenchFlags::options() const {
  BenchOptions options = bench;
  VTL_ASSIGN(options.threads, threads.value());
  if (max_seconds > 0) options.max_seconds = max_seconds;
  return options;
}

namespace {

struct Flags {
  std::string engine, json_file, export_times_file, isa, workspace;
  BenchFlags bench;
};

Status run_bench_verb(const Flags& flags) {
  const bool quiet = flags.json_file == "-";
  MeasureOptions options;
  VTL_ASSIGN(options.bench, flags.bench.options());
  options.isa = flags.isa;
  if (!flags.workspace.empty()) {
    VTL_ASSIGN(options.workspace_bytes, parse_bytes(flags.workspace));
  }
  if (const Progress bar = progress_bar(quiet))
    options.bench.progress = [bar](int64_t done, int64_t total) {
      bar("bench", static_cast<double>(done) / static_cast<double>(total > 0 ? total : 1));
    };
  BenchReport report;
  const Status measured = measure_engine(flags.engine, options, report);
  if (report.results.empty()) return measured;
  // What was measured before an interruption is kept.
  if (quiet)
    print(to_json_text(report));
  else
    print(to_table(report));
  if (!quiet && options.bench.layers)
    for (const BenchResult& result : report.results) print("\n" + layer_table(result));
  if (!quiet && !flags.json_file.empty())
    VTL_TRY(write_file_atomically(flags.json_file, to_json_text(report)));
  if (!quiet && !flags.export_times_file.empty())
    for (const BenchResult& result : report.results) print("\n" + summary_lines(result));
  if (!flags.export_times_file.empty())
    VTL_TRY(write_file_atomically(flags.export_times_file, export_times(report).dump() + "\n"));
  return measured;
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("bench", "Measure latency, throughput and memory of an engine");
  verb->add_option("ENGINE", flags->engine, "Engine file (.vtl)")->required();
  flags->bench.add(*verb);
  verb->add_option("--json", flags->json_file,
                   "Write the results to this file; without a file, print one JSON object")
      ->expected(0, 1)
      ->default_str("-");
  verb->add_option("--export-times", flags->export_times_file,
                   "Write every batch's times, in trtexec's form, and print its summary lines");
  verb->add_option("--isa", flags->isa,
                   "scalar, avx2, avxvnni, avx512, avx512vnni or avx512amx (default: the best here)");
  verb->add_option("--workspace", flags->workspace,
                   "Hard cap on memory beyond the weights (default: the build's)");
  verb->callback([flags, verb, &action] {
    if (verb->count("--json") > 0 && flags->json_file.empty()) flags->json_file = "-";
    action = [flags] { return run_bench_verb(*flags); };
  });
}

}  // namespace vitrail::cli
