// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/product.h"

#include <algorithm>
#include <charconv>

#include "backends/cuda/kernels/elementwise.h"
#include "core/error.h"

namespace vitrail::cuda {
namespace {

// One plan of the library, then at most one pass for what its epilogues cannot do.
class LtLaunch : public Launch {
 public:
  LtLaunch(const Lt& lt, std::shared_ptr<const Lt::Plan> plan, const GemmArgs& args, void* to,
           void* workspace, bool fused, EpilogueArgs epilogue, std::string where)
      : lt_(lt),
        plan_(std::move(plan)),
        args_(args),
        to_(to),
        workspace_(workspace),
        fused_(fused),
        epilogue_(epilogue),
        where_(std::move(where)) {}

  Status enqueue(cudaStream_t stream, bool) const override {
    VTL_TRY(lt_.run(*plan_, args_.a, args_.b, fused_ ? args_.bias : nullptr,
                    fused_ ? args_.residual : nullptr, to_, workspace_, stream)
                .with_context(where_));
    return fused_ ? Status() : cuda_status(launch_epilogue(epilogue_, stream, false), where_);
  }
  bool ends_in_own_kernel() const override { return !fused_; }

 private:
  const Lt& lt_;
  std::shared_ptr<const Lt::Plan> plan_;
  GemmArgs args_;
  void *to_, *workspace_;
  bool fused_;
  EpilogueArgs epilogue_;
  std::string where_;
};

// Whether the library's own epilogue does everything: a bias in the type of the output, a residual of its
// shape.
bool fits_lt_epilogue(const Product& p) {
  const GemmArgs& a = p.args;
  return a.activation == Activation::kNone && !a.col_scale && (!a.bias || p.type == Type::kF32) &&
         (!a.residual || a.residual_rows == a.m) && p.type != Type::kE4M3;
}

Result<std::unique_ptr<Launch>> bind_lt(const Product& p, int choice, const Binding& b,
                                        const std::string& where) {
  if (const std::string reason = refuse_lt(p); !reason.empty())
    return internal_error("{}: cuBLASLt cannot compute it: {}", where, reason);
  if (!b.lt) return internal_error("{}: cuBLASLt is not open", where);
  const GemmArgs& a = p.args;
  const bool fused = fits_lt_epilogue(p), wide = p.type == Type::kE4M3;
  LtProblem problem;
  problem.m = a.m, problem.n = a.n, problem.k = a.k;
  problem.in = p.type;
  problem.out = wide ? Type::kF32 : a.out;
  problem.tf32 = p.tf32;
  problem.bias = fused && a.bias;
  problem.residual = fused && a.residual;
  VTL_ASSIGN(auto plans, b.lt->plans(problem, b.workspace_bytes, choice + 1));
  if (plans.empty())
    return unavailable("{}: cuBLASLt has no algorithm for {}×{}×{} in {}; use another --precision", where,
                       a.m, a.n, a.k, type_name(p.type));
  EpilogueArgs e;
  void* to = wide ? static_cast<void*>(b.scratch) : a.d;
  e.x = to;
  e.bias = a.bias, e.col_scale = a.col_scale;
  e.residual = a.residual, e.residual_type = a.out, e.residual_rows = a.residual_rows;
  e.y = a.d;
  e.rows = a.m, e.columns = a.n;
  e.from = problem.out, e.to = a.out;
  e.activation = a.activation;
  e.exact = p.type == Type::kF32;
  const auto last = std::min(plans.size() - 1, static_cast<size_t>(choice));
  return std::unique_ptr<Launch>(
      std::make_unique<LtLaunch>(*b.lt, plans[last], a, to, b.workspace, fused, e, where));
}

}  // namespace

std::string refuse_lt(const Product& p) {
  if (p.type == Type::kS8 || p.type == Type::kU8) return "integer products have no float epilogue there";
  if (p.args.stats || p.args.stats_out || p.args.d8)
    return "the fused LayerNorm or 8-bit output needs Vitrail's kernel";
  if (p.type == Type::kE4M3 && (p.args.k % 16 || p.args.n % 16)) return "FP8 needs multiples of 16";
  return "";
}

int64_t lt_scratch_bytes(const Product& p) {
  return p.type == Type::kE4M3 ? p.args.m * p.args.n * static_cast<int64_t>(sizeof(float)) : 0;
}

Result<std::unique_ptr<Launch>> bind_product(const Product& p, const std::string& config, const Binding& b,
                                             const std::string& where, ValueId stats) {
  const std::string_view prefix = kLtPrefix;
  if (config.starts_with(prefix)) {
    int choice = 0;
    std::from_chars(config.data() + prefix.size(), config.data() + config.size(), choice);
    return bind_lt(p, std::clamp(choice, 0, 15), b, where);
  }
  GemmConfig chosen;
  GemmPlan plan;
  cudaError_t error = cudaErrorInvalidValue;
  if (GemmConfig::parse(config, &chosen))
    error = plan_gemm(p.type, p.args, chosen, b.device->multiprocessors, &plan);
  // No tactic, or one of another version: the likely best.
  if (error != cudaSuccess)
    for (const GemmConfig& c : gemm_candidates(p.type, p.args, b.device->multiprocessors)) {
      error = plan_gemm(p.type, p.args, c, b.device->multiprocessors, &plan);
      if (error == cudaSuccess) break;
    }
  if (error != cudaSuccess) return cuda_status(error, where);
  if (stats != kNoValue) b.stats_widths[static_cast<size_t>(stats)] = plan.config.stats_width();
  return kernel_launch(where, [plan, type = p.type](cudaStream_t stream, bool dependent) {
    return launch_gemm(type, plan, stream, dependent);
  });
}

}  // namespace vitrail::cuda
