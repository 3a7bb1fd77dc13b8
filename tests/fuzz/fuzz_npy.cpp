// SPDX-License-Identifier: Apache-2.0
// NumPy's arrays and archives of them.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "core/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrail;
  const std::span file(reinterpret_cast<const std::byte*>(data), size);
  const auto array = parse_npy(file);
  if (array.ok() && array->bytes() > size) std::abort();  // more elements than the file holds
  (void)parse_npz(file);
  return 0;
}
