// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include "cli/common.h"
#include "cli/verbs.h"
#include "core/error.h"

namespace vitrail::cli {
namespace {

namespace fs = std::filesystem;

struct ExportFlags {
  std::string source, output;
  bool random_weights = false, no_reference = false, json = false;
  // Options with a value, handed on as they were written.
  std::array<std::pair<const char*, std::string>, 10> values{{{"--checkpoint", ""},
                                                              {"--img-size", ""},
                                                              {"--exporter", ""},
                                                              {"--opset", ""},
                                                              {"--batches", ""},
                                                              {"--seeds", ""},
                                                              {"--images", ""},
                                                              {"--tolerance", ""},
                                                              {"--preprocess", ""},
                                                              {"--labels", ""}}};
};

constexpr std::array kHelp{"Weights (.pth, .pt, .bin, .safetensors) in place of the published ones",
                           "Side of the pictures that the model is built for",
                           "auto (dynamo, then torchscript), dynamo or torchscript",
                           "Opset of ONNX (default 20 by dynamo, 17 by torchscript)",
                           "Batch sizes to compare at (default 1,3,4; the traced one is 2)",
                           "Random inputs for each batch size (default 2)",
                           "Folder of pictures to compare on as well",
                           "Largest error, of an output's largest magnitude (default 1e-4)",
                           "JSON file in place of the model's own preprocessing",
                           "Class names, one a line, in place of the model's own"};

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

// Becomes `python -m vitrail export …`: its output, its Ctrl-C and its exit status are those of this verb.
Status run_python(const ExportFlags& flags) {
  const std::string self = own_path(), python = find_python();
  std::vector<std::string> words{python, "-m", "vitrail"};
  if (!find_package(self)) words = {python, "-c", kTryPackage};
  ::setenv("VTL_BINARY", self.c_str(), 0);
  words.insert(words.end(), {"export", flags.source, "-o", flags.output});
  for (const auto& [name, value] : flags.values)
    if (!value.empty()) words.insert(words.end(), {name, value});
  if (flags.random_weights) words.emplace_back("--random-weights");
  if (flags.no_reference) words.emplace_back("--no-reference");
  if (flags.json) words.emplace_back("--json");
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execvp(python.c_str(), arguments.data());
  return unavailable(
      "'{}' cannot be started ({}): exporting needs Python 3.10 or newer with torch, onnx, onnxscript and "
      "onnxruntime (and timm, transformers or torchvision); name it in VTL_PYTHON",
      python, std::strerror(errno));
}

}  // namespace

void add_export(CLI::App& app, Action& action) {
  auto flags = std::make_shared<ExportFlags>();
  CLI::App* verb =
      app.add_subcommand("export", "From PyTorch to an ONNX model that is proven to compute the same");
  verb->add_option("SOURCE", flags->source, "timm:NAME, hf:NAME_OR_DIR, torchvision:NAME or file.py:factory")
      ->required();
  verb->add_option("-o,--output", flags->output, "ONNX file to write")->required();
  for (size_t i = 0; i < flags->values.size(); ++i)
    verb->add_option(flags->values[i].first, flags->values[i].second, kHelp[i]);
  verb->add_flag("--random-weights", flags->random_weights, "No weights at all: to try an export");
  verb->add_flag("--no-reference", flags->no_reference,
                 "Compare with ONNX Runtime alone, not with Vitrail's reference backend");
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->callback([flags, &action] { action = [flags] { return run_python(*flags); }; });
}

}  // namespace vitrail::cli
