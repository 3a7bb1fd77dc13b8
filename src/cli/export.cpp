// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <memory>

#include "cli/common.h"
#include "cli/python.h"
#include "cli/verbs.h"

namespace vitrail::cli {
namespace {

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

// Becomes `python -m vitrail export …`: its output, its Ctrl-C and its exit status are those of this verb.
Status run_export(const ExportFlags& flags) {
  std::vector<std::string> words{"export", flags.source, "-o", flags.output};
  for (const auto& [name, value] : flags.values)
    if (!value.empty()) words.insert(words.end(), {name, value});
  if (flags.random_weights) words.emplace_back("--random-weights");
  if (flags.no_reference) words.emplace_back("--no-reference");
  if (flags.json) words.emplace_back("--json");
  return become_python(words);
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
  verb->callback([flags, &action] { action = [flags] { return run_export(*flags); }; });
}

}  // namespace vitrail::cli
