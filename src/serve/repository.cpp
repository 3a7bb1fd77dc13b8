// SPDX-License-Identifier: Apache-2.0
#include "serve/repository.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/files.h"
#include "core/parse_number.h"

namespace vitrail::serve {
namespace {

namespace fs = std::filesystem;

// A version folder's number; 0 for anything else.
int64_t version_of(const std::string& text) {
  int64_t version = 0;
  return parse_number(text, version) && text[0] != '0' && version > 0 ? version : 0;
}

// Tells whether a file is still the one that was loaded.
std::string fingerprint(const std::string& path) {
  struct stat s {};
  if (::stat(path.c_str(), &s) != 0) return "";
  return fmt::format("{} {} {} {}.{}", path, s.st_ino, s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
}

// Folders in `folder`, by name; none when it cannot be read.
std::vector<std::string> folders_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    const std::string name = it->path().filename().string();
    if (it->is_directory(ignored) && name[0] != '.') names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

Result<std::string> engine_file(const fs::path& folder, const std::string& name) {
  if (!name.empty()) return (folder / name).string();
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (it->path().extension() == ".vtl") found.push_back(it->path().string());
  if (error) return io_error("{}: {}", folder.string(), error.message());
  if (found.size() == 1) return found[0];
  for (const std::string& path : found)
    if (fs::path(path).filename() == "model.vtl") return path;
  return bad_input("{}: {} engine files (*.vtl); there must be one, or one named model.vtl", folder.string(),
                   found.size());
}

std::string joined(const std::vector<std::string>& names) {
  return names.empty() ? "nothing" : fmt::format("'{}'", fmt::join(names, "', '"));
}

}  // namespace

Result<std::unique_ptr<Repository>> Repository::open(RepositoryOptions options) {
  std::error_code error;
  if (!options.folder.empty() && !fs::is_directory(options.folder, error))
    return io_error("{}: no such folder", options.folder);
  std::unique_ptr<Repository> repository(new Repository(std::move(options)));
  const RepositoryOptions& o = repository->options_;
  const std::vector<std::string> all = repository->names();
  for (const std::string& name : o.load)
    if (std::ranges::find(all, name) == all.end())
      return usage_error("--load-model {}: the repository holds {}", name, joined(all));
  for (const std::string& name : o.control == Control::kExplicit ? o.load : all)
    VTL_TRY(repository->load_now(name).with_context("model '" + name + "'"));
  return repository;
}

std::vector<std::string> Repository::names() const {
  std::vector<std::string> names;
  if (!options_.folder.empty()) names = folders_in(options_.folder);
  for (const auto& [name, path] : options_.engines) names.push_back(name);
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

// Paths come from the folder's own listing: a name from outside only chooses among them.
Result<Repository::Plan> Repository::plan(const std::string& name) const {
  for (const auto& [known, path] : options_.engines)
    if (known == name) return Plan{options_.settings, {{1, path, fingerprint(path)}}, {}};
  const fs::path folder = fs::path(options_.folder) / name;
  ModelConfiguration config;
  config.settings = options_.settings;
  const std::string config_path = (folder / "config.pbtxt").string();
  const std::string config_print = fingerprint(config_path);
  if (!config_print.empty()) {
    VTL_ASSIGN(const std::string text, read_file(config_path, 1 << 20));
    auto read = read_config(text, name, options_.settings);
    VTL_TRY(read.status().with_context(config_path));
    config = std::move(*read);
  }
  std::vector<int64_t> versions;
  for (const std::string& text : folders_in(folder))
    if (const int64_t version = version_of(text); version > 0) versions.push_back(version);
  std::ranges::sort(versions);
  Plan plan{config.settings, {}, std::move(config.ignored)};
  for (const int64_t version : config.versions.choose(versions)) {
    VTL_ASSIGN(std::string path, engine_file(folder / std::to_string(version), config.file));
    plan.sources.push_back({version, path, fingerprint(path) + config_print});
  }
  if (plan.sources.empty())
    return bad_input("{}: holds no version to serve (a folder with a number as its name)", folder.string());
  return plan;
}

Reply<std::shared_ptr<ServedModel>> Repository::find(const std::string& name, const std::string& version) const {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(name);
  if (entry == entries_.end() || entry->second.versions.empty()) {
    std::vector<std::string> known;
    for (const auto& [other, e] : entries_)
      if (!e.versions.empty()) known.push_back(other);
    return fault(Cause::kNotFound, "no model '{}' is ready; there is {}", name, joined(known));
  }
  const Versions& versions = entry->second.versions;
  if (version.empty()) return versions.rbegin()->second;
  if (const auto it = versions.find(version_of(version)); it != versions.end()) return it->second;
  std::vector<std::string> known;
  for (const auto& [number, model] : versions) known.push_back(std::to_string(number));
  return fault(Cause::kNotFound, "model '{}' has no version '{}'; there is {}", name, version, joined(known));
}

std::vector<std::shared_ptr<ServedModel>> Repository::ready() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<ServedModel>> models;
  for (const auto& [name, entry] : entries_)
    for (const auto& [version, model] : entry.versions) models.push_back(model);
  return models;
}

std::vector<IndexEntry> Repository::index() const {
  std::vector<IndexEntry> index;
  const std::vector<std::string> all = names();
  const std::lock_guard lock(mutex_);
  for (const std::string& name : all)
    if (const auto it = entries_.find(name); it == entries_.end())
      index.push_back({name, "", "UNAVAILABLE", "not loaded"});
  for (const auto& [name, entry] : entries_) {
    for (const auto& [version, model] : entry.versions) index.push_back({name, std::to_string(version), "READY", ""});
    if (entry.versions.empty())
      index.push_back({name, "", entry.loading ? "LOADING" : "UNAVAILABLE", entry.reason});
  }
  std::ranges::stable_sort(index, {}, &IndexEntry::name);
  return index;
}

Status Repository::load_now(const std::string& name) {
  const std::lock_guard one(control_);
  std::map<int64_t, std::string> old_fingerprints;
  Versions old, fresh;
  {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[name];
    entry.loading = true;
    old = entry.versions;
    old_fingerprints = entry.fingerprints;
  }
  std::map<int64_t, std::string> fingerprints;
  const auto load_all = [&]() -> Status {
    VTL_ASSIGN(const Plan plan, this->plan(name));
    for (const std::string& what : plan.ignored) options_.log(fmt::format("'{}': config.pbtxt: ignored: {}", name, what));
    for (const Source& source : plan.sources) {
      const std::string& print = source.fingerprint;
      fingerprints[source.version] = print;
      if (const auto it = old.find(source.version);
          it != old.end() && !print.empty() && old_fingerprints[source.version] == print) {
        fresh[source.version] = it->second;
        continue;
      }
      VTL_ASSIGN(fresh[source.version], ServedModel::load(name, std::to_string(source.version), source.path,
                                                          options_.loader, plan.settings));
      options_.log(fmt::format("loaded '{}' version {}", name, source.version));
    }
    return {};
  };
  const Status status = load_all();
  {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[name];
    entry.loading = false;
    entry.reason = status.message();
    if (!status.ok()) return status;  // what was ready stays ready
    entry.versions = fresh;
    entry.fingerprints = std::move(fingerprints);
  }
  for (const auto& [version, model] : old)
    if (const auto it = fresh.find(version); it == fresh.end() || it->second != model) model->scheduler().stop();
  return {};
}

Fault Repository::load(const std::string& name) {
  if (options_.control != Control::kExplicit)
    return {Cause::kForbidden, "models are loaded on request only with --model-control explicit"};
  const std::vector<std::string> all = names();
  if (std::ranges::find(all, name) == all.end())
    return fault(Cause::kNotFound, "the repository has no model '{}'; it holds {}", name, joined(all));
  const Status status = load_now(name);
  return status.ok() ? Fault() : fault(Cause::kInvalid, "model '{}': {}", name, status.message());
}

Fault Repository::unload(const std::string& name) {
  if (options_.control != Control::kExplicit)
    return {Cause::kForbidden, "models are unloaded on request only with --model-control explicit"};
  return unload_now(name);
}

Fault Repository::unload_now(const std::string& name) {
  const std::lock_guard one(control_);
  Versions old;
  {
    const std::lock_guard lock(mutex_);
    const auto entry = entries_.find(name);
    if (entry == entries_.end() || entry->second.versions.empty())
      return fault(Cause::kNotFound, "model '{}' is not loaded", name);
    old.swap(entry->second.versions);
    entry->second.fingerprints.clear();
    entry->second.reason = "unloaded";
  }
  for (const auto& [version, model] : old) model->scheduler().stop();
  return {};
}

void Repository::poll() {
  const std::vector<std::string> all = names();
  for (const std::string& name : all) {
    std::string prints;
    if (const auto plan = this->plan(name); plan.ok())
      for (const Source& s : plan->sources) prints += s.fingerprint + "\n";
    {
      const std::lock_guard lock(mutex_);
      Entry& entry = entries_[name];
      if (entry.tried == prints) continue;
      entry.tried = prints;
    }
    const Status status = load_now(name);
    if (!status.ok()) options_.log(fmt::format("model '{}': {}", name, status.message()));
  }
  std::vector<std::string> gone;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, entry] : entries_)
      if (!std::ranges::binary_search(all, name)) gone.push_back(name);
  }
  for (const std::string& name : gone) {
    options_.log(fmt::format("model '{}' is gone", name));
    (void)unload_now(name);
    const std::lock_guard lock(mutex_);
    entries_.erase(name);
  }
}

void Repository::stop() {
  const std::lock_guard one(control_);
  for (const auto& model : ready()) model->scheduler().stop();
  const std::lock_guard lock(mutex_);
  entries_.clear();
}

}  // namespace vitrail::serve
