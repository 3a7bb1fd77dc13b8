// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/tensor_map.h"

namespace vitrail::cuda {

cudaError_t make_tensor_map(CUtensorMap* map, Type type, const void* data, const std::vector<int64_t>& extents,
                            const std::vector<int64_t>& strides, const std::vector<int>& box) {
  // Of the driver, which is only there where a GPU is: never linked.
  static const auto encode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found;
    cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
  }();
  if (!encode) return cudaErrorNotSupported;
  const auto size = static_cast<cuuint64_t>(type_size(type));
  cuuint64_t sizes[5] = {}, pitches[4] = {};
  cuuint32_t boxes[5] = {}, steps[5] = {1, 1, 1, 1, 1};
  for (size_t i = 0; i < extents.size(); ++i) {
    sizes[i] = static_cast<cuuint64_t>(extents[i]);
    boxes[i] = static_cast<cuuint32_t>(box[i]);
    if (i > 0) pitches[i - 1] = static_cast<cuuint64_t>(strides[i - 1]) * size;
  }
  const auto kind = type == Type::kF16    ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                    : type == Type::kBF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                          : CU_TENSOR_MAP_DATA_TYPE_UINT8;
  const auto swizzle = boxes[0] * size == 128 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_64B;
  const CUresult result = encode(map, kind, static_cast<cuuint32_t>(extents.size()), const_cast<void*>(data), sizes,
                                 pitches, boxes, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace vitrail::cuda
