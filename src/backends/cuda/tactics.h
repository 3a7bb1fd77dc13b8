// SPDX-License-Identifier: Apache-2.0
// Measured choices of kernels, kept in a file between builds.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "backends/cuda/product.h"

namespace vitrail::cuda {

struct Timing {
  std::string config;
  double us = 0;
  bool operator==(const Timing&) const = default;
};

// $XDG_CACHE_HOME/vitrail/tactics.json, else ~/.cache/vitrail/tactics.json; empty without either variable.
std::string default_cache_path();

// Everything that the time of a product depends on.
std::string tactic_key(const Device& device, const Product& product);

class TacticCache {
 public:
  // A file that is missing or is not what it must be counts as empty: it only saves time.
  static TacticCache open(const std::string& path);

  std::optional<Timing> find(const std::string& key) const;
  void put(const std::string& key, Timing timing);
  size_t size() const { return timings_.size(); }
  // Adds what other builds have written meanwhile, then replaces the file by renaming. Nothing when nothing
  // is new.
  Status save() const;

 private:
  std::string path_;
  std::map<std::string, Timing> timings_;
  bool changed_ = false;
};

}  // namespace vitrail::cuda
