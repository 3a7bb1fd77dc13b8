// SPDX-License-Identifier: Apache-2.0
#include "workflow/refit.h"

#include "core/error.h"
#include "workflow/build_record.h"

namespace vitrail {

Result<BuildOutcome> refit_engine(const std::string& engine, const std::string& weights, const std::string& output,
                                  const RefitOptions& options) {
  VTL_ASSIGN(Engine loaded, load_engine(engine, options.threads));
  VTL_ASSIGN(BuildOptions build, recorded_options(loaded.info, engine));
  build.model.preprocess_file = options.preprocess_file;
  build.model.labels_file = options.labels_file;
  build.model.otherwise = loaded.info.preprocess;
  build.refit = std::make_shared<const Engine>(std::move(loaded));
  build.refit_name = engine;
  build.threads = options.threads;
  build.progress = options.progress;
  return build_engine(weights, output, build);
}

}  // namespace vitrail
