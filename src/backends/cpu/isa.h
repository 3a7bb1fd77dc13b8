// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "vitrail/status.h"

namespace vitrail::cpu {

// Instruction sets that the kernels are compiled for, worst to best. VNNI and AMX (AMX-INT8's tiles, beside
// AVX512-VNNI) are for the products of bytes; floats run as on AVX2 or AVX-512.
enum class Isa { kScalar, kAvx2, kAvxVnni, kAvx512, kAvx512Vnni, kAvx512Amx };

std::string_view isa_name(Isa isa);  // "scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512amx"
// By this build and by this processor and operating system. Asking for AMX asks Linux once for the permission
// to use tiles, which holds for the whole process.
bool isa_supported(Isa isa);
Isa best_isa();
std::span<const Isa> all_isas();

// The instruction set called `name`; the best one when `name` is empty. Errors: kUsage for a name that is not
// known, kUnavailable for one that this processor lacks.
Result<Isa> isa_from_name(std::string_view name);

}  // namespace vitrail::cpu
