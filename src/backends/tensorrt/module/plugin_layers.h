// SPDX-License-Identifier: Apache-2.0
// The kinds of plugin_kinds.h as layers of a network: IPluginV2DynamicExt before TensorRT 10, IPluginV3 from then on.
#pragma once

#include <span>
#include <vector>

#include "backends/tensorrt/module/compat.h"
#include "backends/tensorrt/module/plugin_kinds.h"

namespace vitrail::tensorrt {

// Which operators are given to Vitrail's kernels.
struct PluginUse {
  bool attention = false, layer_norm = false, gelu = false;
  bool any() const { return attention || layer_norm || gelu; }
  std::vector<int64_t> packed() const { return {attention, layer_norm, gelu}; }
  // None where the numbers are none of ours.
  static PluginUse unpacked(std::span<const int64_t> n) {
    return n.size() == 2 || n.size() == 3 ? PluginUse{n[0] != 0, n[1] != 0, n.size() == 3 && n[2] != 0} : PluginUse{};
  }
};

// A layer of the kind of that name; null when there is none or TensorRT refuses it.
nv::ILayer* add_plugin(nv::INetworkDefinition& network, std::string_view kind, const PluginNumbers& numbers,
                       std::span<nv::ITensor* const> inputs);

// Makes plans with our plugins loadable; `library` is TensorRT's, as dlopen() gave it.
void register_plugins(void* library);

}  // namespace vitrail::tensorrt
