// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/lt.h"

#include <cublasLt.h>
#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <mutex>
#include <utility>

namespace vitrail::cuda {
namespace {

// The functions of the library; cublasLt.h lends only their types.
struct Functions {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtGetVersion) version;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatrixLayoutSetAttribute) layout_set;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
};

template <class F>
bool find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  return function != nullptr;
}

bool find_all(void* library, Functions& f) {
  return find(library, "cublasLtCreate", f.create) && find(library, "cublasLtGetVersion", f.version) &&
         find(library, "cublasLtMatmul", f.matmul) &&
         find(library, "cublasLtMatmulDescCreate", f.desc_create) &&
         find(library, "cublasLtMatmulDescDestroy", f.desc_destroy) &&
         find(library, "cublasLtMatmulDescSetAttribute", f.desc_set) &&
         find(library, "cublasLtMatrixLayoutCreate", f.layout_create) &&
         find(library, "cublasLtMatrixLayoutDestroy", f.layout_destroy) &&
         find(library, "cublasLtMatrixLayoutSetAttribute", f.layout_set) &&
         find(library, "cublasLtMatmulPreferenceCreate", f.preference_create) &&
         find(library, "cublasLtMatmulPreferenceDestroy", f.preference_destroy) &&
         find(library, "cublasLtMatmulPreferenceSetAttribute", f.preference_set) &&
         find(library, "cublasLtMatmulAlgoGetHeuristic", f.heuristic);
}

const char* name_of(cublasStatus_t s) {
  switch (s) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "an unknown cuBLAS status";
}

const char* name_of(Type t) {
  constexpr std::array kNames{"float32", "float16", "bfloat16", "float8_e4m3", "int8", "uint8"};
  return kNames[static_cast<size_t>(t)];
}

std::string describe(const LtProblem& p) {
  std::string text =
      "product m=" + std::to_string(p.m) + " n=" + std::to_string(p.n) + " k=" + std::to_string(p.k);
  if (p.batch > 1) text += " batch=" + std::to_string(p.batch);
  return text + " " + name_of(p.in) + " to " + (p.in == Type::kS8 ? "int32" : name_of(p.out));
}

Status failure(const LtProblem& p, cublasStatus_t s) {
  return {s == CUBLAS_STATUS_NOT_SUPPORTED ? Code::kUnavailable : Code::kInternal,
          "cuBLASLt: " + describe(p) + ": " + name_of(s)};
}

cudaDataType_t data_type(Type t) {
  switch (t) {
    case Type::kF16:
      return CUDA_R_16F;
    case Type::kBF16:
      return CUDA_R_16BF;
    case Type::kE4M3:
      return CUDA_R_8F_E4M3;
    case Type::kS8:
      return CUDA_R_8I;
    case Type::kU8:
      return CUDA_R_8U;
    default:
      return CUDA_R_32F;
  }
}

struct LtPlan final : Lt::Plan {
  LtProblem problem;
  const Functions* f = nullptr;                                  // of the library, which is never unloaded
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, d = nullptr;  // as the caller names them
  bool integer = false;
  cublasLtMatmulAlgo_t algorithm{};
  size_t workspace = 0;

  LtPlan() = default;
  LtPlan(const LtPlan&) = delete;
  LtPlan& operator=(const LtPlan&) = delete;
  ~LtPlan() override {
    for (cublasLtMatrixLayout_t layout : {a, b, d})
      if (layout) f->layout_destroy(layout);
  }
  size_t workspace_bytes() const override { return workspace; }
};

// The description of the operation. It holds the address of the bias, so every run makes its own: that takes
// less than a microsecond and lets threads share a plan.
struct Description {
  const Functions& f;
  cublasLtMatmulDesc_t handle = nullptr;

  explicit Description(const Functions& functions) : f(functions) {}
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;
  ~Description() {
    if (handle) f.desc_destroy(handle);
  }

  template <class T>
  cublasStatus_t set(cublasLtMatmulDescAttributes_t attribute, T value) {
    return f.desc_set(handle, attribute, &value, sizeof(value));
  }

  // The bias is of D's type: float16, bfloat16 or float32 as `out` says (the library's rule for these; for
  // FP8 inputs with a float16 D as well). Int8 products take no bias.
  cublasStatus_t make(const LtProblem& p, const void* bias) {
    const bool integer = p.in == Type::kS8;
    const cublasComputeType_t compute = integer                        ? CUBLAS_COMPUTE_32I
                                        : p.in == Type::kF32 && p.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                       : CUBLAS_COMPUTE_32F;
    cublasStatus_t s = f.desc_create(&handle, compute, integer ? CUDA_R_32I : CUDA_R_32F);
    if (s == CUBLAS_STATUS_SUCCESS)
      s = set(CUBLASLT_MATMUL_DESC_TRANSA, p.b_is_k_by_n ? CUBLAS_OP_N : CUBLAS_OP_T);
    if (s == CUBLAS_STATUS_SUCCESS) s = set(CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
    if (!p.bias) return s;
    if (s == CUBLAS_STATUS_SUCCESS) s = set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    if (s == CUBLAS_STATUS_SUCCESS) s = set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type(p.out));
    if (s == CUBLAS_STATUS_SUCCESS && bias) s = set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    return s;
  }
};

class Library final : public Lt {
 public:
  Library(const Functions& functions, cublasLtHandle_t handle) : f_(functions), handle_(handle) {}

  std::string version() const override {
    const size_t v = f_.version();  // 130100 for 13.1.0; releases before 12 counted otherwise
    return std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." + std::to_string(v % 100);
  }

  Result<std::vector<std::shared_ptr<const Plan>>> plans(const LtProblem& problem, size_t workspace,
                                                         int count) const override {
    const LtProblem& p = problem;
    if (p.m < 1 || p.n < 1 || p.k < 1 || p.batch < 1 || count < 1)
      return Status(Code::kUsage, "cuBLASLt: " + describe(p) + ": empty");
    if (p.in == Type::kS8 && (p.bias || p.residual))
      return Status(Code::kUnavailable,
                    "cuBLASLt: " + describe(p) + ": int8 products take no bias or residual");
    Description description(f_);
    cublasStatus_t s = description.make(p, nullptr);
    auto first = std::make_shared<LtPlan>();
    if (s == CUBLAS_STATUS_SUCCESS) s = make_layouts(p, *first);
    cublasLtMatmulPreference_t preference = nullptr;
    if (s == CUBLAS_STATUS_SUCCESS) s = f_.preference_create(&preference);
    if (s == CUBLAS_STATUS_SUCCESS)
      s = f_.preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                            sizeof(workspace));
    // The library supposes 256 bytes, but a caller's matrix may begin at any row.
    const uint32_t alignment = 16;
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      if (s == CUBLAS_STATUS_SUCCESS)
        s = f_.preference_set(preference, attribute, &alignment, sizeof(alignment));
    std::vector<cublasLtMatmulHeuristicResult_t> found(static_cast<size_t>(count));
    int got = 0;
    if (s == CUBLAS_STATUS_SUCCESS)
      s = f_.heuristic(handle_, description.handle, first->b, first->a, first->d, first->d, preference, count,
                       found.data(), &got);
    if (preference) f_.preference_destroy(preference);
    if (s != CUBLAS_STATUS_SUCCESS) return failure(p, s);
    std::vector<std::shared_ptr<const Plan>> plans;
    for (int i = 0; i < got; ++i) {
      const cublasLtMatmulHeuristicResult_t& one = found[static_cast<size_t>(i)];
      if (one.state != CUBLAS_STATUS_SUCCESS || one.workspaceSize > workspace) continue;
      std::shared_ptr<LtPlan> plan = first ? std::exchange(first, nullptr) : std::make_shared<LtPlan>();
      if (!plan->f) s = make_layouts(p, *plan);
      if (s != CUBLAS_STATUS_SUCCESS) return failure(p, s);
      plan->algorithm = one.algo;
      plan->workspace = one.workspaceSize;
      plans.push_back(std::move(plan));
    }
    if (plans.empty()) return failure(p, CUBLAS_STATUS_NOT_SUPPORTED);
    return plans;
  }

  Status run(const Plan& plan, const void* a, const void* b, const void* bias, const void* residual, void* d,
             void* workspace, cudaStream_t stream, float alpha) const override {
    const auto& p = static_cast<const LtPlan&>(plan);
    Description description(f_);
    cublasStatus_t s = description.make(p.problem, bias);
    if (s == CUBLAS_STATUS_SUCCESS) {
      // Integer products scale by integers.
      const float beta = p.problem.residual ? 1.0f : 0.0f;
      const auto alpha_int = static_cast<int32_t>(alpha);
      const int32_t beta_int = 0;
      s = f_.matmul(handle_, description.handle, p.integer ? static_cast<const void*>(&alpha_int) : &alpha, b,
                    p.b, a, p.a, p.integer ? static_cast<const void*>(&beta_int) : &beta,
                    p.problem.residual ? residual : d, p.d, d, p.d, &p.algorithm, workspace, p.workspace,
                    stream);
    }
    return s == CUBLAS_STATUS_SUCCESS ? Status() : failure(p.problem, s);
  }

 private:
  // The library counts columns first: our row-major D[m, n] is its D'[n, m] = op(B')·A', and what it calls A
  // is our B.
  cublasStatus_t make_layouts(const LtProblem& p, LtPlan& plan) const {
    plan.problem = p;
    plan.f = &f_;
    plan.integer = p.in == Type::kS8;
    const auto rows = static_cast<uint64_t>(p.m), columns = static_cast<uint64_t>(p.n),
               k = static_cast<uint64_t>(p.k);
    cublasStatus_t s = make_layout(&plan.b, data_type(p.in), p.b_is_k_by_n ? columns : k,
                                   p.b_is_k_by_n ? k : columns, p.batch, p.b_stride);
    if (s == CUBLAS_STATUS_SUCCESS) s = make_layout(&plan.a, data_type(p.in), k, rows, p.batch, p.a_stride);
    if (s == CUBLAS_STATUS_SUCCESS)
      s = make_layout(&plan.d, plan.integer ? CUDA_R_32I : data_type(p.out), columns, rows, p.batch,
                      p.d_stride);
    return s;
  }

  cublasStatus_t make_layout(cublasLtMatrixLayout_t* layout, cudaDataType_t type, uint64_t height,
                             uint64_t width, int64_t batch, int64_t stride) const {
    cublasStatus_t s = f_.layout_create(layout, type, height, width, static_cast<int64_t>(height));
    if (s != CUBLAS_STATUS_SUCCESS || batch == 1) return s;
    const auto count = static_cast<int32_t>(batch);
    s = f_.layout_set(*layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof(count));
    if (s == CUBLAS_STATUS_SUCCESS)
      s = f_.layout_set(*layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof(stride));
    return s;
  }

  Functions f_;
  cublasLtHandle_t handle_;
};

// The user's folder goes before the system's search path, which goes before the usual places of a toolkit;
// among those the newest library wins.
void* open_library() {
  constexpr std::array kNames{"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"};
  auto open = [](const std::string& path) { return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL); };
  if (const char* own = std::getenv("VITRAIL_CUDA_LIBRARIES"); own && *own)
    for (const std::string name : kNames)
      if (void* library = open(std::string(own) + "/" + name)) return library;
  std::vector<std::string> folders{"", "/usr/local/cuda/lib64/"};
  if (const char* home = std::getenv("CUDA_HOME"); home && *home)
    folders.insert(folders.begin() + 1, std::string(home) + "/lib64/");
  for (const std::string name : kNames)
    for (const std::string& folder : folders)
      if (void* library = open(folder + name)) return library;
  return nullptr;
}

Result<std::shared_ptr<Lt>> open_once() {
  void* library = open_library();
  if (!library)
    return Status(
        Code::kUnavailable,
        "cuBLASLt was not found (libcublasLt.so.13, libcublasLt.so.12, libcublasLt.so); install NVIDIA's "
        "CUDA 13 runtime libraries or set VITRAIL_CUDA_LIBRARIES=<folder>");
  Functions f{};
  if (!find_all(library, f))
    return Status(Code::kUnavailable,
                  "the cuBLASLt that was found lacks functions that Vitrail needs; install "
                  "NVIDIA's CUDA 13 runtime libraries or set VITRAIL_CUDA_LIBRARIES=<folder>");
  cublasLtHandle_t handle = nullptr;
  if (const cublasStatus_t s = f.create(&handle); s != CUBLAS_STATUS_SUCCESS)
    return Status(Code::kUnavailable, std::string("cuBLASLt: cublasLtCreate: ") + name_of(s));
  return std::shared_ptr<Lt>(std::make_shared<Library>(f, handle));
}

}  // namespace

// Neither the library nor its handle is ever given back: at exit, the driver may be gone before static
// objects are.
Result<std::shared_ptr<Lt>> Lt::open() {
  static std::mutex mutex;
  static auto* const opened = new std::shared_ptr<Lt>;
  const std::lock_guard lock(mutex);
  if (!*opened) {
    VTL_ASSIGN(*opened, open_once());  // a failure is not kept: the user may have set the variable since
  }
  return *opened;
}

}  // namespace vitrail::cuda
