// SPDX-License-Identifier: Apache-2.0
// `vitrail report`: JSON outputs of bench, verify, optimize and of other programs' measurements as one
// report.
#pragma once

#include <span>
#include <string>

#include "report/model.h"
#include "report/recommend.h"
#include "vitrail/status.h"

namespace vitrail::report {

struct Report {
  Recommendation recommendation;
  std::string json;  // docs/report-schema.md, kind "report"
  std::string markdown;
  std::string html;  // one file, no scripts, nothing fetched
  std::string text;  // the headline and the tables of the protocol, for a terminal
};

// Reads and merges the files. Errors name the file and the key. The same files give the same bytes.
Result<Report> build_report(std::span<const std::string> run_json_files);
Report build_report(const Data& data);

// Writes report.json, report.md and report.html into `folder`, which is made when absent; each appears whole
// or not at all.
Status write_report(const Report& report, const std::string& folder);

}  // namespace vitrail::report
