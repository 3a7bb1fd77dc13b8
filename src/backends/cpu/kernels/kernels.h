// SPDX-License-Identifier: Apache-2.0
// Kernels on plain pointers. Arrays are float32 or bytes; strides count elements. Nothing here allocates: the
// caller hands in scratch (64-byte aligned) of the size that the *_scratch_* function of the kernel names. A
// row of a result has the same bits whatever the number of rows, batch entries or threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backends/cpu/isa.h"
#include "core/thread_pool.h"

namespace vitrail::cpu {

// The kernels of one instruction set; opaque to callers (table.h).
struct Kernels;
// `isa` must be supported here (isa_supported).
const Kernels& kernels_for(Isa isa);
Isa isa_of(const Kernels& kernels);
// Floats in one vector register as seen by code that really runs: proves which table is in use.
int probe_vector_width(const Kernels& kernels);

// y = f(x), element by element. Also the last stage of gemm and conv.
enum class Activation {
  kNone,
  kRelu,
  kGeluErf,    // x/2 (1 + erf(x/sqrt 2))
  kGeluTanh,   // x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
  kGeluQuick,  // x sigmoid(1.702 x)
  kSilu,       // x sigmoid(x)
  kSigmoid,
  kTanh,
  kErf,
  kExp,
  kSqrt,
  kAbs,
  kNeg,
  kReciprocal,
};
void unary(const Kernels& kernels, ThreadPool& pool, Activation f, const float* x, float* y, int64_t count);

enum class Binary { kAdd, kSub, kMul, kDiv };
// out[r][c] = a[r * a_row + c * a_col] op b[r * b_row + c * b_col]; *_col is 0 or 1, so a stride of 0
// broadcasts. `out` is contiguous and may be a or b where that operand is not broadcast.
struct BinaryArgs {
  Binary op;
  const float *a, *b;
  int64_t a_row, a_col, b_row, b_col;
  float* out;
  int64_t rows, cols;
  // Axes around the rows, outermost first: how far the operands move along each.
  struct Outer {
    int64_t extent, a, b;
  };
  std::span<const Outer> outer = {};
};
void binary(const Kernels& kernels, ThreadPool& pool, const BinaryArgs& args);

// --- Matrix products
// ---------------------------------------------------------------------------------------------

// B[K,N] as panels of 16 columns, [ceil(N/16)][K][16], the last one padded with zeros. The same for every
// ISA.
constexpr int64_t kPanel = 16;
size_t packed_floats(int64_t k, int64_t n);
// From w[K][N] with row stride ld.
void pack_b(const float* w, int64_t k, int64_t n, int64_t ld, float* packed);
// From w[N][K] with row stride ld.
void pack_b_transposed(const float* w, int64_t k, int64_t n, int64_t ld, float* packed);

// c = activation(a b + bias) * scale + residual. a is [M,K], c and residual are [M,N]; bias [N] and residual
// may be null; residual may be c. Each element is one chain of multiply-adds in the order of k.
struct GemmArgs {
  const float* a;
  int64_t lda;
  const float* b_packed;
  const float* bias = nullptr;
  const float* residual = nullptr;
  int64_t ldr = 0;
  float* c;
  int64_t ldc;
  int64_t m, n, k;
  Activation activation = Activation::kNone;
  float scale = 1.0f;
};
size_t gemm_scratch_floats(int64_t m, int64_t n, int64_t k, int threads);
void gemm(const Kernels& kernels, ThreadPool& pool, const GemmArgs& args, float* scratch);

// --- Products of bytes
// ---------------------------------------------------------------------------------------------

// How floats become bytes: saturate(round(y / scale) + zero) in [0, 255], ties to even, and then exclusive or
// `flip`. An int8 zero point z is zero = z + 128 and flip = 128.
struct ByteScale {
  float scale = 1;
  int32_t zero = 0;
  uint8_t flip = 0;
};
void quantize(const Kernels& kernels, ThreadPool& pool, const float* x, int64_t count, const ByteScale& scale,
              uint8_t* q);

// int8 B[K,N] as panels of 16 columns of quads of k, [ceil(N/16)][K/4][16][4], padded with zeros to whole
// panels and, for the tiles of AMX, to K in 64s. The same for every ISA.
constexpr int64_t kDepthStep = 64;
size_t packed_bytes(int64_t k, int64_t n);
void pack_s8(const int8_t* w, int64_t k, int64_t n, int8_t* packed);
// Where sums of (a - zero) w start for sums of a w: -zero * (sum of each column of w); as many as the panels
// have columns.
void column_starts(const int8_t* w, int64_t k, int64_t n, int32_t zero, int32_t* starts);
// No sum of this many products of a uint8 and an int8 leaves an int32, whatever the zero point.
constexpr int64_t kMostDepth = (int64_t{1} << 31) / (255 * 128) / 2;

// y = activation((sum of a b + start) * scale + bias) + residual. a is [M,K] of uint8, or of int8 to which
// a_flip = 128 adds 128; start (padded as column_starts pads), scale and bias belong to the columns; bias and
// residual may be null. y goes to c as floats or to q as bytes. The sums are exact in 32 bits on every ISA.
struct IntegerGemmArgs {
  const uint8_t* a;
  int64_t lda;
  uint8_t a_flip = 0;
  const int8_t* b_packed;
  const int32_t* start;
  const float* scale;
  const float* bias = nullptr;
  const float* residual = nullptr;
  int64_t ldr = 0;
  float* c = nullptr;
  uint8_t* q = nullptr;
  ByteScale bytes;
  int64_t ldc;
  int64_t m, n, k;
  Activation activation = Activation::kNone;
};
size_t integer_gemm_scratch_bytes(int64_t m, int64_t n, int64_t k, int threads);
void integer_gemm(const Kernels& kernels, ThreadPool& pool, const IntegerGemmArgs& args, uint8_t* scratch);

// --- Attention
// ---------------------------------------------------------------------------------------------------

// out = softmax(scale q k^T + mask) v for each batch entry and head, without an Sq x Sk matrix. Head h of q
// starts at q + b * q_batch + h * d, its rows are q_row apart; likewise k (d), v and out (dv). mask is added
// at mask + b * mask_b + h * mask_h + q * mask_q + key; a stride of 0 broadcasts. A row whose mask is -inf
// throughout gives NaN, as the formula does.
struct AttentionArgs {
  const float *q, *k, *v;
  int64_t q_row, k_row, v_row;
  int64_t q_batch, k_batch, v_batch;
  const float* mask = nullptr;
  int64_t mask_b = 0, mask_h = 0, mask_q = 0;
  float* out = nullptr;  // or, as bytes:
  uint8_t* out_bytes = nullptr;
  ByteScale bytes;
  int64_t out_row, out_batch;
  int64_t batch, heads, sq, sk, d, dv;
  float scale;
};
size_t attention_scratch_floats(const AttentionArgs& args, int threads);
void attention(const Kernels& kernels, ThreadPool& pool, const AttentionArgs& args, float* scratch);

// The same of bytes: out = (P - zero) (v - v_zero) * out_scale, where the bytes P are softmax((q - q_zero)
// k^T * scale) at `weights`. q, k and v are uint8 (k's zero point moves all scores of a query alike, so it is
// not asked for), all sums exact; strides count bytes.
struct ByteAttentionArgs {
  const uint8_t *q, *k, *v;
  int64_t q_row, k_row, v_row;
  int64_t q_batch, k_batch, v_batch;
  int32_t q_zero, v_zero;
  float scale;
  ByteScale weights;
  float out_scale;
  float* out = nullptr;  // or, as bytes:
  uint8_t* out_bytes = nullptr;
  ByteScale bytes;
  int64_t out_row, out_batch;
  int64_t batch, heads, sq, sk, d, dv;
};
size_t byte_attention_scratch_bytes(const ByteAttentionArgs& args, int threads);
void byte_attention(const Kernels& kernels, ThreadPool& pool, const ByteAttentionArgs& args,
                    uint8_t* scratch);

// --- Rows
// --------------------------------------------------------------------------------------------------------

// y = (x - mean) / sqrt(variance + eps) * gamma + beta for each row of `cols`; gamma and beta may be null. y
// may be x.
void layer_norm(const Kernels& kernels, ThreadPool& pool, const float* x, const float* gamma,
                const float* beta, float eps, int64_t rows, int64_t cols, float* y);
// The same, as bytes.
void layer_norm_bytes(const Kernels& kernels, ThreadPool& pool, const float* x, const float* gamma,
                      const float* beta, float eps, int64_t rows, int64_t cols, const ByteScale& scale,
                      uint8_t* q);
// y may be x.
void softmax(const Kernels& kernels, ThreadPool& pool, const float* x, int64_t rows, int64_t cols, float* y);

// --- Movement
// ----------------------------------------------------------------------------------------------------

// x[B,C,H,W] to rows [B * gh * gw][C * kh * kw] with gh = (H - kh) / sh + 1, gw likewise: what makes a patch
// embedding a matrix product.
struct PatchArgs {
  const float* x;
  int64_t batch, channels, height, width;
  int64_t kh, kw, sh, sw;
  float* out;
};
void gather_patches(ThreadPool& pool, const PatchArgs& args);

// --- Images
// ------------------------------------------------------------------------------------------------------

// ONNX Conv (NCHW). x [B, groups * C/g, H, W], weights [M, C/g, kh, kw], bias [M] or null, out [B, M, OH,
// OW].
struct ConvArgs {
  const float *x, *weights, *bias;
  const float* packed = nullptr;  // from pack_conv(), for the same kernels; null: conv() packs them itself
  float* out;
  int64_t batch, in_channels, out_channels, groups;
  int64_t height, width, out_height, out_width;
  int64_t kh, kw, sh, sw, pad_top, pad_left, dh = 1, dw = 1;
  Activation activation = Activation::kNone;
};
size_t conv_scratch_floats(const ConvArgs& args, int threads);
void conv(const Kernels& kernels, ThreadPool& pool, const ConvArgs& args, float* scratch);
// Lays `args.weights` out as the instruction set's conv() reads them; as many floats.
void pack_conv(const Kernels& kernels, const ConvArgs& args, float* packed);

// ONNX ConvTranspose (NCHW), same fields; out_channels is all groups'. Each phase of the stride is a
// convolution of its own, so that every output has one fixed order of summation. `weights` are those of
// arrange_transposed, `packed` those of pack_conv_transpose (which takes arranged ones): both done once.
size_t conv_transpose_scratch_floats(const ConvArgs& args, int threads);
void pack_conv_transpose(const Kernels& kernels, const ConvArgs& args, float* packed);
void conv_transpose(const Kernels& kernels, ThreadPool& pool, const ConvArgs& args, float* scratch);
// From ONNX's [C, M/g, kh, kw] (`args.weights`) to one matrix a phase; as many floats. The layout depends on
// the geometry in `args`, not on the extents of the image.
void arrange_transposed(const ConvArgs& args, float* arranged);

// How an output coordinate maps to the input (ONNX Resize).
enum class Coordinates { kHalfPixel, kPytorchHalfPixel, kAlignCorners, kAsymmetric };
// Linear interpolation of planes [H,W] to [OH,OW]; `planes` is batch times channels. scale_* is output extent
// over input extent as the model states it; 0 takes the quotient of the extents.
struct ResizeArgs {
  const float* x;
  float* out;
  int64_t planes, height, width, out_height, out_width;
  Coordinates coordinates = Coordinates::kHalfPixel;
  float scale_h = 0, scale_w = 0;
};
size_t resize_scratch_floats(const ResizeArgs& args, int threads);
void resize_bilinear(const Kernels& kernels, ThreadPool& pool, const ResizeArgs& args, float* scratch);

// --- Measuring
// ---------------------------------------------------------------------------------------------------

// GFLOP/s of independent multiply-adds in registers on `threads` threads, with the best ISA; takes about 20
// ms.
double measure_fma_peak_gflops(int threads);
// The same of the products of bytes, out of L1: 10^9 operations a second, 2 for each multiply-add.
double measure_byte_peak_gops(int threads);

}  // namespace vitrail::cpu
