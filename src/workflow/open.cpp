// SPDX-License-Identifier: Apache-2.0
#include "workflow/open.h"

#include "api/backends.h"
#include "backends/cpu/isa.h"
#include "core/clock.h"

namespace vitrail {

bool runs_on_host(std::string_view backend) { return backend == "cpu" || backend == "reference"; }

Result<OpenedEngine> open_engine(const std::string& path, const OpenOptions& options) {
  const int64_t start = steady_nanoseconds();
  OpenedEngine opened;
  VTL_ASSIGN(Engine engine, load_engine(path, options.threads));
  opened.engine = std::make_shared<const Engine>(std::move(engine));
  opened.backends = make_backends();
  VTL_ASSIGN(const Backend* backend, opened.backends.find(opened.engine->info.backend));
  VTL_ASSIGN(opened.program, backend->load(opened.engine->graph, {options.isa}));
  if (runs_on_host(opened.engine->info.backend))
    opened.isa = options.isa.empty() ? std::string(cpu::isa_name(cpu::best_isa())) : options.isa;
  opened.load_seconds = static_cast<double>(steady_nanoseconds() - start) * 1e-9;
  return opened;
}

}  // namespace vitrail
