// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/isa.h"

#include "core/error.h"

namespace vitrail::cpu {
namespace {
constexpr Isa kAll[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvx512};
}

std::span<const Isa> all_isas() { return kAll; }

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kScalar:
      break;
  }
  return "scalar";
}

bool isa_supported(Isa isa) {
#if defined(__x86_64__)
  // The built-ins also ask the operating system whether it saves the wide registers (XGETBV).
  switch (isa) {
    case Isa::kAvx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2") &&
             __builtin_cpu_supports("bmi2");
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::kScalar:
      break;
  }
#endif
  return isa == Isa::kScalar;
}

Isa best_isa() {
  if (isa_supported(Isa::kAvx512)) return Isa::kAvx512;
  return isa_supported(Isa::kAvx2) ? Isa::kAvx2 : Isa::kScalar;
}

Result<Isa> isa_from_name(std::string_view name) {
  if (name.empty()) return best_isa();
  for (const Isa isa : kAll) {
    if (isa_name(isa) != name) continue;
    if (isa_supported(isa)) return isa;
    return unavailable("instruction set '{}' is not supported by this processor; the best one here is '{}'",
                       name, isa_name(best_isa()));
  }
  return usage_error("instruction set '{}' is not known; choose scalar, avx2 or avx512", name);
}

}  // namespace vitrail::cpu
