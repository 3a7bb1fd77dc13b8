// SPDX-License-Identifier: Apache-2.0
#include "backends/reference/copy.h"

#include <cstring>

#include "backends/reference/shapes.h"

namespace vitrail::reference {
namespace {

struct Copier {
  std::vector<std::vector<int64_t>> offsets;
  const char* source;
  const char* fill;
  char* out;
  size_t size;

  void run(size_t axis, int64_t base) {
    if (axis == offsets.size()) return put(base);
    for (int64_t offset : offsets[axis])
      run(axis + 1, base == kFill || offset == kFill ? kFill : base + offset);
  }

  void put(int64_t at) {
    if (at != kFill)
      std::memcpy(out, source + static_cast<size_t>(at) * size, size);
    else if (fill)
      std::memcpy(out, fill, size);
    out += size;
  }
};

}  // namespace

Result<Tensor> copy_by_offsets(const Call& call, const Tensor& source, const Shape& shape,
                               const OffsetRule& rule, const void* fill) {
  VTL_ASSIGN(Tensor out, make_output(call, source.dtype(), shape));
  if (out.count() == 0) return out;
  // The tables are made only now that the extents are known to be sane.
  std::vector<std::vector<int64_t>> offsets;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    auto& table = offsets.emplace_back();
    for (int64_t i = 0; i < shape[axis]; ++i) table.push_back(rule(axis, i));
  }
  Copier{std::move(offsets), static_cast<const char*>(source.data()), static_cast<const char*>(fill),
         static_cast<char*>(out.mutable_data()), dtype_size(source.dtype())}
      .run(0, 0);
  return out;
}

}  // namespace vitrail::reference
