// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/isa.h"

#include "core/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace vitrail::cpu {
namespace {

#if defined(__x86_64__)
// GCC 12's __builtin_cpu_supports does not know it.
bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 4));
}

// Linux keeps the 8 KiB of tiles from a process until it asks (Documentation/arch/x86/xstate.rst); a kernel
// that does not know them refuses.
bool may_use_tiles() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  const bool tiles = d & (1u << 24), int8 = d & (1u << 25);
  return tiles && int8 && ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

constexpr Isa kAll[] = {Isa::kScalar, Isa::kAvx2,       Isa::kAvxVnni,
                        Isa::kAvx512, Isa::kAvx512Vnni, Isa::kAvx512Amx};
}  // namespace

std::span<const Isa> all_isas() { return kAll; }

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::kAvx512Amx:
      return "avx512amx";
    case Isa::kAvx512Vnni:
      return "avx512vnni";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvxVnni:
      return "avxvnni";
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
    case Isa::kAvx512Amx: {
      static const bool tiles = may_use_tiles();
      return isa_supported(Isa::kAvx512Vnni) && tiles;
    }
    case Isa::kAvx512Vnni:
      return isa_supported(Isa::kAvx512) && __builtin_cpu_supports("avx512vnni");
    case Isa::kAvx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2") &&
             __builtin_cpu_supports("bmi2");
    case Isa::kAvxVnni:
      return isa_supported(Isa::kAvx2) && has_avx_vnni();
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::kScalar:
      break;
  }
#endif
  return isa == Isa::kScalar;
}

Isa best_isa() {
  for (size_t i = std::size(kAll); i-- > 1;)
    if (isa_supported(kAll[i])) return kAll[i];
  return Isa::kScalar;
}

Result<Isa> isa_from_name(std::string_view name) {
  if (name.empty()) return best_isa();
  for (const Isa isa : kAll) {
    if (isa_name(isa) != name) continue;
    if (isa_supported(isa)) return isa;
    return unavailable("instruction set '{}' is not supported by this processor; the best one here is '{}'",
                       name, isa_name(best_isa()));
  }
  return usage_error(
      "instruction set '{}' is not known; choose scalar, avx2, avxvnni, avx512, avx512vnni or avx512amx",
      name);
}

}  // namespace vitrail::cpu
