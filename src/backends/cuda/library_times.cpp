// SPDX-License-Identifier: Apache-2.0
// What cuBLASLt takes for the bare products of a model: the ceiling that `bench --layers` puts beside each
// layer.
#include <algorithm>
#include <map>
#include <tuple>

#include "backends/cuda/product.h"
#include "backends/cuda/program.h"
#include "backends/cuda/steps/steps.h"
#include "backends/cuda/timing.h"
#include "core/error.h"

namespace vitrail::cuda {
namespace {

constexpr int kTimed = 12;

bool is_product(const Node& node) {
  const std::string kernel = node.text("kernel", "");
  return kernel == "gemm_wgmma" || kernel == "cublaslt" || node.text("product", "") == "gemm_wgmma" ||
         node.text("product", "") == "cublaslt";
}

LtProblem problem_of(const Product& p) {
  LtProblem problem;
  problem.m = p.args.m, problem.n = p.args.n, problem.k = p.args.k;
  problem.in = p.type;
  problem.out = p.type == Type::kS8 ? Type::kF32 : p.type == Type::kE4M3 ? Type::kF16 : p.type;
  problem.tf32 = p.tf32;
  return problem;
}

int64_t bytes_of_a(const LtProblem& p) { return (p.m * p.k * type_size(p.in) + 255) / 256 * 256; }
int64_t bytes_of_b(const LtProblem& p) { return (p.n * p.k * type_size(p.in) + 255) / 256 * 256; }
int copies_of_b(const LtProblem& p) { return copies_that_leave_the_cache(bytes_of_b(p), kTimed); }
int64_t bytes_of(const LtProblem& p) {
  return bytes_of_a(p) + bytes_of_b(p) * copies_of_b(p) + p.m * p.n * type_size(p.out);
}

class LibraryTimer {
 public:
  static Result<std::unique_ptr<LibraryTimer>> create(int64_t bytes) {
    auto t = std::make_unique<LibraryTimer>();
    VTL_ASSIGN(t->lt_, Lt::open());
    VTL_ASSIGN(t->memory_,
               allocate_device(static_cast<size_t>(bytes), "the operands of cuBLASLt's products"));
    VTL_ASSIGN(t->workspace_, allocate_device(kLtWorkspaceBytes, "the workspace of cuBLASLt"));
    VTL_ASSIGN(t->stream_, make_stream());
    VTL_TRY(fill_with_numbers(t->memory_, "the operands of cuBLASLt's products"));
    return t;
  }

  // Microseconds of the library's favourite algorithm, in a CUDA graph; 0 where it has none.
  Result<double> time(const LtProblem& p) {
    VTL_ASSIGN(const auto plans, lt_->plans(p, kLtWorkspaceBytes, 1));
    if (plans.empty()) return 0.0;
    const std::byte *a = memory_.data(), *b = a + bytes_of_a(p);
    std::byte* d = memory_.data() + bytes_of_a(p) + bytes_of_b(p) * copies_of_b(p);
    return graph_microseconds(
        stream_.get(), kTimed,
        [&](int i) {
          return lt_->run(*plans[0], a, b + bytes_of_b(p) * (i % copies_of_b(p)), nullptr, nullptr, d,
                          workspace_.data(), stream_.get());
        },
        "cuBLASLt");
  }

 private:
  std::shared_ptr<Lt> lt_;
  DeviceMemory memory_, workspace_;
  Stream stream_;
};

}  // namespace

Result<std::vector<double>> CudaProgram::library_us(int64_t batch) const {
  std::vector<double> out(graph_->nodes.size());
  int64_t bytes = 0;
  for (const Node& node : graph_->nodes)
    if (is_product(node)) bytes = std::max(bytes, bytes_of(problem_of(product_of(*graph_, node, batch))));
  if (bytes == 0) return out;
  VTL_ASSIGN(const auto timer, LibraryTimer::create(bytes));
  std::map<std::tuple<int64_t, int64_t, int64_t, Type, bool>, double> known;
  for (size_t i = 0; i < out.size(); ++i) {
    if (!is_product(graph_->nodes[i])) continue;
    const LtProblem p = problem_of(product_of(*graph_, graph_->nodes[i], batch));
    const auto [at, is_new] = known.try_emplace({p.m, p.n, p.k, p.in, p.tf32}, 0.0);
    if (is_new) {
      VTL_ASSIGN(at->second, timer->time(p));
    }
    out[i] = at->second;
  }
  return out;
}

}  // namespace vitrail::cuda
