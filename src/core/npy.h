// SPDX-License-Identifier: Apache-2.0
// NumPy's files: .npy (format versions 1 to 3, numpy/lib/format.py) and .npz (a ZIP of them).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "vitrail/tensor.h"

namespace vitrail {

// Reads one array. Little-endian numbers of every DType but kBF16; Fortran order becomes C order. kIo when
// the file cannot be read, kBadInput (naming what is wrong) when it is damaged, cut off, longer than its
// header says, or holds objects, records or big-endian numbers.
Result<Tensor> load_npy(const std::string& path);
Result<Tensor> parse_npy(std::span<const std::byte> file);

// Writes format version 1.0, data aligned to 64 bytes. kUsage for kBF16, which NumPy lacks: cast to float32
// first.
Status save_npy(const std::string& path, const TensorView& tensor);

// Reads every array of an archive, stored or deflated, in the archive's order; checksums are verified.
Result<std::vector<NamedTensor>> load_npz(const std::string& path);
Result<std::vector<NamedTensor>> parse_npz(std::span<const std::byte> file);

// Writes an uncompressed archive under 4 GiB. kUsage for empty or repeated names.
Status save_npz(const std::string& path, std::span<const NamedTensor> tensors);

}  // namespace vitrail
