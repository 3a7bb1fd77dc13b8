// SPDX-License-Identifier: Apache-2.0
// Warpgroup matrix products of Hopper (PTX ISA, wgmma.mma_async): D[64, N] (+)= A[64, K]·B[N, K]ᵀ with both operands
// in shared memory, K-major, 128-byte swizzle: 32 bytes of K a step, whatever the type.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>
#include <type_traits>

#include "backends/cuda/device/ptx.cuh"

namespace vitrail::cuda {

// Describes rows of 128 bytes in groups of eight (1024 bytes), swizzled as the tensor copy writes them.
__device__ __forceinline__ uint64_t operand_descriptor(const void* tile) {
  return static_cast<uint64_t>((smem_address(tile) & 0x3FFFF) >> 4) | uint64_t{1} << 16 | uint64_t{64} << 32 |
         uint64_t{1} << 62;
}

__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kLeft>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
}
// Keeps the compiler from moving accesses to accumulators across a wait.
template <class T, int kCount>
__device__ __forceinline__ void wgmma_pin(T (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if constexpr (std::is_same_v<T, float>)
      asm volatile("" : "+f"(d[i])::"memory");
    else
      asm volatile("" : "+r"(d[i])::"memory");
  }
}

// The accumulator registers by number, eight at a time, and the operands that they stand for.
#define VTL_R0 "%0,%1,%2,%3,%4,%5,%6,%7"
#define VTL_R8 ",%8,%9,%10,%11,%12,%13,%14,%15"
#define VTL_R16 ",%16,%17,%18,%19,%20,%21,%22,%23"
#define VTL_R24 ",%24,%25,%26,%27,%28,%29,%30,%31"
#define VTL_R32 ",%32,%33,%34,%35,%36,%37,%38,%39"
#define VTL_R40 ",%40,%41,%42,%43,%44,%45,%46,%47"
#define VTL_R48 ",%48,%49,%50,%51,%52,%53,%54,%55"
#define VTL_R56 ",%56,%57,%58,%59,%60,%61,%62,%63"
#define VTL_R64 ",%64,%65,%66,%67,%68,%69,%70,%71"
#define VTL_R72 ",%72,%73,%74,%75,%76,%77,%78,%79"
#define VTL_R80 ",%80,%81,%82,%83,%84,%85,%86,%87"
#define VTL_R88 ",%88,%89,%90,%91,%92,%93,%94,%95"
#define VTL_REGS8 VTL_R0
#define VTL_REGS16 VTL_R0 VTL_R8
#define VTL_REGS20 VTL_R0 VTL_R8 ",%16,%17,%18,%19"
#define VTL_REGS28 VTL_R0 VTL_R8 VTL_R16 ",%24,%25,%26,%27"
#define VTL_REGS24 VTL_R0 VTL_R8 VTL_R16
#define VTL_REGS32 VTL_R0 VTL_R8 VTL_R16 VTL_R24
#define VTL_REGS48 VTL_REGS32 VTL_R32 VTL_R40
#define VTL_REGS56 VTL_REGS32 VTL_R32 VTL_R40 VTL_R48
#define VTL_REGS64 VTL_REGS56 VTL_R56
#define VTL_REGS80 VTL_REGS64 VTL_R64 VTL_R72
#define VTL_REGS96 VTL_REGS64 VTL_R64 VTL_R72 VTL_R80 VTL_R88
#define VTL_O8(c, i) c(d[i]), c(d[i + 1]), c(d[i + 2]), c(d[i + 3]), c(d[i + 4]), c(d[i + 5]), c(d[i + 6]), c(d[i + 7])
#define VTL_O32(c, i) VTL_O8(c, i), VTL_O8(c, i + 8), VTL_O8(c, i + 16), VTL_O8(c, i + 24)
#define VTL_OPS8(c) VTL_O8(c, 0)
#define VTL_OPS16(c) VTL_O8(c, 0), VTL_O8(c, 8)
#define VTL_O4(c, i) c(d[i]), c(d[i + 1]), c(d[i + 2]), c(d[i + 3])
#define VTL_OPS20(c) VTL_OPS16(c), VTL_O4(c, 16)
#define VTL_OPS24(c) VTL_OPS16(c), VTL_O8(c, 16)
#define VTL_OPS28(c) VTL_OPS24(c), VTL_O4(c, 24)
#define VTL_OPS32(c) VTL_O32(c, 0)
#define VTL_OPS48(c) VTL_O32(c, 0), VTL_O8(c, 32), VTL_O8(c, 40)
#define VTL_OPS56(c) VTL_O32(c, 0), VTL_O8(c, 32), VTL_O8(c, 40), VTL_O8(c, 48)
#define VTL_OPS64(c) VTL_O32(c, 0), VTL_O32(c, 32)
#define VTL_OPS80(c) VTL_OPS64(c), VTL_O8(c, 64), VTL_O8(c, 72)
#define VTL_OPS96(c) VTL_OPS64(c), VTL_O32(c, 64)

template <class In, int kN>
struct Wgmma;

// `regs` accumulators a thread; a, b, p: the numbers of the operands behind them.
#define VTL_WGMMA_ONE(In, Acc, c, shape, tail, n, regs, a, b, p)                                                 \
  template <>                                                                                                    \
  struct Wgmma<In, n> {                                                                                          \
    using Accumulator = Acc;                                                                                     \
    static constexpr int kAccumulators = regs;                                                                   \
    static __device__ __forceinline__ void run(Acc (&d)[regs], uint64_t da, uint64_t db, int accumulate) {       \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " p ", 0;\n"                                                \
                   "wgmma.mma_async.sync.aligned.m64n" #n shape " {" VTL_REGS##regs "}, " a ", " b ", p" tail    \
                   ";\n}\n"                                                                                      \
                   : VTL_OPS##regs(c)                                                                            \
                   : "l"(da), "l"(db), "r"(accumulate));                                                         \
    }                                                                                                            \
  };
#define VTL_WGMMA(n, regs, a, b, p)    \
  VTL_WGMMA_FLOAT(n, regs, a, b, p)    \
  VTL_WGMMA_ONE(int8_t, int32_t, "+r", "k32.s32.s8.s8", "", n, regs, a, b, p)
#define VTL_WGMMA_FLOAT(n, regs, a, b, p)                                                                 \
  VTL_WGMMA_ONE(__half, float, "+f", "k16.f32.f16.f16", ", 1, 1, 0, 0", n, regs, a, b, p)                 \
  VTL_WGMMA_ONE(__nv_bfloat16, float, "+f", "k16.f32.bf16.bf16", ", 1, 1, 0, 0", n, regs, a, b, p)        \
  VTL_WGMMA_ONE(__nv_fp8_e4m3, float, "+f", "k32.f32.e4m3.e4m3", ", 1, 1", n, regs, a, b, p)

VTL_WGMMA(16, 8, "%8", "%9", "%10")
VTL_WGMMA(32, 16, "%16", "%17", "%18")
VTL_WGMMA_FLOAT(40, 20, "%20", "%21", "%22")  // integers have no such width, nor 56
VTL_WGMMA(48, 24, "%24", "%25", "%26")
VTL_WGMMA_FLOAT(56, 28, "%28", "%29", "%30")
VTL_WGMMA(64, 32, "%32", "%33", "%34")
VTL_WGMMA(96, 48, "%48", "%49", "%50")
VTL_WGMMA(112, 56, "%56", "%57", "%58")
VTL_WGMMA(128, 64, "%64", "%65", "%66")
VTL_WGMMA(160, 80, "%80", "%81", "%82")
VTL_WGMMA(192, 96, "%96", "%97", "%98")

// D[64, 64] += A[64, 16]·B[16, 64] with A in registers and B row-major in shared memory ("MN-major"): the second
// product of attention, whose left side has just been computed.
template <class In>
__device__ __forceinline__ void wgmma_from_registers(float (&d)[32], const uint32_t (&a)[4], uint64_t db);
#define VTL_WGMMA_RS(In, name)                                                                                       \
  template <>                                                                                                        \
  __device__ __forceinline__ void wgmma_from_registers<In>(float (&d)[32], const uint32_t (&a)[4], uint64_t db) {    \
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32." name "." name " {" VTL_REGS32                         \
                 "}, {%32, %33, %34, %35}, %36, 1, 1, 1, 1;\n"                                                       \
                 : VTL_OPS32("+f")                                                                                   \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(db));                                             \
  }
VTL_WGMMA_RS(__half, "f16")
VTL_WGMMA_RS(__nv_bfloat16, "bf16")

}  // namespace vitrail::cuda
