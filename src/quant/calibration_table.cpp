// SPDX-License-Identifier: Apache-2.0
#include "quant/calibration_table.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/files.h"
#include "engine/hash.h"
#include "engine/json_cursor.h"

namespace vitrail::quant {
namespace {

using nlohmann::json;

constexpr int64_t kVersion = 1;
constexpr size_t kMaxFileBytes = size_t{1} << 30;
constexpr int64_t kMaxCount = int64_t{1} << 60;

// The counts from the first to the last that is not 0.
json histogram_to_json(const Histogram& h) {
  const auto counts = h.counts();
  const auto is_set = [](uint64_t c) { return c != 0; };
  const auto first = std::ranges::find_if(counts, is_set);
  const auto last = std::find_if(counts.rbegin(), counts.rend(), is_set).base();
  json list = json::array();
  for (auto it = first; it < last; ++it) list.push_back(*it);
  return {{"exponent", h.exponent()}, {"first", first - counts.begin()}, {"counts", std::move(list)}};
}

Histogram histogram_from_json(const JsonCursor& j) {
  const int64_t exponent = j["exponent"].integer(Histogram::kLeastExponent, Histogram::kMostExponent);
  const int64_t first = j["first"].integer(0, Histogram::kBins);
  const JsonCursor list = j["counts"];
  std::vector<uint64_t> counts(Histogram::kBins);
  if (first + static_cast<int64_t>(list.size()) > Histogram::kBins) {
    list.fault("is longer than the histogram");
    return {};
  }
  for (size_t i = 0; i < list.size(); ++i)
    counts[static_cast<size_t>(first) + i] = static_cast<uint64_t>(list[i].integer(0, kMaxCount));
  return Histogram::restore(static_cast<int>(exponent), std::move(counts));
}

std::vector<float> floats_from_json(const JsonCursor& j) {
  std::vector<float> out;
  j.for_each([&](const JsonCursor& c) {
    out.push_back(static_cast<float>(c.real()));
    if (!std::isfinite(out.back())) c.fault("is not finite");
  });
  return out;
}

ValueStats value_from_json(const JsonCursor& j) {
  ValueStats v;
  v.low = static_cast<float>(j["low"].real());
  v.high = static_cast<float>(j["high"].real());
  if (!std::isfinite(v.low) || !std::isfinite(v.high) || v.low > v.high) j.fault("has an impossible range");
  v.count = j["count"].integer(0, kMaxCount);
  v.nonfinite = j["nonfinite"].integer(0, kMaxCount);
  v.channel_low = floats_from_json(j["channel_low"]);
  v.channel_high = floats_from_json(j["channel_high"]);
  if (v.channel_low.size() != v.channel_high.size()) j.fault("has channels without both ends");
  v.histogram = histogram_from_json(j["histogram"]);
  return v;
}

}  // namespace

void ValueStats::add(std::span<const float> values, size_t channels) {
  std::vector<float> kept;
  std::span<const float> finite = values;
  if (!std::ranges::all_of(values, [](float v) { return std::isfinite(v); })) {
    kept.assign(values.begin(), values.end());
    for (float& v : kept)
      if (!std::isfinite(v)) v = 0, ++nonfinite;
    finite = kept;
  }
  if (finite.empty()) return;
  const auto [least, most] = std::ranges::minmax(finite);
  low = count == 0 ? least : std::min(low, least);
  high = count == 0 ? most : std::max(high, most);
  count += std::ssize(finite);
  histogram.add(finite);
  if (channels == 0 || finite.size() % channels != 0) return;
  size_t begin = 0;
  if (channel_low.empty()) {
    channel_low.assign(finite.begin(), finite.begin() + static_cast<std::ptrdiff_t>(channels));
    channel_high = channel_low;
    begin = channels;
  }
  for (size_t row = begin; row < finite.size(); row += channels)
    for (size_t c = 0; c < channels; ++c) {
      channel_low[c] = std::min(channel_low[c], finite[row + c]);
      channel_high[c] = std::max(channel_high[c], finite[row + c]);
    }
}

void ValueStats::merge(const ValueStats& other) {
  if (other.count == 0) return void(nonfinite += other.nonfinite);
  low = count == 0 ? other.low : std::min(low, other.low);
  high = count == 0 ? other.high : std::max(high, other.high);
  count += other.count;
  nonfinite += other.nonfinite;
  histogram.merge(other.histogram);
  if (channel_low.empty()) {
    channel_low = other.channel_low;
    channel_high = other.channel_high;
  }
  for (size_t c = 0; c < std::min(channel_low.size(), other.channel_low.size()); ++c) {
    channel_low[c] = std::min(channel_low[c], other.channel_low[c]);
    channel_high[c] = std::max(channel_high[c], other.channel_high[c]);
  }
}

int64_t CalibrationTable::samples() const {
  int64_t sum = 0;
  for (const CalibrationSource& s : sources) sum += s.samples;
  return sum;
}

Status CalibrationTable::merge(const CalibrationTable& other) {
  if (other.model_hash != model_hash)
    return bad_input("calibration tables of two models, {} and {}, cannot be merged", model_hash,
                     other.model_hash);
  if (other.preprocess != preprocess)
    return bad_input("calibration tables of two ways of preparing images cannot be merged: {} and {}",
                     preprocess, other.preprocess);
  for (const auto& [name, stats] : other.values) {
    const auto it = values.find(name);
    if (it == values.end() || it->second.channel_low.size() != stats.channel_low.size())
      return bad_input("calibration tables differ: one lacks the value '{}' or has it with other channels",
                       name);
  }
  if (other.values.size() != values.size())
    return bad_input("calibration tables hold {} and {} values; they are not of one model", values.size(),
                     other.values.size());
  sources.insert(sources.end(), other.sources.begin(), other.sources.end());
  for (const auto& [name, stats] : other.values) values[name].merge(stats);
  return {};
}

std::string to_json_text(const CalibrationTable& table) {
  json sources = json::array(), values = json::object();
  for (const CalibrationSource& s : table.sources)
    sources.push_back({{"description", s.description}, {"hash", s.hash}, {"samples", s.samples}});
  for (const auto& [name, v] : table.values)
    values[name] = {{"low", v.low},
                    {"high", v.high},
                    {"count", v.count},
                    {"nonfinite", v.nonfinite},
                    {"channel_low", v.channel_low},
                    {"channel_high", v.channel_high},
                    {"histogram", histogram_to_json(v.histogram)}};
  const json document = {{"kind", "calibration"},        {"version", kVersion},
                         {"model_hash", table.model_hash}, {"preprocess", table.preprocess},
                         {"sources", std::move(sources)},  {"values", std::move(values)}};
  return document.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<CalibrationTable> parse_calibration_table(std::string_view text) {
  VTL_ASSIGN(const json document, parse_json(text));
  Status status;
  const JsonCursor j(document, status);
  CalibrationTable table;
  if (j["kind"].text() != "calibration") j["kind"].fault("is not 'calibration'");
  j["version"].integer(kVersion, kVersion);
  table.model_hash = j["model_hash"].text();
  table.preprocess = j["preprocess"].text();
  j["sources"].for_each([&](const JsonCursor& c) {
    table.sources.push_back({c["description"].text(), c["hash"].text(), c["samples"].integer(0, kMaxCount)});
  });
  j["values"].for_each_member(
      [&](const std::string& name, const JsonCursor& c) { table.values[name] = value_from_json(c); });
  if (!status.ok()) return status;
  return table;
}

Result<CalibrationTable> read_calibration_table(const std::string& path) {
  VTL_ASSIGN(const std::string text, read_file(path, kMaxFileBytes));
  auto table = parse_calibration_table(text);
  if (!table.ok()) return table.status().with_context(path);
  return table;
}

std::string hash_of(const CalibrationTable& table) {
  const std::string text = to_json_text(table);
  return to_string(hash_bytes(std::as_bytes(std::span(text))));
}

}  // namespace vitrail::quant
