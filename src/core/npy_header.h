// SPDX-License-Identifier: Apache-2.0
// The header of a .npy file: "\x93NUMPY", version, length, and a Python dictionary as text
// (numpy/lib/format.py).
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "vitrail/tensor.h"

namespace vitrail {

struct NpyHeader {
  DType dtype = DType::kUndefined;
  bool fortran_order = false;
  Shape shape;             // its element count times the element size fits int64_t
  size_t data_offset = 0;  // within the file
};

Result<NpyHeader> parse_npy_header(std::span<const std::byte> file);

// Magic, version 1.0 and dictionary, padded so that the data after it is aligned to 64 bytes. Up to 64 axes.
std::string write_npy_header(DType dtype, const Shape& shape);

}  // namespace vitrail
