// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <vector>

#include "import/safetensors/file.h"

namespace vitrail::safetensors {

// Hands out the tensors of a checkpoint by name and remembers what was wrong with them, so that one error lists it all.
class Weights {
 public:
  explicit Weights(const Entries& entries) : entries_(entries) {}

  bool has(const std::string& name) const { return entries_.contains(name); }

  // The second to last extent of a tensor, such as the rows of a table of positions; 0 where there is none.
  int64_t rows(const std::string& name) const;

  // float32, of the shape that the model needs; else noted, and an empty tensor comes back.
  Tensor take(const std::string& name, const Shape& shape);

  // Rows [first, first + rows) of a weight of `total` rows: parts of a packed projection.
  Tensor take_rows(const std::string& name, int64_t first, int64_t rows, int64_t total, const Shape& row);

  // Names of which inference has no need: those that begin or end so are not superfluous.
  void ignore(const std::string& part) { ignored_.push_back(part); }

  // kBadInput listing the missing, misshapen and superfluous keys, when there are any.
  Status check() const;

 private:
  const Entries& entries_;
  std::set<std::string> taken_;
  std::vector<std::string> missing_, wrong_, ignored_;
};

}  // namespace vitrail::safetensors
