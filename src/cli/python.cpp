// SPDX-License-Identifier: Apache-2.0
#include "cli/python.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "core/error.h"

namespace vitrail::cli {
namespace {

namespace fs = std::filesystem;

// The program itself, for the comparison with the reference backend, and to find the package beside it.
std::string own_path() {
  std::error_code error;
  const fs::path path = fs::read_symlink("/proc/self/exe", error);
  return error ? "" : path.string();
}

// $VTL_PYTHON, the active virtual environment, python3 of the PATH.
std::string find_python() {
  if (const char* given = std::getenv("VTL_PYTHON"); given && *given) return given;
  if (const char* venv = std::getenv("VIRTUAL_ENV"); venv && *venv) {
    const std::string python = std::string(venv) + "/bin/python";
    if (::access(python.c_str(), X_OK) == 0) return python;
  }
  return "python3";
}

// PREFIX/share/vitrail/python beside PREFIX/bin/vitrail, in an install tree and in a build tree alike; in
// front of what PYTHONPATH names already. Without it (false), a package installed by pip may serve.
bool find_package(const std::string& self) {
  const fs::path folder = fs::path(self).parent_path().parent_path() / "share/vitrail/python";
  std::error_code error;
  if (!fs::is_regular_file(folder / "vitrail/__main__.py", error)) return false;
  const char* before = std::getenv("PYTHONPATH");
  const std::string path = before && *before ? folder.string() + ":" + before : folder.string();
  ::setenv("PYTHONPATH", path.c_str(), 1);
  return true;
}

// `python -m vitrail` where the package may not be there at all.
constexpr const char* kTryPackage = R"(import importlib.util, runpy, sys
if importlib.util.find_spec('vitrail') is None:
    print(f'error: {sys.executable} has no package vitrail, and none lies beside this program (../share/vitrail/python): keep the '
          'program where it was installed, or pip install the folder python of its source', file=sys.stderr)
    sys.exit(4)
runpy.run_module('vitrail', run_name='__main__', alter_sys=True)
)";

// The command line, with the environment set for it.
std::vector<std::string> command(const std::vector<std::string>& words) {
  const std::string self = own_path(), python = find_python();
  std::vector<std::string> all{python, "-m", "vitrail"};
  if (!find_package(self)) all = {python, "-c", kTryPackage};
  ::setenv("VTL_BINARY", self.c_str(), 0);
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (std::string& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

Status not_started(const std::string& python, int error) {
  return unavailable(
      "'{}' cannot be started ({}): this needs Python 3.10 or newer with torch, onnx, onnxscript and "
      "onnxruntime (and timm, transformers or torchvision); name it in VTL_PYTHON",
      python, std::strerror(error));
}

}  // namespace

Status become_python(const std::vector<std::string>& words) {
  std::vector<std::string> all = command(words);
  ::execvp(all[0].c_str(), pointers(all).data());
  return not_started(all[0], errno);
}

Status run_python(const std::vector<std::string>& words) {
  std::vector<std::string> all = command(words);
  pid_t child = 0;
  if (const int error = ::posix_spawnp(&child, all[0].c_str(), nullptr, nullptr, pointers(all).data(), environ); error != 0)
    return not_started(all[0], error);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return internal_error("waiting for {}: {}", all[0], std::strerror(errno));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 130;
  const Code kind = code == 130 ? Code::kCancelled : code == 2 ? Code::kUsage : code == 4 || code == 127 ? Code::kUnavailable : Code::kBadInput;
  return Status(kind, fmt::format("{} -m vitrail {} failed (exit status {}); its own words stand above", all[0], words[0], code));
}

}  // namespace vitrail::cli
