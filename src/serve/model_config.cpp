// SPDX-License-Identifier: Apache-2.0
#include "serve/model_config.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>

#include "core/error.h"
#include "core/parse_number.h"
#include "open_inference.pb.h"

namespace vitrail::serve {
namespace {

constexpr int kMaxInstances = 256;
constexpr int kMaxWarmUps = 100;

// Keeps the first error, and what was passed over.
class Faults : public google::protobuf::io::ErrorCollector {
 public:
  std::string error;
  std::vector<std::string> warnings;
  void AddError(int line, google::protobuf::io::ColumnNumber column, const std::string& message) override {
    if (error.empty()) error = fmt::format("line {}, column {}: {}", line + 1, column + 1, message);
  }
  void AddWarning(int line, google::protobuf::io::ColumnNumber, const std::string& message) override {
    warnings.push_back(fmt::format("line {}: {}", line + 1, message));
  }
};

constexpr uint64_t kMostUs = uint64_t{3600} * 1'000'000;

// `most` requests wait where the policy gives no number.
Result<QueuePolicy> read_queue(const inference::ModelConfig::QueuePolicy& queue, size_t most) {
  if (queue.default_timeout_microseconds() > kMostUs)
    return bad_input("default_timeout_microseconds is {}; at most an hour", queue.default_timeout_microseconds());
  return QueuePolicy{queue.timeout_action() == inference::ModelConfig::QueuePolicy::DELAY,
                     static_cast<int64_t>(queue.default_timeout_microseconds()) * 1000, queue.allow_timeout_override(),
                     queue.max_queue_size() > 0 ? queue.max_queue_size() : most};
}

Status read_batching(const inference::ModelConfig::DynamicBatching& batching, SchedulerOptions& options) {
  options.policy.preferred.assign(batching.preferred_batch_size().begin(), batching.preferred_batch_size().end());
  std::ranges::sort(options.policy.preferred);
  if (!options.policy.preferred.empty() && options.policy.preferred[0] < 1)
    return bad_input("preferred_batch_size {} is below 1", options.policy.preferred[0]);
  if (batching.max_queue_delay_microseconds() > kMostUs)
    return bad_input("max_queue_delay_microseconds is {}; at most an hour", batching.max_queue_delay_microseconds());
  options.policy.max_delay_ns = static_cast<int64_t>(batching.max_queue_delay_microseconds()) * 1000;
  options.preserve_ordering = batching.preserve_ordering();
  if (batching.priority_levels() > 1000) return bad_input("priority_levels is {}; at most 1000", batching.priority_levels());
  if (batching.default_priority_level() > batching.priority_levels())
    return bad_input("default_priority_level {} is above priority_levels {}", batching.default_priority_level(),
                     batching.priority_levels());
  options.priority_levels = static_cast<int>(batching.priority_levels());
  options.default_priority = static_cast<int>(batching.default_priority_level());
  const size_t most = options.queue.usual.max_queue;
  if (batching.has_default_queue_policy()) {
    VTL_ASSIGN(options.queue.usual, read_queue(batching.default_queue_policy(), most));
  }
  for (const auto& entry : batching.priority_queue_policy()) {
    const uint64_t priority = entry.key();
    if (priority < 1 || priority > batching.priority_levels())
      return bad_input("priority_queue_policy of priority {}; priority_levels is {}", priority, batching.priority_levels());
    auto read = read_queue(entry.value(), most);
    VTL_TRY(read.status().with_context(fmt::format("priority_queue_policy of priority {}", priority)));
    options.queue.special[static_cast<int>(priority)] = *read;
  }
  return {};
}

Status read_versions(const inference::ModelConfig::VersionPolicy& policy, VersionPolicy& versions) {
  versions.all = policy.has_all();
  if (policy.has_latest()) versions.latest = policy.latest().num_versions();
  if (policy.has_latest() && versions.latest < 1) return bad_input("version_policy: num_versions is 0");
  for (const int64_t version : policy.specific().versions()) versions.specific.push_back(version);
  if (policy.has_specific() && versions.specific.empty()) return bad_input("version_policy: specific names no version");
  return {};
}

}  // namespace

std::vector<int64_t> VersionPolicy::choose(const std::vector<int64_t>& there) const {
  if (all) return there;
  std::vector<int64_t> out;
  if (specific.empty()) {
    const auto skip = std::max<int64_t>(0, static_cast<int64_t>(there.size()) - latest);
    out.assign(there.begin() + skip, there.end());
  }
  for (const int64_t version : there)
    if (std::ranges::find(specific, version) != specific.end()) out.push_back(version);
  return out;
}

Result<ModelConfiguration> read_config(const std::string& text, const std::string& model, const ModelSettings& base) {
  ModelConfiguration out;
  out.settings = base;
  inference::ModelConfig config;
  google::protobuf::TextFormat::Parser parser;
  Faults faults;
  parser.RecordErrorsTo(&faults);
  parser.AllowUnknownField(true);
  parser.SetRecursionLimit(32);
  if (!parser.ParseFromString(text, &config)) return bad_input("{}", faults.error);
  out.ignored = std::move(faults.warnings);
  if (!config.name().empty() && config.name() != model)
    return bad_input("name is '{}', but the model's folder is '{}'", config.name(), model);
  for (const std::string& runner : {config.backend(), config.platform()})
    if (!runner.empty() && !runner.starts_with("vitrail"))
      return bad_input("backend or platform '{}': only engines of `vitrail build` run here; leave it out", runner);
  if (config.max_batch_size() < 0) return bad_input("max_batch_size is {}", config.max_batch_size());
  if (config.max_batch_size() > 0) out.settings.max_batch = config.max_batch_size();
  VTL_TRY(read_versions(config.version_policy(), out.versions));
  int64_t instances = 0;
  for (const auto& group : config.instance_group()) instances += std::max(group.count(), 1);
  if (instances > kMaxInstances) return bad_input("{} instances; at most {}", instances, kMaxInstances);
  if (instances > 0) out.settings.instances = static_cast<int>(instances);
  if (config.has_dynamic_batching()) VTL_TRY(read_batching(config.dynamic_batching(), out.settings.scheduler));
  for (const auto& warm_up : config.model_warmup()) {
    const uint32_t rows = std::max(warm_up.batch_size(), 1u), count = std::max(warm_up.count(), 1u);
    if (rows > 65536 || count > 1'000'000 || config.model_warmup_size() > kMaxWarmUps)
      return bad_input("model_warmup '{}': {} batches of {}", warm_up.name(), count, rows);
    out.settings.warm_ups.push_back({rows, count});
  }
  out.file = config.default_model_filename();
  if (out.file.find('/') != std::string::npos || out.file == "..")
    return bad_input("default_model_filename '{}': it must be a name without a path", out.file);
  for (const auto& entry : config.parameters()) {
    const std::string &key = entry.key(), &number = entry.value().string_value();
    if (key != "threads") {
      out.ignored.push_back(fmt::format("parameters \"{}\"", key));
      continue;
    }
    if (!parse_number(number, out.settings.threads) || out.settings.threads < 1)
      return bad_input("parameters \"threads\": '{}' is no number of threads", number);
  }
  return out;
}

}  // namespace vitrail::serve
