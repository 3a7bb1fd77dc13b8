// SPDX-License-Identifier: Apache-2.0
// Vision Transformers straight from their weights, without ONNX: ViT, DeiT (also distilled), DINOv2 (also with
// registers), and the vision towers of CLIP and SigLIP, with the names of transformers or timm.
#pragma once

#include <string>

#include "graph/graph.h"
#include "import/onnx/import.h"

namespace vitrail {

// Whether import_safetensors() is for this path: *.safetensors, *.safetensors.index.json or a folder.
bool is_safetensors(const std::string& path);

// The model of config.json (beside the weights) as a graph with a dynamic batch: primitive operators, outputs named as
// in the class's forward(). float32 weights point into the mapped files, 16-bit ones are converted. Preprocessing and
// labels are in the graph's metadata (vitrail.preprocess, vitrail.labels) where the folder's files say them.
// kBadInput lists missing, superfluous and misshapen keys. `files`, when given, receives the weights' paths.
Result<Graph> import_safetensors(const std::string& path, ImportReport* report = nullptr,
                                 std::vector<std::string>* files = nullptr);

}  // namespace vitrail
