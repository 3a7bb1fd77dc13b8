// SPDX-License-Identifier: Apache-2.0
#include "cli/trtexec_words.h"

#include <algorithm>
#include <functional>
#include <map>

#include "core/error.h"
#include "core/parse_number.h"

namespace vitrail::cli {
namespace {

template <class T>
Result<T> number(const std::string& word, const std::string& text, T least) {
  T value{};
  if (!parse_number(text, value) || value < least)
    return usage_error("{}={}: needs a number of at least {}", word, text, least);
  return value;
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end; (end = text.find(at, begin)) != std::string::npos; begin = end + 1)
    parts.push_back(text.substr(begin, end - begin));
  parts.push_back(text.substr(begin));
  return parts;
}

// "input:8x3x224x224" is batch 8: Vitrail's shapes are those of the model but for the batch. Several inputs
// must agree.
Result<int64_t> batch_of(const std::string& word, const std::string& text) {
  int64_t batch = 0;
  for (const std::string& one : split(text, ',')) {
    const size_t colon = one.rfind(':');
    const std::string dims = colon == std::string::npos ? one : one.substr(colon + 1);
    VTL_ASSIGN(const int64_t first, number<int64_t>(word, dims.substr(0, dims.find('x')), 1));
    if (batch != 0 && first != batch)
      return usage_error("{}={}: the inputs have different batch sizes", word, text);
    batch = first;
  }
  return batch;
}

// "workspace:1024" in MiB, or with a unit: 512K, 1G.
Result<int64_t> pool_bytes(const std::string& word, const std::string& text) {
  for (const std::string& one : split(text, ',')) {
    const auto parts = split(one, ':');
    if (parts.size() != 2) return usage_error("{}={}: write it as workspace:1024 (MiB)", word, text);
    if (parts[0] != "workspace") continue;
    std::string amount = parts[1];
    int shift = 20;
    if (!amount.empty())
      for (const auto& [unit, bits] : {std::pair{'B', 0}, {'K', 10}, {'M', 20}, {'G', 30}})
        if (amount.back() == unit) shift = bits;
    if (!amount.empty() && std::string("BKMG").find(amount.back()) != std::string::npos) amount.pop_back();
    VTL_ASSIGN(const double value, number<double>(word, amount, 0));
    return static_cast<int64_t>(value * static_cast<double>(int64_t{1} << shift));
  }
  return int64_t{1} << 30;
}

constexpr std::string_view kWithoutMeaning[] = {
    "--useCudaGraph", "--useSpinWait",    "--noDataTransfers", "--separateProfileRun", "--threads",
    "--verbose",      "--avgRuns",        "--device",          "--useRuntime",         "--avgTiming",
    "--sparsity",     "--inputIOFormats", "--outputIOFormats", "--profilingVerbosity", "--useManagedMemory",
    "--sleepTime",    "--stronglyTyped",   "--explicitBatch",      "--skipInference"};

}  // namespace

Result<TrtexecWords> parse_trtexec(const std::vector<std::string>& arguments) {
  TrtexecWords words;
  Profile open{0, 0, 0};
  const auto close = [&] {
    if (open.min == 0 && open.opt == 0 && open.max == 0) return;
    if (open.opt == 0) open.opt = open.max != 0 ? open.max : open.min;
    if (open.min == 0) open.min = open.opt;
    if (open.max == 0) open.max = open.opt;
    words.profiles.push_back(open);
    open = {0, 0, 0};
  };
  const std::map<std::string, std::string*> texts = {{"--onnx", &words.onnx},
                                                     {"--loadEngine", &words.load_engine},
                                                     {"--saveEngine", &words.save_engine},
                                                     {"--backend", &words.backend},
                                                     {"--timingCacheFile", &words.timing_cache},
                                                     {"--calib", &words.plan.calibration.cache},
                                                     {"--exportTimes", &words.export_times},
                                                     {"--exportProfile", &words.export_profile},
                                                     {"--exportLayerInfo", &words.export_layers}};
  for (const std::string& argument : arguments) {
    const size_t equals = argument.find('=');
    const std::string word = argument.substr(0, equals),
                      value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    const auto needs = [&]() -> Status {
      return value.empty() ? usage_error("{}: needs a value, {}=…", word, word) : Status();
    };
    if (const auto text = texts.find(word); text != texts.end()) {
      VTL_TRY(needs());
      *text->second = value;
    } else if (word == "--minShapes" || word == "--optShapes" || word == "--maxShapes" ||
               word == "--shapes") {
      VTL_TRY(needs());
      VTL_ASSIGN(const int64_t batch, batch_of(word, value));
      (word == "--minShapes"   ? open.min
       : word == "--optShapes" ? open.opt
       : word == "--maxShapes" ? open.max
                               : words.batch) = batch;
    } else if (word == "--profile") {
      close();
    } else if (word == "--fp16" || word == "--bf16" || word == "--int8" || word == "--fp8") {
      // As trtexec: each allows one more; the lowest is what speed comes from.
      const auto rank = [](std::string_view p) {
        return std::string_view("tf32 fp32 bf16 fp16 fp8  int8").find(p);
      };
      if (rank(word.substr(2)) > rank(words.precision)) words.precision = word.substr(2);
    } else if (word == "--best") {
      words.precision = "fp16";
      words.notes.push_back("--best: fp16 is built; --int8 and --fp8 want a model that says how to quantize");
    } else if (word == "--noTF32") {
      if (words.precision == "tf32") words.precision = "fp32";
    } else if (word == "--memPoolSize") {
      VTL_ASSIGN(words.workspace_bytes, pool_bytes(word, value));
    } else if (word == "--workspace") {
      VTL_ASSIGN(const int64_t mib, number<int64_t>(word, value, 1));
      words.workspace_bytes = mib << 20;
    } else if (word == "--builderOptimizationLevel") {
      VTL_ASSIGN(words.plan.opt_level, number<int>(word, value, 0));
    } else if (word == "--versionCompatible" || word == "--vc") {
      words.plan.version_compatible = true;
    } else if (word == "--hardwareCompatibilityLevel") {
      words.plan.hardware_compatible = value != "none";
    } else if (word == "--stripWeights") {
      words.plan.strip_weights = true;
    } else if (word == "--refit") {
      words.plan.refit = true;
    } else if (word == "--iterations") {
      VTL_ASSIGN(words.iterations, number<int64_t>(word, value, 1));
    } else if (word == "--warmUp") {
      VTL_ASSIGN(words.warm_up_ms, number<double>(word, value, 0));
    } else if (word == "--idleTime") {
      VTL_ASSIGN(words.idle_ms, number<double>(word, value, 0));
    } else if (word == "--duration") {
      VTL_ASSIGN(words.duration_s, number<double>(word, value, 0));
    } else if (word == "--infStreams" || word == "--streams") {
      VTL_ASSIGN(words.streams, number<int>(word, value, 1));
    } else if (word == "--percentile") {
      words.percentiles.clear();
      for (const std::string& p : split(value, ',')) {
        VTL_ASSIGN(const double percent, number<double>(word, p, 0));
        if (percent > 100) return usage_error("{}={}: more than 100", word, value);
        words.percentiles.push_back(percent);
      }
    } else if (word == "--buildOnly") {
      words.build_only = true;
    } else if (word == "--dumpProfile") {
      words.dump_profile = true;
    } else if (word == "--dumpLayerInfo") {
      words.dump_layers = true;
    } else if (std::ranges::find(kWithoutMeaning, word) != std::end(kWithoutMeaning)) {
      if (word == "--skipInference") words.build_only = true;
      words.notes.push_back(word + " changes nothing here");
    } else {
      return usage_error(
          "{}: vitrail trtexec does not know this word; `vitrail trtexec --help` lists those that it knows",
          word);
    }
  }
  close();
  if (words.onnx.empty() == words.load_engine.empty())
    return usage_error("give --onnx=MODEL or --loadEngine=ENGINE.vtl, one of the two");
  if (words.build_only && words.onnx.empty())
    return usage_error("--buildOnly: there is nothing to build without --onnx=MODEL");
  if (words.batch == 0) words.batch = words.profiles.empty() ? 1 : words.profiles[0].opt;
  if (words.profiles.empty() && !words.onnx.empty())
    words.profiles.push_back({words.batch, words.batch, words.batch});
  return words;
}

}  // namespace vitrail::cli
