// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "vitrail/tensor.h"

namespace vitrail {

// XXH3-128 over names, types, shapes and bytes of samples, in their order: the identity of a data set.
class SampleHash {
 public:
  SampleHash();  // throws std::bad_alloc only
  void add(const std::vector<NamedTensor>& sample);
  std::string hex() const;

 private:
  struct Free {
    void operator()(void* state) const;
  };
  std::unique_ptr<void, Free> state_;
};

}  // namespace vitrail
