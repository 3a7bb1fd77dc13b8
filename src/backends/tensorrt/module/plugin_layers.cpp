// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/plugin_layers.h"

#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

namespace vitrail::tensorrt {
namespace {

constexpr const char* kVersion = "1";
constexpr const char* kNamespace = "";
constexpr size_t kMostKinds = 4;

const PluginKind* find_kind(std::string_view name) {
  for (const PluginKind& kind : plugin_kinds())
    if (kind.name == name) return &kind;
  return nullptr;
}

// Whether the tensor lies in memory as its elements are counted: [rows, columns, 1, 1] does in these layouts as well, where
// they pad nothing.
bool lies_in_order(const nv::PluginTensorDesc& t) {
  using Format = nv::TensorFormat;
  if (t.format == Format::kLINEAR) return true;
  const int width = t.format == Format::kHWC ? 1 : t.format == Format::kHWC8 ? 8 : t.format == Format::kCHW32 ? 32 : 0;
  return width > 0 && t.dims.nbDims == 4 && t.dims.d[1] % width == 0 && t.dims.d[2] == 1 && t.dims.d[3] == 1;
}

// One layout for all but the vectors, which keeps what the builder tries few.
bool supports(const PluginKind& kind, int32_t position, const nv::PluginTensorDesc& tensor,
              const nv::PluginTensorDesc& first) {
  const bool alike = tensor.dims.nbDims == first.dims.nbDims;
  return lies_in_order(tensor) && tensor.format == (alike ? first.format : nv::TensorFormat::kLINEAR) &&
         kind.takes(position, tensor.type, first.type);
}

// The fields of TensorRT's collection that are numbers of the kind.
PluginNumbers numbers_of(const PluginKind& kind, const nv::PluginFieldCollection* fields) {
  PluginNumbers numbers{};
  for (int32_t f = 0; fields && f < fields->nbFields; ++f)
    for (size_t i = 0; i < kind.names.size(); ++i) {
      const nv::PluginField& field = fields->fields[f];
      if (field.name && field.data && field.type == nv::PluginFieldType::kFLOAT32 && field.length == 1 &&
          std::strcmp(field.name, kind.names[i]) == 0)
        std::memcpy(&numbers[i], field.data, sizeof(float));
    }
  return numbers;
}

// A plan's bytes may be damaged: what can be turned into integers.
bool are_sane(const PluginNumbers& numbers) {
  return std::ranges::all_of(numbers, [](float v) { return std::isfinite(v) && std::abs(v) <= 0x1p24f; });
}

// The numbers as TensorRT's collection, which points into this.
class Fields {
 public:
  Fields(const PluginKind& kind, const PluginNumbers& numbers) : numbers_(numbers) {
    for (size_t i = 0; i < kind.names.size(); ++i)
      fields_[i] = {kind.names[i], &numbers_[i], nv::PluginFieldType::kFLOAT32, 1};
    collection_.nbFields = static_cast<int32_t>(kind.names.size());
    collection_.fields = fields_.data();
  }
  Fields(const Fields&) = delete;
  Fields& operator=(const Fields&) = delete;
  const nv::PluginFieldCollection* get() const { return &collection_; }

 private:
  PluginNumbers numbers_;
  std::array<nv::PluginField, std::tuple_size_v<PluginNumbers>> fields_;
  nv::PluginFieldCollection collection_{};
};

#if VTL_TRT_AT_LEAST(10, 0)

class Plugin : public nv::IPluginV3,
               public nv::IPluginV3OneCore,
               public nv::IPluginV3OneBuild,
               public nv::IPluginV3OneRuntime {
 public:
  Plugin(const PluginKind& kind, const PluginNumbers& numbers)
      : kind_(kind), numbers_(numbers), fields_(kind, numbers) {}

  nv::IPluginCapability* getCapabilityInterface(nv::PluginCapabilityType type) noexcept override {
    if (type == nv::PluginCapabilityType::kBUILD) return static_cast<nv::IPluginV3OneBuild*>(this);
    if (type == nv::PluginCapabilityType::kRUNTIME) return static_cast<nv::IPluginV3OneRuntime*>(this);
    return static_cast<nv::IPluginV3OneCore*>(this);
  }
  nv::IPluginV3* clone() noexcept override { return new (std::nothrow) Plugin(kind_, numbers_); }
  const char* getPluginName() const noexcept override { return kind_.name; }
  const char* getPluginVersion() const noexcept override { return kVersion; }
  const char* getPluginNamespace() const noexcept override { return kNamespace; }

  int32_t getNbOutputs() const noexcept override { return kind_.outputs; }
  int32_t configurePlugin(const nv::DynamicPluginTensorDesc*, int32_t, const nv::DynamicPluginTensorDesc*,
                          int32_t) noexcept override {
    return 0;
  }
  bool supportsFormatCombination(int32_t position, const nv::DynamicPluginTensorDesc* tensors, int32_t,
                                 int32_t) noexcept override {
    return supports(kind_, position, tensors[position].desc, tensors[0].desc);
  }
  int32_t getOutputDataTypes(nv::DataType* outputs, int32_t count, const nv::DataType* inputs,
                             int32_t) const noexcept override {
    std::fill_n(outputs, count, inputs[0]);
    return 0;
  }
  int32_t getOutputShapes(const nv::DimsExprs* inputs, int32_t, const nv::DimsExprs*, int32_t,
                          nv::DimsExprs* outputs, int32_t count, nv::IExprBuilder& builder) noexcept override {
    std::fill_n(outputs, count, kind_.shape(numbers_, inputs, builder));
    return 0;
  }

  int32_t onShapeChange(const nv::PluginTensorDesc*, int32_t, const nv::PluginTensorDesc*,
                        int32_t) noexcept override {
    return 0;
  }
  int32_t enqueue(const nv::PluginTensorDesc* in, const nv::PluginTensorDesc*, const void* const* inputs,
                  void* const* outputs, void*, cudaStream_t stream) noexcept override {
    return kind_.run(numbers_, in, inputs, outputs, stream);
  }
  nv::IPluginV3* attachToContext(nv::IPluginResourceContext*) noexcept override { return clone(); }
  const nv::PluginFieldCollection* getFieldsToSerialize() noexcept override { return fields_.get(); }

 private:
  const PluginKind& kind_;
  PluginNumbers numbers_;
  Fields fields_;
};

using CreatorInterface = nv::IPluginCreatorInterface;

class Creator : public nv::IPluginCreatorV3One {
 public:
  explicit Creator(const PluginKind& kind) : kind_(kind), fields_(kind, {}) {}
  const char* getPluginName() const noexcept override { return kind_.name; }
  const char* getPluginVersion() const noexcept override { return kVersion; }
  const char* getPluginNamespace() const noexcept override { return kNamespace; }
  const nv::PluginFieldCollection* getFieldNames() noexcept override { return fields_.get(); }
  nv::IPluginV3* createPlugin(const char*, const nv::PluginFieldCollection* fields,
                              nv::TensorRTPhase) noexcept override {
    if (!are_sane(numbers_of(kind_, fields))) return nullptr;
    return new (std::nothrow) Plugin(kind_, numbers_of(kind_, fields));
  }

 private:
  const PluginKind& kind_;
  Fields fields_;
};

#else

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // 8.x says so of what it has nothing else for

class Plugin : public nv::IPluginV2DynamicExt {
 public:
  Plugin(const PluginKind& kind, const PluginNumbers& numbers) : kind_(kind), numbers_(numbers) {}

  nv::IPluginV2DynamicExt* clone() const noexcept override {
    return new (std::nothrow) Plugin(kind_, numbers_);
  }
  void destroy() noexcept override { delete this; }
  int32_t initialize() noexcept override { return 0; }
  void terminate() noexcept override {}
  const char* getPluginType() const noexcept override { return kind_.name; }
  const char* getPluginVersion() const noexcept override { return kVersion; }
  void setPluginNamespace(const char*) noexcept override {}
  const char* getPluginNamespace() const noexcept override { return kNamespace; }
  size_t getSerializationSize() const noexcept override { return sizeof(numbers_); }
  void serialize(void* to) const noexcept override { std::memcpy(to, numbers_.data(), sizeof(numbers_)); }

  int32_t getNbOutputs() const noexcept override { return kind_.outputs; }
  nv::DataType getOutputDataType(int32_t, const nv::DataType* inputs, int32_t) const noexcept override {
    return inputs[0];
  }
  nv::DimsExprs getOutputDimensions(int32_t, const nv::DimsExprs* inputs, int32_t,
                                    nv::IExprBuilder& builder) noexcept override {
    return kind_.shape(numbers_, inputs, builder);
  }
  bool supportsFormatCombination(int32_t position, const nv::PluginTensorDesc* tensors, int32_t,
                                 int32_t) noexcept override {
    return supports(kind_, position, tensors[position], tensors[0]);
  }
  void configurePlugin(const nv::DynamicPluginTensorDesc*, int32_t, const nv::DynamicPluginTensorDesc*,
                       int32_t) noexcept override {}
  size_t getWorkspaceSize(const nv::PluginTensorDesc*, int32_t, const nv::PluginTensorDesc*,
                          int32_t) const noexcept override {
    return 0;
  }
  int32_t enqueue(const nv::PluginTensorDesc* in, const nv::PluginTensorDesc*, const void* const* inputs,
                  void* const* outputs, void*, cudaStream_t stream) noexcept override {
    return kind_.run(numbers_, in, inputs, outputs, stream);
  }

 private:
  const PluginKind& kind_;
  PluginNumbers numbers_;
};

using CreatorInterface = nv::IPluginCreator;

class Creator : public nv::IPluginCreator {
 public:
  explicit Creator(const PluginKind& kind) : kind_(kind), fields_(kind, {}) {}
  const char* getPluginName() const noexcept override { return kind_.name; }
  const char* getPluginVersion() const noexcept override { return kVersion; }
  void setPluginNamespace(const char*) noexcept override {}
  const char* getPluginNamespace() const noexcept override { return kNamespace; }
  const nv::PluginFieldCollection* getFieldNames() noexcept override { return fields_.get(); }
  nv::IPluginV2* createPlugin(const char*, const nv::PluginFieldCollection* fields) noexcept override {
    if (!are_sane(numbers_of(kind_, fields))) return nullptr;
    return new (std::nothrow) Plugin(kind_, numbers_of(kind_, fields));
  }
  nv::IPluginV2* deserializePlugin(const char*, const void* data, size_t bytes) noexcept override {
    PluginNumbers numbers{};
    if (!data || bytes != sizeof(numbers)) return nullptr;
    std::memcpy(numbers.data(), data, bytes);
    if (!are_sane(numbers)) return nullptr;
    return new (std::nothrow) Plugin(kind_, numbers);
  }

 private:
  const PluginKind& kind_;
  Fields fields_;
};

#pragma GCC diagnostic pop
#endif

struct Creators {
  Creators() {
    static_assert(kMostKinds == 4);
    for (const PluginKind& kind : plugin_kinds())
      if (count < static_cast<int32_t>(kMostKinds)) list[count++] = new Creator(kind);  // for good: TensorRT keeps it
  }
  int32_t count = 0;
  std::array<Creator*, kMostKinds> list{};
  std::array<CreatorInterface*, kMostKinds> interfaces() const {
    std::array<CreatorInterface*, kMostKinds> all{};
    std::ranges::copy(list, all.begin());
    return all;
  }
};

const Creators& creators() {
  static const Creators all;
  return all;
}

}  // namespace

nv::ILayer* add_plugin(nv::INetworkDefinition& network, std::string_view name, const PluginNumbers& numbers,
                       std::span<nv::ITensor* const> inputs) {
  const PluginKind* kind = find_kind(name);
  if (!kind || std::ranges::find(inputs, nullptr) != inputs.end()) return nullptr;
  Plugin plugin(*kind, numbers);  // the network keeps a clone
  const auto count = static_cast<int32_t>(inputs.size());
#if !defined(VTL_TRT_TAKES_PLUGINS)
  (void)network, (void)count;
  return nullptr;
#elif VTL_TRT_AT_LEAST(10, 0)
  return network.addPluginV3(inputs.data(), count, nullptr, 0, plugin);
#else
  return network.addPluginV2(inputs.data(), count, plugin);
#endif
}

void register_plugins(void* library) {
  using Registry = nv::IPluginRegistry* (*)() noexcept;
  const auto registry = reinterpret_cast<Registry>(dlsym(library, "getPluginRegistry"));
  nv::IPluginRegistry* all = registry ? registry() : nullptr;
  if (!all) return;
  for (Creator* creator : creators().list)
    if (creator) (void)all->registerCreator(*creator, kNamespace);
}

namespace {

#if !VTL_TRT_AT_LEAST(8, 6)
// TensorRT 8.5 has no loader of plugin libraries: opening this one is enough there (trtexec --plugins).
[[maybe_unused]] const bool kRegistered = (register_plugins(RTLD_DEFAULT), true);
#endif

}  // namespace
}  // namespace vitrail::tensorrt

// What IPluginRegistry::loadLibrary() and trtexec --dynamicPlugins look for in a library.
extern "C" __attribute__((visibility("default"))) void setLoggerFinder(void* /* nvinfer1::ILoggerFinder */) {}

extern "C" __attribute__((visibility("default"))) vitrail::tensorrt::CreatorInterface* const*
#if VTL_TRT_AT_LEAST(10, 0)
getCreators
#else
getPluginCreators
#endif
    (int32_t& count) {
  static const auto list = vitrail::tensorrt::creators().interfaces();
  count = vitrail::tensorrt::creators().count;
  return list.data();
}
