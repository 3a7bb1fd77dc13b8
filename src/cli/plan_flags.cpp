// SPDX-License-Identifier: Apache-2.0
#include "cli/plan_flags.h"

#include "core/error.h"

namespace vitrail::cli {
namespace {

// "sm_75" … "sm_120", "current" or "all".
bool is_target(const std::string& text) {
  if (text.empty() || text == "current" || text == "all") return true;
  return text.size() >= 5 && text.size() <= 6 && text.starts_with("sm_") &&
         text.find_first_not_of("0123456789", 3) == std::string::npos;
}

constexpr const char* kFlags[] = {"--opt-level",           "--target",        "--version-compatible",
                                  "--hardware-compatible", "--strip-weights", "--refit",
                                  "--plugins",             "--save-engine",   "--load-engine",
                                  "--calibration-cache"};

}  // namespace

void PlanFlags::add(CLI::App& verb) {
  verb_ = &verb;
  verb.add_option("--opt-level", plan.opt_level, "tensorrt: how long the builder may search, 0 to 5")
      ->check(CLI::Range(0, 5));
  verb.add_option(
      "--target", plan.target,
      "tensorrt: GPU to build for: current, or sm_75 …, all (TensorRT-RTX alone; its default is all)");
  verb.add_flag("--version-compatible", plan.version_compatible,
                "tensorrt: the engine runs in later versions of it too");
  verb.add_flag("--hardware-compatible", plan.hardware_compatible,
                "tensorrt: the engine runs on every GPU from Ampere on");
  verb.add_flag("--strip-weights", plan.strip_weights,
                "tensorrt: the plan holds no weights; they are put in when it is loaded");
  verb.add_option("--calibration-cache", plan.calibration.cache,
                  "tensorrt 8.5 to 10, int8: TensorRT's calibration table; read where it exists, else written by --calibrate");
  verb.add_option("--plugins", plan.plugins,
                  "tensorrt: Vitrail's attention and LayerNorm kernels in the plan: off, on, or auto (both are timed, on a GPU); "
                  "without the option on for fp16 and int8 with 8.x, unless a bare plan is saved")
      ->check(CLI::IsMember({"off", "on", "auto"}));
  verb.add_flag("--refit", plan.refit, "tensorrt: `vitrail refit` may exchange the weights");
}

Status PlanFlags::apply(BuildOptions& options) const {
  if (options.backend != "tensorrt")
    for (const char* flag : kFlags)
      if (const CLI::Option* option = verb_->get_option_no_throw(flag); option && option->count() > 0)
        return usage_error("{} is for --backend tensorrt, not for {}", flag, options.backend);
  if (!is_target(plan.target))
    return usage_error("--target '{}': write it as sm_75, sm_90, …, current or all", plan.target);
  if (!plan.load_plan.empty() &&
      (plan.strip_weights || plan.refit || plan.opt_level >= 0 || !plan.target.empty() ||
       (!plan.plugins.empty() && plan.plugins != "off")))
    return usage_error(
        "--load-engine takes a plan as it was built: give no options of the builder beside it");
  if (!plan.calibration.cache.empty() && options.precision != "int8")
    return usage_error("--calibration-cache is for --precision int8, not for {}", options.precision);
  options.plan = plan;
  return {};
}

}  // namespace vitrail::cli
