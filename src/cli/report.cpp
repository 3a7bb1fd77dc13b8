// SPDX-License-Identifier: Apache-2.0
#include "report/report.h"

#include <memory>

#include "cli/common.h"
#include "cli/verbs.h"

namespace vitrail::cli {

void add_report(CLI::App& app, Action& action) {
  struct Flags {
    std::vector<std::string> runs;
    std::string folder;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* verb =
      app.add_subcommand("report", "Turn results into Markdown, HTML and JSON with a recommendation");
  verb->add_option("RUN", flags->runs, "JSON files of bench, verify and benchmarks/peers.py")->required();
  verb->add_option("-o,--output", flags->folder, "Folder for report.md, report.html and report.json")
      ->required();
  verb->add_flag("--json", flags->json, "Print report.json");
  verb->callback([flags, &action] {
    action = [flags]() -> Status {
      VTL_ASSIGN(const report::Report report, report::build_report(flags->runs));
      VTL_TRY(report::write_report(report, flags->folder));
      print(flags->json ? report.json : report.text);
      return {};
    };
  });
}

}  // namespace vitrail::cli
