// SPDX-License-Identifier: Apache-2.0
// The C++ interface: load an engine that `vitrail build` made, run it on tensors or classify pictures.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vitrail/image.h"
#include "vitrail/status.h"
#include "vitrail/tensor.h"

namespace vitrail {

struct EngineOptions {
  int streams = 1;              // batches that may run at the same time
  int threads = 0;              // of each stream; 0: the cores of this machine divided by the streams
  int64_t workspace_bytes = 0;  // hard cap on all memory beyond the weights; 0: the cap of the build
  std::string isa;  // "scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512amx"; empty for the best
                    // that this machine has
};

// An input or output of a model. An extent of -1 depends on the batch size.
struct TensorInfo {
  std::string name;
  DType dtype = DType::kUndefined;
  Shape shape;
};

struct Classification {
  int index = 0;      // of the class
  std::string label;  // empty when the engine has no labels
  float score = 0;    // softmax probability
};

// A loaded engine. All members may be called from several threads at once.
class Model {
 public:
  // Maps and checks the file, prepares its backend and allocates all memory that running takes. kIo or
  // kBadInput when the file is missing, damaged or of another version; kUnavailable when this machine cannot
  // run it; kResource when the workspace is too small. The message says what to do.
  static Result<Model> load(const std::string& vtl_path, const EngineOptions& options = {});
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  std::vector<TensorInfo> inputs() const;
  std::vector<TensorInfo> outputs() const;
  const std::vector<std::string>& labels() const;

  // Runs one batch; the inputs are given by name in any order and all have the same batch size, the outputs
  // come in the order of outputs(). kBadInput names the tensor, what was expected and what came.
  Result<std::vector<NamedTensor>> run(const std::vector<NamedTensor>& inputs) const;

  // The `top` most probable classes, best first: softmax over the first output. The picture is prepared as
  // the engine prescribes. For models with one float32 image input [N,3,height,width] and scores [N,classes].
  Result<std::vector<Classification>> classify(const std::string& image_path, int top = 5) const;
  Result<std::vector<Classification>> classify(const Image& image, int top = 5) const;

 private:
  struct Impl;
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace vitrail
