// SPDX-License-Identifier: Apache-2.0
// In place of plugin_kinds.cpp where Vitrail's kernels are not compiled.
#include "backends/tensorrt/module/plugin_kinds.h"

namespace vitrail::tensorrt {

std::span<const PluginKind> plugin_kinds() { return {}; }

PluginNumbers AttentionNumbers::packed() const { return {}; }

std::string refuse_attention_plugin(const AttentionNumbers&, int64_t, int64_t, int64_t) {
  return "the kernels are not compiled in";
}

}  // namespace vitrail::tensorrt
