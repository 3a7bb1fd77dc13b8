// SPDX-License-Identifier: Apache-2.0
#include "workflow/quantize.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/verbs.h"
#include "core/error.h"
#include "core/files.h"
#include "core/text_table.h"

namespace vitrail::cli {
namespace {

struct QuantizeFlags {
  std::string model, output, method = "mse", max_drop = "0.3%", table, report;
  double percentile = quant::kPercentile * 100;
  QuantizeOptions options;
  ModelFlags model_flags;
  ThreadFlag threads;
  bool json = false;
};

// "0.3%" or "0.003".
Result<double> parse_share(const std::string& text) {
  const bool percent = text.ends_with('%');
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || end != text.c_str() + text.size() - percent || !(value >= 0) || value > (percent ? 100 : 1))
    return usage_error("--max-drop '{}': give a percentage like 0.3% or a share like 0.003", text);
  return percent ? value / 100 : value;
}

std::string sidecar(const std::string& output, const char* suffix) {
  std::filesystem::path p(output);
  if (p.extension() == ".onnx") p.replace_extension();
  return p.string() + suffix;
}

std::string score_text(const Score& s) {
  return fmt::format("{}cosine {:.6f} (least {:.6f})",
                     s.top1 ? fmt::format("top-1 as before {:.2f} %, ", *s.top1 * 100) : "", s.cosine, s.min_cosine);
}

std::string to_text(const QuantizeOutcome& o) {
  TextTable table({"layer", "K", "N", "input from", "to", "smoothing", "loss alone", "precision"});
  size_t int8 = 0;
  double share = 0;
  for (const QuantizedLayer& l : o.layers) {
    int8 += l.int8;
    share += l.int8 ? l.share : 0;
    if (l.width == 0) continue;
    table.add_row({l.name, std::to_string(l.depth), std::to_string(l.width), fmt::format("{:.3g}", l.input.low()),
                   fmt::format("{:.3g}", l.input.high()), l.smoothing > 0 ? fmt::format("{:.1f}", l.smoothing) : "",
                   l.alone ? fmt::format("{:.1e}", 1 - l.alone->cosine) : "", l.int8 ? "int8" : "float32"});
  }
  std::string text = table.str() + "\n";
  for (const QuantizedLayer& l : o.layers)
    if (!l.int8) text += fmt::format("float32: {} ({}): {}\n", l.name, l.op, l.reason);
  text += fmt::format("\nAll in 8 bits: {}\n", score_text(o.all_int8));
  text += fmt::format("As written:    {}, on {} samples of the calibration set\n", score_text(o.chosen), o.chosen.samples);
  text += fmt::format("{} of {} products in int8, {:.1f} % of their multiply-adds; {} → {}\n", int8, o.layers.size(),
                      share * 100, human_bytes(o.model_bytes), human_bytes(o.output_bytes));
  text += fmt::format("Model {}\n", o.output);
  if (!o.table_path.empty()) text += fmt::format("Calibration table {} (hash {})\n", o.table_path, o.calibration_hash);
  return text;
}

Status run_quantize(const QuantizeFlags& flags) {
  QuantizeOptions options = flags.options;
  VTL_ASSIGN(options.model, flags.model_flags.options());
  VTL_ASSIGN(options.threads, flags.threads.value());
  VTL_ASSIGN(options.max_drop, parse_share(flags.max_drop));
  const auto method = quant::method_from_name(flags.method);
  if (!method) return usage_error("--method '{}': must be minmax, percentile, entropy or mse", flags.method);
  options.ranges.method = *method;
  options.ranges.percentile = flags.percentile / 100;
  options.table_path = flags.table.empty() ? sidecar(flags.output, ".calibration.json") : flags.table;
  options.progress = progress_bar(flags.json);
  VTL_ASSIGN(const QuantizeOutcome outcome, quantize_model(flags.model, flags.output, options));
  for (const std::string& w : outcome.warnings) warn(w);
  const std::string report = flags.report.empty() ? sidecar(flags.output, ".quantize.json") : flags.report;
  VTL_TRY(write_file_atomically(
      report, to_json(outcome).dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n"));
  if (flags.json)
    print_json(to_json(outcome));
  else
    print(to_text(outcome) + fmt::format("Report {} (show it with `vitrail report`)\n", report));
  if (!outcome.met)
    return check_failed("{} misses --max-drop {} or --min-cosine {}: {}", flags.output, flags.max_drop,
                        options.min_cosine, score_text(outcome.chosen));
  return {};
}

}  // namespace

void add_quantize(CLI::App& app, Action& action) {
  auto flags = std::make_shared<QuantizeFlags>();
  QuantizeOptions& o = flags->options;
  CLI::App* verb = app.add_subcommand("quantize", "Make an 8-bit model that keeps its accuracy (Q/DQ ONNX)");
  verb->add_option("MODEL", flags->model, "Float ONNX model")->required();
  verb->add_option("-o,--output", flags->output, "Q/DQ model to write (.onnx)")->required();
  verb->add_option("--images", o.images, "Folder of pictures like those that the model will see")->required();
  verb->add_option("--samples", o.samples, "Most pictures for the ranges, evenly spread")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  verb->add_option("--method", flags->method, "Ranges of activations: minmax, percentile, entropy or mse")
      ->capture_default_str();
  verb->add_option("--percentile", flags->percentile, "With --method percentile, of each end")->capture_default_str();
  verb->add_flag("--symmetric", o.ranges.symmetric,
                 "Activations as int8 around zero, which is all that TensorRT computes, instead of uint8 with a zero point");
  verb->add_flag("--smooth,!--no-smooth", o.smooth,
                 "Move scale from activations into weights behind LayerNorms (on by default)");
  verb->add_flag("--attention", o.attention,
                 "Quantize the two products of attention as well: faster where bytes are, a little less exact");
  verb->add_option("--exclude", o.exclude, "Keep layers of this name in float32; * stands for anything; may be repeated");
  verb->add_option("--max-drop", flags->max_drop, "Most top-1 answers that may change")->capture_default_str();
  verb->add_option("--min-cosine", o.min_cosine, "Least mean cosine of the outputs")
      ->capture_default_str()
      ->check(CLI::Range(-1.0, 1.0));
  verb->add_option("--search-samples", o.search_samples, "Most pictures that candidates are measured on")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  verb->add_option("--sensitivity-samples", o.sensitivity_samples, "Most pictures that each layer alone is measured on")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  verb->add_option("--calibration", flags->table, "Where the calibration table goes (default: beside the output)");
  verb->add_option("--reuse", o.reuse, "Calibration table gathered before; several are merged");
  verb->add_option("--report", flags->report, "Where the report's JSON goes (default: beside the output)");
  flags->model_flags.add(*verb);
  flags->threads.add(*verb);
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->callback([flags, &action] { action = [flags] { return run_quantize(*flags); }; });
}

}  // namespace vitrail::cli
