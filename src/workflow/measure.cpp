// SPDX-License-Identifier: Apache-2.0
#include "workflow/measure.h"

#include <malloc.h>

#include <algorithm>

#include "backends/cpu/kernels/kernels.h"
#include "core/error.h"
#include "graph/cost.h"
#include "vitrail/version.h"
#include "workflow/open.h"
#include "workflow/samples.h"

namespace vitrail {
namespace {

// Inputs and outputs of one stream at one batch size.
struct Buffers {
  std::vector<NamedTensor> inputs, outputs;
  std::vector<NamedView> input_views;
  std::vector<NamedMutableView> output_views;
  std::optional<DeviceTimes> times;  // of the last batch

  // In memory that the device reads by itself, where the backend has such.
  static Tensor tensor(const Program& program, const Value& value, int64_t batch) {
    const Shape shape = at_batch(*value.shape, batch);
    const auto bytes = static_cast<size_t>(element_count(shape)) * dtype_size(value.dtype);
    const std::shared_ptr<void> host = program.allocate_host(bytes);
    return host ? Tensor(value.dtype, shape, host.get(), host) : Tensor(value.dtype, shape);
  }

  static Result<Buffers> make(const Program& program, const Graph& graph, int64_t batch) {
    Buffers b;
    const SampleSource random = random_samples(graph, batch);
    for (ValueId id : graph.inputs)
      b.inputs.push_back({graph.value(id).name, tensor(program, graph.value(id), batch)});
    for (int64_t i = 0; i < batch; ++i) {
      VTL_ASSIGN(const auto sample, random.load(i));
      for (size_t k = 0; k < sample.size(); ++k) {
        const Tensor& row = sample[k].tensor;
        if (row.bytes() * static_cast<size_t>(i + 1) <= b.inputs[k].tensor.bytes())
          std::copy_n(static_cast<const std::byte*>(row.data()), row.bytes(),
                      static_cast<std::byte*>(b.inputs[k].tensor.mutable_data()) +
                          row.bytes() * static_cast<size_t>(i));
      }
    }
    for (ValueId id : graph.outputs)
      b.outputs.push_back({graph.value(id).name, tensor(program, graph.value(id), batch)});
    for (const NamedTensor& t : b.inputs) b.input_views.push_back({t.name, t.tensor.view()});
    for (NamedTensor& t : b.outputs) b.output_views.push_back({t.name, t.tensor.mutable_view()});
    return b;
  }
};

// An open engine and what its subject's functions work on: a session for each configuration, so that its memory is that of
// this batch size alone.
struct Measured {
  OpenedEngine opened;
  std::shared_ptr<Session> session;
  std::vector<Buffers> buffers;  // by stream
};

Result<BenchSubject> subject_of(Measured& m, const MeasureOptions& options) {
  const EngineInfo& info = m.opened.engine->info;
  BenchSubject subject;
  subject.layers = info.layers;
  subject.model = info.model_name;
  subject.engine_hash = m.opened.engine->hash;
  subject.backend = info.backend;
  subject.precision = info.precision;
  subject.isa = m.opened.isa;
  subject.gpu = m.opened.program->device_info();
  subject.layer_bytes = [&m](int64_t batch) {
    std::vector<double> bytes;
    for (const Node& node : m.opened.engine->graph->nodes)
      bytes.push_back(traffic_bytes(*m.opened.engine->graph, node, batch));
    return bytes;
  };
  subject.library_us = [&m](int64_t batch) { return m.opened.program->library_us(batch); };
  subject.runner = fmt::format("vitrail {}", version());
  subject.planned_bytes = [&m, threads = options.bench.threads](int64_t batch) {
    const auto plan = m.opened.program->plan(batch, threads);
    return plan.ok() ? plan->total() : 0;
  };
  subject.device_times = [&m](int stream) { return m.buffers[static_cast<size_t>(stream)].times; };
  subject.device_bytes = [&m] { return m.session->device_bytes(); };
  subject.prepare = [&m, threads = options.bench.threads, workspace = options.workspace_bytes](
                        int64_t batch, int streams) -> Result<BenchSubject::Run> {
    m.session.reset();
    m.buffers.clear();
    SessionOptions session_options;
    session_options.streams = streams;
    session_options.threads = threads;
    session_options.max_batch = batch;
    session_options.workspace_bytes = workspace;
    VTL_ASSIGN(m.session, Session::create(m.opened.engine, m.opened.program, session_options));
    for (int i = 0; i < streams; ++i) {
      VTL_ASSIGN(Buffers b, Buffers::make(*m.opened.program, *m.opened.engine->graph, batch));
      m.buffers.push_back(std::move(b));
    }
    return BenchSubject::Run([&m](int stream, Observer* observer) {
      Buffers& b = m.buffers[static_cast<size_t>(stream)];
      return m.session->run(b.input_views, b.output_views, observer, &b.times);
    });
  };
  return subject;
}

// A device's peak cannot be read off the host's cores.
void find_peaks(const Measured& m, BenchOptions& bench) {
  const EngineInfo& info = m.opened.engine->info;
  if (!runs_on_host(info.backend)) return;
  const int threads = bench.threads * bench.streams;
  if (!bench.peak_gflops) bench.peak_gflops = cpu::measure_fma_peak_gflops(threads);
  const auto in_bytes = [](const LayerReport& layer) { return layer.precision == dtype_name(DType::kI8); };
  if (!bench.peak_int8_gflops && std::ranges::any_of(info.layers, in_bytes))
    bench.peak_int8_gflops = cpu::measure_byte_peak_gops(threads);
}

}  // namespace

Status measure_engine(const std::string& engine_path, MeasureOptions options, BenchReport& report) {
  Measured measured;
  VTL_ASSIGN(measured.opened, open_engine(engine_path, {options.isa, options.bench.threads}));
  find_peaks(measured, options.bench);
  VTL_ASSIGN(const BenchSubject subject, subject_of(measured, options));
  return run_bench(subject, options.bench, report);
}

Status measure_engines(const std::vector<std::string>& engines, MeasureOptions options, int rounds,
                       std::vector<BenchReport>& reports) {
  reports.clear();
  // Each alone for its memory: one batch of each size.
  MeasureOptions alone = options;
  alone.bench.warm_up = 0;
  alone.bench.iterations = 1;
  alone.bench.layers = false;
  alone.bench.max_seconds.reset();
  alone.bench.progress = nullptr;
  std::vector<BenchReport> memory(engines.size());
  for (size_t i = 0; i < engines.size(); ++i) {
    ::malloc_trim(0);
    VTL_TRY(measure_engine(engines[i], alone, memory[i]).with_context(engines[i]));
  }
  std::vector<Measured> measured(engines.size());
  std::vector<BenchSubject> subjects;
  for (size_t i = 0; i < engines.size(); ++i) {
    VTL_ASSIGN(measured[i].opened, open_engine(engines[i], {options.isa, options.bench.threads}));
    find_peaks(measured[i], options.bench);
    VTL_ASSIGN(BenchSubject subject, subject_of(measured[i], options));
    subjects.push_back(std::move(subject));
  }
  const Status status = run_bench_in_turns(subjects, options.bench, rounds, reports);
  for (size_t i = 0; i < reports.size(); ++i) {
    reports[i].peak_rss_resettable = memory[i].peak_rss_resettable;
    for (BenchResult& result : reports[i].results)
      for (const BenchResult& m : memory[i].results)
        if (m.batch == result.batch) result.peak_rss_bytes = m.peak_rss_bytes;
  }
  return status;
}

}  // namespace vitrail
