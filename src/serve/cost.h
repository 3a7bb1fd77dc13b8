// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>

namespace vitrail::serve {

// What a batch of each size costs, learned from the batches that ran. Sizes not seen yet lie on the line between
// their neighbours; beyond the ends every row costs what it costs at the end.
class CostTable {
 public:
  // A batch of `rows` took so long. The figure is their mean, in which the last 32 count most.
  void learn(int64_t rows, int64_t nanoseconds);

  bool empty() const { return seen_.empty(); }
  // Nanoseconds; 0 while nothing is known.
  double at(int64_t rows) const;
  // Nanoseconds that the best batch of at most `most` rows saves over running `rows` now and the others after them;
  // at least 0.
  double gain(int64_t rows, int64_t most) const;
  // The knee: the least size that runs nearly as many rows a second as the best one that was seen; a larger one makes its
  // requests wait for nothing. `most` where nothing is known beyond it.
  int64_t enough(int64_t most) const;

 private:
  struct Seen {
    double ns = 0;
    int64_t batches = 0;
  };
  std::map<int64_t, Seen> seen_;
};

}  // namespace vitrail::serve
