// SPDX-License-Identifier: Apache-2.0
#include "workflow/measure.h"

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

}  // namespace

Status measure_engine(const std::string& engine_path, MeasureOptions options, BenchReport& report) {
  VTL_ASSIGN(const OpenedEngine opened, open_engine(engine_path, {options.isa, options.bench.threads}));
  const EngineInfo& info = opened.engine->info;
  // A device's peak cannot be read off the host's cores.
  if (runs_on_host(info.backend))
    options.bench.peak_gflops = cpu::measure_fma_peak_gflops(options.bench.threads * options.bench.streams);

  BenchSubject subject;
  subject.layers = info.layers;
  subject.model = info.model_name;
  subject.engine_hash = opened.engine->hash;
  subject.backend = info.backend;
  subject.precision = info.precision;
  subject.isa = opened.isa;
  subject.gpu = opened.program->device_info();
  subject.layer_bytes = [&](int64_t batch) {
    std::vector<double> bytes;
    for (const Node& node : opened.engine->graph->nodes)
      bytes.push_back(traffic_bytes(*opened.engine->graph, node, batch));
    return bytes;
  };
  subject.library_us = [&](int64_t batch) { return opened.program->library_us(batch); };
  subject.runner = fmt::format("vitrail {}", version());
  subject.planned_bytes = [&](int64_t batch) {
    const auto plan = opened.program->plan(batch, options.bench.threads);
    return plan.ok() ? plan->total() : 0;
  };
  // A session for each configuration, so that its memory is that of this batch size alone.
  std::shared_ptr<Session> session;
  std::shared_ptr<std::vector<Buffers>> buffers;
  subject.device_times = [&buffers](int stream) { return (*buffers)[static_cast<size_t>(stream)].times; };
  subject.device_bytes = [&session] { return session->device_bytes(); };
  subject.prepare = [&](int64_t batch, int streams) -> Result<BenchSubject::Run> {
    session.reset();
    SessionOptions session_options;
    session_options.streams = streams;
    session_options.threads = options.bench.threads;
    session_options.max_batch = batch;
    session_options.workspace_bytes = options.workspace_bytes;
    VTL_ASSIGN(session, Session::create(opened.engine, opened.program, session_options));
    buffers = std::make_shared<std::vector<Buffers>>();
    for (int i = 0; i < streams; ++i) {
      VTL_ASSIGN(Buffers b, Buffers::make(*opened.program, *opened.engine->graph, batch));
      buffers->push_back(std::move(b));
    }
    return BenchSubject::Run([session, buffers](int stream, Observer* observer) {
      Buffers& b = (*buffers)[static_cast<size_t>(stream)];
      return session->run(b.input_views, b.output_views, observer, &b.times);
    });
  };
  return run_bench(subject, options.bench, report);
}

}  // namespace vitrail
