// SPDX-License-Identifier: Apache-2.0
#include "workflow/quantize.h"

#include <algorithm>
#include <filesystem>
#include <fnmatch.h>
#include <numeric>

#include "core/cancel.h"
#include "core/error.h"
#include "core/files.h"
#include "core/thread_pool.h"
#include "engine/json_cursor.h"
#include "graph/edit.h"
#include "passes/cleanup.h"
#include "passes/fuse_layer_norm.h"
#include "quant/onnx_writer.h"
#include "quant/search.h"
#include "workflow/calibrate.h"
#include "workflow/gather.h"

namespace vitrail {
namespace {

constexpr int64_t kProbeRows = 1024;
constexpr int kGiveUpTries = 6;
constexpr int64_t kSearchSteps = 12;  // that the estimate of the time left counts on

// Counts runs of samples, which is what nearly all the time goes into.
class Clock {
 public:
  explicit Clock(const Progress& progress) : progress_(progress) {}
  void expect(int64_t runs) { total_ = std::max<int64_t>(runs, 1); }
  void stage(std::string_view name) { stage_ = name; }
  void tick() {
    done_ = std::min(done_ + 1, total_);
    if (progress_) progress_(stage_, 0.99 * static_cast<double>(done_) / static_cast<double>(total_));
  }
  void finish() const {
    if (progress_) progress_("done", 1);
  }

 private:
  const Progress& progress_;
  int64_t total_ = 1, done_ = 0;
  std::string stage_;
};

// The samples that candidates are measured on, and what the float model answers.
class Judge {
 public:
  Judge(int threads, Clock& clock) : threads_(threads), clock_(clock) {}

  Status load(const SampleSource& source, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      if (cancel::requested()) return cancelled();
      auto sample = source.load(i * source.count / count);
      if (sample.ok()) samples_.push_back(std::move(*sample));
    }
    return {};
  }
  int64_t size() const { return std::ssize(samples_); }

  Status remember(const Graph& model) {
    VTL_ASSIGN(SampleRunner runner, runner_of(model));
    for (const auto& sample : samples_) {
      VTL_TRY(run(runner, sample));
      wanted_.push_back(answers_of(runner));
    }
    return {};
  }

  // On `count` of the samples, evenly spread.
  Result<Score> score(const Graph& model, int64_t count) {
    VTL_ASSIGN(SampleRunner runner, runner_of(model));
    ScoreKeeper keeper;
    for (int64_t i = 0; i < std::min(count, size()); ++i) {
      const auto at = static_cast<size_t>(i * size() / std::min(count, size()));
      VTL_TRY(run(runner, samples_[at]));
      keeper.add(answers_of(runner), wanted_[at]);
    }
    return keeper.score();
  }

 private:
  // With the arithmetic that the written file will state, products as integers.
  Result<SampleRunner> runner_of(const Graph& model) const {
    Graph fused = model;
    VTL_TRY(infer_shapes(fused));
    VTL_TRY(fuse(fused).status());
    return SampleRunner::make(fused, threads_);
  }
  Status run(SampleRunner& runner, const std::vector<NamedTensor>& sample) {
    if (cancel::requested()) return cancelled();
    VTL_TRY(runner.run(sample));
    clock_.tick();
    return {};
  }

  int threads_;
  Clock& clock_;
  std::vector<std::vector<NamedTensor>> samples_;
  std::vector<Answers> wanted_;
};

bool is_excluded(const std::vector<std::string>& patterns, const std::string& name) {
  return std::ranges::any_of(
      patterns, [&](const std::string& p) { return p == name || ::fnmatch(p.c_str(), name.c_str(), 0) == 0; });
}

std::vector<ValueId> inputs_of(const quant::ProductList& list) {
  std::vector<ValueId> ids;
  for (const quant::Product& p : list.products) {
    ids.push_back(p.input);
    if (p.right != kNoValue) ids.push_back(p.right);
  }
  std::ranges::sort(ids);
  ids.erase(std::ranges::unique(ids).begin(), ids.end());
  return ids;
}

Result<quant::CalibrationTable> merged(const std::vector<std::string>& files, const ImportedModel& model) {
  VTL_ASSIGN(quant::CalibrationTable table, quant::read_calibration_table(files[0]));
  for (size_t i = 1; i < files.size(); ++i) {
    VTL_ASSIGN(const quant::CalibrationTable more, quant::read_calibration_table(files[i]));
    VTL_TRY(table.merge(more).with_context(files[i]));
  }
  if (table.model_hash != model.hash)
    return bad_input("{}: was gathered from another model: it has hash {}, {} has {}", files[0], table.model_hash,
                     model.file_name, model.hash);
  if (table.preprocess != contract_to_json(model.preprocess))
    return bad_input("{}: was gathered from images prepared otherwise: {}; this model's are prepared as {}",
                     files[0], table.preprocess, contract_to_json(model.preprocess));
  return table;
}

// One quantization from start to end; used once.
class Quantizer {
 public:
  Quantizer(const QuantizeOptions& options, ImportedModel model, std::string output)
      : options_(options), model_(std::move(model)), graph_(model_.graph), output_(std::move(output)),
        clock_(options.progress), judge_(options.threads, clock_) {}

  Result<QuantizeOutcome> run() {
    VTL_TRY(find_layers());
    VTL_ASSIGN(const SampleSource source, folder_samples(graph_, model_.preprocess, options_.images));
    const int64_t count = std::min(source.count, options_.samples);
    const int64_t search = std::min(count, options_.search_samples);
    const int64_t alone = std::min(search, options_.sensitivity_samples) * std::ssize(list_.products);
    clock_.expect(count + search * (2 + kSearchSteps) + alone);
    clock_.stage("calibrate");
    VTL_TRY(find_statistics(source, count));
    VTL_TRY(judge_.load(source, search));
    if (judge_.size() == 0) return bad_input("{}: none of {} samples could be read", options_.images, search);
    clock_.stage("reference");
    VTL_TRY(judge_.remember(graph_));
    clock_.stage("quantize");
    prepare();
    clock_.stage("sensitivity");
    VTL_TRY(measure_alone());
    clock_.stage("search");
    VTL_TRY(choose());
    VTL_TRY(write());
    clock_.finish();
    return std::move(outcome_);
  }

 private:
  Status find_layers() {
    fuse_layer_norm(graph_);
    remove_dead_nodes(graph_);
    VTL_TRY(infer_shapes(graph_));
    VTL_TRY(cleanup(graph_));
    compact(graph_);
    if (std::ranges::any_of(graph_.nodes, [](const Node& n) { return n.op == Op::DequantizeLinear; }))
      return bad_input("{}: is quantized already; give the float model", model_.file_name);
    list_ = quant::find_products(graph_, options_.attention);
    if (list_.products.empty())
      return bad_input("{}: none of its {} layers is a product of a float32 activation by a constant matrix",
                       model_.file_name, graph_.nodes.size());
    double all = 0;
    for (const auto& p : list_.products) all += static_cast<double>(p.multiply_adds);
    for (const auto& u : list_.unquantized) all += static_cast<double>(u.multiply_adds);
    for (const auto& p : list_.products) {
      QuantizedLayer layer;
      layer.name = p.name;
      layer.op = op_name(graph_.nodes[p.node].op);
      layer.depth = p.depth;
      layer.width = p.width;
      layer.share = static_cast<double>(p.multiply_adds) / all;
      if (is_excluded(options_.exclude, p.name)) layer.reason = "--exclude";
      outcome_.layers.push_back(std::move(layer));
    }
    for (const auto& u : list_.unquantized) {
      QuantizedLayer layer;
      layer.name = u.name;
      layer.op = u.op;
      layer.share = static_cast<double>(u.multiply_adds) / all;
      layer.reason = u.reason;
      outcome_.layers.push_back(std::move(layer));
    }
    for (const std::string& pattern : options_.exclude)
      if (std::ranges::none_of(list_.products, [&](const auto& p) { return is_excluded({pattern}, p.name); }))
        outcome_.warnings.push_back(fmt::format("--exclude '{}' matches no layer; the names are those of `vitrail "
                                                "inspect`, the first is '{}'",
                                                pattern, list_.products[0].name));
    return {};
  }

  Status find_statistics(const SampleSource& source, int64_t count) {
    const GatherRequest request{graph_, inputs_of(list_), options_.threads, [this] { clock_.tick(); }};
    const bool reuse = !options_.reuse.empty();
    // With a table at hand the samples only serve for the probes, which a table does not hold.
    const int64_t wanted = reuse ? std::min(count, options_.search_samples) : count;
    VTL_ASSIGN(GatheredValues seen, gather(request, source, wanted, kProbeRows));
    if (!seen.skipped.empty()) outcome_.warnings.push_back(skipped_warning("calibration", seen.skipped));
    if (seen.samples == 0 && !cancel::requested())
      return bad_input("{}: none of {} samples could be read: {}", options_.images, wanted,
                       seen.skipped.empty() ? "the folder is empty" : seen.skipped[0]);
    probes_ = std::move(seen.probes);
    if (reuse) {
      VTL_ASSIGN(table_, merged(options_.reuse, model_));
    } else {
      table_.model_hash = model_.hash;
      table_.preprocess = contract_to_json(model_.preprocess);
      table_.sources.push_back({source.description, seen.hash, seen.samples});
      table_.values = std::move(seen.stats);
      outcome_.table_path = options_.table_path;
      if (!options_.table_path.empty() && seen.samples > 0)
        VTL_TRY(write_file_atomically(options_.table_path, quant::to_json_text(table_)));
    }
    if (cancel::requested())
      return Status(Code::kCancelled,
                    seen.samples == 0 || reuse || options_.table_path.empty()
                        ? "interrupted"
                        : fmt::format("interrupted; what {} samples showed is kept in {}: go on from it with --reuse",
                                      seen.samples, options_.table_path));
    for (const auto& [name, stats] : table_.values)
      if (stats.nonfinite > 0)
        outcome_.warnings.push_back(fmt::format("calibration: '{}' holds {} values that are NaN or infinite already "
                                                "in float32; its range counts the finite ones only",
                                                name, stats.nonfinite));
    if (table_.samples() < kFewCalibrationImages)
      outcome_.warnings.push_back(fmt::format("calibrated on {} images only; ranges settle with {} or more",
                                              table_.samples(), kFewCalibrationImages));
    outcome_.calibration = table_.sources;
    outcome_.calibration_hash = quant::hash_of(table_);
    for (ValueId id : inputs_of(list_))
      if (!table_.values.contains(graph_.value(id).name))
        return bad_input("{}: lacks the value '{}' of this model", options_.reuse.empty() ? "calibration" : options_.reuse[0],
                         graph_.value(id).name);
    return {};
  }

  // Scales, weights and corrections of every product, excluded ones included.
  void prepare() {
    auto stats = table_.values;
    if (options_.smooth)
      for (const quant::SmoothPair& pair : quant::find_smooth_pairs(graph_, list_)) {
        const std::string& name = graph_.value(pair.value).name;
        const double exponent = quant::smooth(graph_, pair, list_, stats[name], probes_[name]);
        for (size_t p : pair.products) {
          outcome_.layers[p].smoothing = exponent;
          list_.products[p].weight = graph_.nodes[list_.products[p].node].input(1);
        }
      }
    std::map<ValueId, std::vector<size_t>> readers;
    for (size_t i = 0; i < list_.products.size(); ++i)
      if (list_.products[i].weight != kNoValue) readers[list_.products[i].input].push_back(i);
    std::vector<std::pair<ValueId, std::vector<size_t>>> groups(readers.begin(), readers.end());
    prepared_.resize(list_.products.size());
    ThreadPool pool(options_.threads);
    pool.parallel_for(std::ssize(groups), [&](int64_t g, int) {
      const auto& [value, members] = groups[static_cast<size_t>(g)];
      const std::string& name = graph_.value(value).name;
      std::vector<const quant::Product*> products;
      for (size_t i : members) products.push_back(&list_.products[i]);
      const quant::ValueStats& seen = stats.at(name);
      const auto probe = probes_.find(name);
      static const quant::Probe kNone;
      const quant::Probe& rows = probe == probes_.end() ? kNone : probe->second;
      const quant::ByteParams input =
          quant::prepare_input(graph_, products, seen, rows, options_.ranges);
      for (size_t i : members) prepared_[i] = quant::prepare_product(graph_, list_.products[i], input, seen, rows);
    });
    const auto by_histogram = [&](ValueId id) {
      const quant::ValueStats& seen = stats.at(graph_.value(id).name);
      return quant::choose_params(seen.histogram, {seen.low, seen.high}, options_.ranges);
    };
    for (size_t i = 0; i < prepared_.size(); ++i) {
      const quant::Product& p = list_.products[i];
      if (p.right != kNoValue) {
        prepared_[i].input = by_histogram(p.input);
        prepared_[i].right = by_histogram(p.right);
      }
      outcome_.layers[i].input = prepared_[i].input;
    }
  }

  Graph with(const std::vector<bool>& enabled) const {
    return quant::insert_quantization(graph_, list_, prepared_, enabled);
  }

  Status measure_alone() {
    for (size_t i = 0; i < list_.products.size(); ++i) {
      if (!outcome_.layers[i].reason.empty()) continue;
      std::vector<bool> enabled(list_.products.size());
      enabled[i] = true;
      VTL_ASSIGN(outcome_.layers[i].alone, judge_.score(with(enabled), options_.sensitivity_samples));
    }
    return {};
  }

  Status choose() {
    std::vector<size_t> ranked;
    for (size_t i = 0; i < list_.products.size(); ++i)
      if (outcome_.layers[i].reason.empty()) ranked.push_back(i);
    std::ranges::stable_sort(ranked, [&](size_t a, size_t b) {
      return outcome_.layers[a].alone->cosine < outcome_.layers[b].alone->cosine;
    });
    const auto enabled_without = [&](std::span<const size_t> kept) {
      std::vector<bool> enabled(list_.products.size());
      for (size_t i : ranked) enabled[i] = true;
      for (size_t i : kept) enabled[i] = false;
      return enabled;
    };
    bool first = true;
    const auto good = [&](std::span<const size_t> kept) -> Result<bool> {
      VTL_ASSIGN(const Score score, judge_.score(with(enabled_without(kept)), judge_.size()));
      if (first) outcome_.all_int8 = score;
      first = false;
      return score.meets(options_.max_drop, options_.min_cosine);
    };
    VTL_ASSIGN(const auto kept, quant::fewest_kept(ranked, good, kGiveUpTries));
    enabled_ = enabled_without(kept);
    VTL_ASSIGN(outcome_.chosen, judge_.score(with(enabled_), judge_.size()));
    outcome_.met = outcome_.chosen.meets(options_.max_drop, options_.min_cosine);
    for (size_t i = 0; i < enabled_.size(); ++i) {
      QuantizedLayer& layer = outcome_.layers[i];
      layer.int8 = enabled_[i];
      if (!layer.int8 && layer.reason.empty()) layer.reason = "kept by the search: 8 bits cost too much here";
    }
    if (kept.size() == ranked.size())
      outcome_.warnings.push_back(
          fmt::format("no layer is in 8 bits: even few of them miss --max-drop {:.2f} % or --min-cosine {}; "
                      "loosen these, or calibrate on more images",
                      options_.max_drop * 100, options_.min_cosine));
    return {};
  }

  Status write() {
    Graph quantized = with(enabled_);
    outcome_.model = model_.file_name;
    outcome_.model_hash = model_.hash;
    outcome_.output = output_;
    outcome_.method = quant::method_name(options_.ranges.method);
    outcome_.symmetric = options_.ranges.symmetric;
    outcome_.smooth = options_.smooth;
    outcome_.max_drop = options_.max_drop;
    outcome_.min_cosine = options_.min_cosine;
    outcome_.search_samples = judge_.size();
    quantized.metadata["vitrail.preprocess"] = contract_to_json(model_.preprocess);
    if (!model_.labels.empty()) quantized.metadata["vitrail.labels"] = nlohmann::json(model_.labels).dump();
    quantized.metadata[kQuantizationKey] = quantization_metadata(outcome_);
    compact(quantized);
    VTL_TRY(write_onnx(quantized, output_));
    std::error_code error;
    outcome_.output_bytes = static_cast<int64_t>(std::filesystem::file_size(output_, error));
    return {};
  }

  const QuantizeOptions& options_;
  ImportedModel model_;
  Graph graph_;
  std::string output_;
  Clock clock_;
  Judge judge_;
  quant::ProductList list_;
  quant::CalibrationTable table_;
  std::map<std::string, quant::Probe> probes_;
  std::vector<quant::PreparedProduct> prepared_;
  std::vector<bool> enabled_;
  QuantizeOutcome outcome_;
};

Status check_options(const QuantizeOptions& o) {
  if (o.images.empty()) return usage_error("quantize needs --images DIR: pictures like those that the model will see");
  if (o.samples < 1) return usage_error("--samples {}: must be at least 1", o.samples);
  if (const double p = o.ranges.percentile; !(p > 0.5 && p <= 1))
    return usage_error("--percentile {}: must be above 50 and at most 100", p * 100);
  return {};
}

}  // namespace

Result<QuantizeOutcome> quantize_model(const std::string& model_path, const std::string& output_path,
                                       const QuantizeOptions& options) {
  VTL_TRY(check_options(options));
  VTL_ASSIGN(ImportedModel model, import_model(model_path, options.model));
  std::vector<std::string> warnings = model.warnings;
  std::error_code error;
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(model_path, error));
  VTL_ASSIGN(QuantizeOutcome outcome, Quantizer(options, std::move(model), output_path).run());
  outcome.model_bytes = bytes;
  warnings.insert(warnings.end(), outcome.warnings.begin(), outcome.warnings.end());
  outcome.warnings = std::move(warnings);
  return outcome;
}

}  // namespace vitrail
