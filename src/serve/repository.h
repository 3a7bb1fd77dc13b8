// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "serve/model_config.h"
#include "serve/served_model.h"

namespace vitrail::serve {

enum class Control {
  kNone,      // everything is loaded at the start
  kExplicit,  // what load() names
  kPoll,      // everything, and what changes in the folder later
};

struct RepositoryOptions {
  std::string folder;  // <folder>/<model>/<version>/<file>.vtl; empty: none
  std::vector<std::pair<std::string, std::string>> engines;  // models of one file: name, path
  Control control = Control::kNone;
  std::vector<std::string> load;  // explicit: loaded at the start
  ModelSettings settings;
  EngineLoader loader;
  std::function<void(const std::string&)> log = [](const std::string&) {};  // what was loaded, ignored, or failed
};

struct IndexEntry {
  std::string name, version, state, reason;  // state: READY, UNAVAILABLE, LOADING
};

// The models of a server. All members may be called from several threads at once; a load neither holds up requests
// nor fails any: the old version answers until the new one is ready, and what it has queued.
class Repository {
 public:
  // Loads what the options say. The first failure is returned, with the model's name before it.
  static Result<std::unique_ptr<Repository>> open(RepositoryOptions options);
  ~Repository() { stop(); }

  // The model that is ready under this name; an empty version: the newest one. kNotFound says what there is.
  Reply<std::shared_ptr<ServedModel>> find(const std::string& name, const std::string& version) const;
  std::vector<std::shared_ptr<ServedModel>> ready() const;
  std::vector<IndexEntry> index() const;

  // kForbidden without explicit control; kNotFound when the repository has no such model. A model whose files did not
  // change stays as it is.
  Fault load(const std::string& name);
  Fault unload(const std::string& name);
  // Loads what is new or has changed, unloads what is gone; a failure is logged, and what was ready stays ready.
  void poll();
  // Answers what is queued and ends every model.
  void stop();

 private:
  using Versions = std::map<int64_t, std::shared_ptr<ServedModel>>;
  struct Source {
    int64_t version = 1;
    std::string path;
    std::string fingerprint;  // of the file and the model's configuration
  };
  struct Plan {
    ModelSettings settings;
    std::vector<Source> sources;
    std::vector<std::string> ignored;  // of the configuration
  };
  struct Entry {
    Versions versions;
    std::map<int64_t, std::string> fingerprints;  // of the files that are loaded
    bool loading = false;
    std::string tried;  // the fingerprints of the last attempt
    std::string reason;  // why it is not ready
  };

  explicit Repository(RepositoryOptions options) : options_(std::move(options)) {}
  std::vector<std::string> names() const;  // of everything that may be loaded, sorted
  Result<Plan> plan(const std::string& name) const;
  Status load_now(const std::string& name);
  Fault unload_now(const std::string& name);

  const RepositoryOptions options_;
  std::mutex control_;        // one load or unload at a time
  mutable std::mutex mutex_;  // guards entries_
  std::map<std::string, Entry> entries_;
};

}  // namespace vitrail::serve
