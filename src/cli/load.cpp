// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>

#include "cli/common.h"
#include "cli/verbs.h"
#include "client/load.h"
#include "core/error.h"
#include "core/files.h"
#include "preprocess/dataset.h"
#include "vitrail/client.h"
#include "vitrail/image.h"

namespace vitrail::cli {
namespace {

struct LoadFlags {
  client::LoadOptions options;
  std::string url = "localhost:8000", model, images;
  std::vector<int> concurrency{1};
  std::vector<double> rates;
  int64_t batch = 1;
  double timeout = 60;
  bool json = false;
};

// What the server says of the model between two moments: totals in nanoseconds and counts.
struct ServerSide {
  double inferences = 0, executions = 0, requests = 0, request_ns = 0, queue_ns = 0, input_ns = 0, infer_ns = 0, output_ns = 0;
};

ServerSide server_side(const LoadFlags& flags) {
  ServerSide side;
  auto client = Client::create(flags.url);
  if (!client.ok()) return side;
  const auto text = client->get("/v2/models/" + flags.model + "/stats");
  if (!text.ok()) return side;  // a server without statistics
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  try {
    for (const auto& model : json.at("model_stats")) {
      const auto& s = model.at("inference_stats");
      side.inferences += model.at("inference_count").get<double>();
      side.executions += model.at("execution_count").get<double>();
      side.requests += s.at("success").at("count").get<double>();
      side.request_ns += s.at("success").at("ns").get<double>();
      side.queue_ns += s.at("queue").at("ns").get<double>();
      side.input_ns += s.at("compute_input").at("ns").get<double>();
      side.infer_ns += s.at("compute_infer").at("ns").get<double>();
      side.output_ns += s.at("compute_output").at("ns").get<double>();
    }
  } catch (const nlohmann::json::exception&) {
    return {};
  }
  return side;
}

ServerSide difference(const ServerSide& after, const ServerSide& before) {
  return {after.inferences - before.inferences, after.executions - before.executions, after.requests - before.requests,
          after.request_ns - before.request_ns, after.queue_ns - before.queue_ns,     after.input_ns - before.input_ns,
          after.infer_ns - before.infer_ns,     after.output_ns - before.output_ns};
}

// Numbers of a normal distribution for floats, zeros else.
Result<std::vector<NamedTensor>> random_inputs(const Client::ModelInfo& model, int64_t batch) {
  std::vector<NamedTensor> inputs;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const TensorInfo& info : model.inputs) {
    Shape shape = info.shape;
    for (int64_t& extent : shape)
      if (extent == -1) extent = batch;
    if (info.dtype == DType::kUndefined) return unavailable("input '{}' has a datatype that is not known here", info.name);
    Tensor tensor(info.dtype, shape);
    if (info.dtype == DType::kF32)
      for (float& v : tensor.as_mutable<float>()) v = normal(random);
    inputs.push_back({info.name, std::move(tensor)});
  }
  return inputs;
}

nlohmann::ordered_json to_json(const client::LoadResult& r, const ServerSide& s, int64_t rows) {
  nlohmann::ordered_json faults = nlohmann::ordered_json::object();
  for (const auto& [message, count] : r.faults) faults[message] = count;
  nlohmann::ordered_json json = {{"request_count", r.latencies_us.size()},
                                 {"failed", r.failed_us.size()},
                                 {"failed_p99_us", client::percentile(r.failed_us, 99)},
                                 {"late", r.late},
                                 {"seconds", r.seconds},
                                 {"infer_per_second", r.per_second() * static_cast<double>(rows)},
                                 {"avg_latency_us", r.mean_us()},
                                 {"std_latency_us", r.deviation_us()}};
  for (const int p : {50, 90, 95, 99}) json[fmt::format("p{}_latency_us", p)] = client::percentile(r.latencies_us, p);
  json["faults"] = faults;
  if (s.requests > 0)
    json["server"] = {{"inference_count", s.inferences},
                      {"execution_count", s.executions},
                      {"successful_request_count", s.requests},
                      {"avg_request_latency_us", s.request_ns / s.requests / 1e3},
                      {"queue_us", s.queue_ns / s.requests / 1e3},
                      {"compute_input_us", s.input_ns / s.requests / 1e3},
                      {"compute_infer_us", s.infer_ns / s.requests / 1e3},
                      {"compute_output_us", s.output_ns / s.requests / 1e3}};
  return json;
}

// As perf_analyzer prints it.
std::string to_text(const client::LoadResult& r, const ServerSide& s, int64_t rows) {
  std::string text = fmt::format(
      "  Client:\n    Request count: {}\n    Throughput: {:.2f} infer/sec\n    Avg latency: {:.0f} usec (standard deviation {:.0f} "
      "usec)\n",
      r.latencies_us.size(), r.per_second() * static_cast<double>(rows), r.mean_us(), r.deviation_us());
  for (const int p : {50, 90, 95, 99}) text += fmt::format("    p{} latency: {:.0f} usec\n", p, client::percentile(r.latencies_us, p));
  if (r.late > 0) text += fmt::format("    Late by more than 1 ms: {}\n", r.late);
  if (!r.failed_us.empty())
    text += fmt::format("    Failed: {} (p99 {:.0f} usec)\n", r.failed_us.size(), client::percentile(r.failed_us, 99));
  for (const auto& [message, count] : r.faults) text += fmt::format("      {} × {}\n", count, message);
  if (s.requests <= 0) return text;
  const auto us = [&](double ns) { return ns / s.requests / 1e3; };
  const double parts = us(s.queue_ns) + us(s.input_ns) + us(s.infer_ns) + us(s.output_ns);
  return text + fmt::format(
                    "  Server:\n    Inference count: {:.0f}\n    Execution count: {:.0f}\n    Successful request count: {:.0f}\n"
                    "    Avg request latency: {:.0f} usec (overhead {:.0f} usec + queue {:.0f} usec + compute input {:.0f} usec "
                    "+ compute infer {:.0f} usec + compute output {:.0f} usec)\n",
                    s.inferences, s.executions, s.requests, us(s.request_ns), std::max(0.0, us(s.request_ns) - parts),
                    us(s.queue_ns), us(s.input_ns), us(s.infer_ns), us(s.output_ns));
}

struct Payload {
  std::vector<NamedTensor> inputs;
  std::vector<std::string> pictures;
  int64_t rows = 1;
};

Result<Payload> payload_of(const LoadFlags& flags) {
  Payload payload;
  if (!flags.images.empty()) {
    VTL_ASSIGN(const auto files, list_images(flags.images));
    for (const std::string& path : files) {
      VTL_ASSIGN(std::string file, read_file(path, kMaxImageFileBytes));
      payload.pictures.push_back(std::move(file));
    }
    return payload;
  }
  VTL_ASSIGN(Client client, Client::create(flags.url));
  VTL_ASSIGN(const Client::ModelInfo model, client.model(flags.model));
  VTL_ASSIGN(payload.inputs, random_inputs(model, flags.batch));
  payload.rows = flags.batch;
  return payload;
}

Status run_one(const LoadFlags& flags, const Payload& payload, const client::LoadOptions& options,
               client::LoadResult& result) {
  const int clients = options.rate > 0 ? options.max_in_flight : options.concurrency;
  std::vector<Client> connections;
  for (int i = 0; i < clients; ++i) {
    VTL_ASSIGN(Client c, Client::create(flags.url, std::chrono::milliseconds(static_cast<int64_t>(flags.timeout * 1000))));
    connections.push_back(std::move(c));
  }
  return client::run_load(
      options,
      [&](int client, int64_t number) {
        Client& connection = connections[static_cast<size_t>(client)];
        if (payload.pictures.empty()) return connection.infer(flags.model, payload.inputs).status();
        const std::string& picture = payload.pictures[static_cast<size_t>(number) % payload.pictures.size()];
        return connection.classify(flags.model, std::as_bytes(std::span(picture))).status();
      },
      result);
}

Status run(const LoadFlags& flags) {
  VTL_ASSIGN(const Payload payload, payload_of(flags));
  std::vector<client::LoadOptions> runs;
  for (const double rate : flags.rates) {
    if (!(rate > 0)) return usage_error("--request-rate {}: it must be above 0", rate);
    runs.push_back(flags.options);
    runs.back().rate = rate;
  }
  for (const int concurrency : flags.concurrency) {
    if (!flags.rates.empty()) break;
    runs.push_back(flags.options);
    runs.back().concurrency = concurrency;
  }
  auto list = nlohmann::ordered_json::array();
  bool any = false;
  for (const client::LoadOptions& options : runs) {
    client::LoadResult result;
    const ServerSide before = server_side(flags);
    const Status status = run_one(flags, payload, options, result);
    const ServerSide during = difference(server_side(flags), before);
    any = any || !result.latencies_us.empty();
    const std::string title = options.rate > 0 ? fmt::format("Request rate: {} ({})", options.rate, options.poisson ? "poisson" : "constant")
                                               : fmt::format("Request concurrency: {}", options.concurrency);
    if (flags.json) {
      auto json = to_json(result, during, payload.rows);
      if (options.rate > 0)
        json["request_rate"] = options.rate;
      else
        json["concurrency"] = options.concurrency;
      list.push_back(std::move(json));
    } else {
      print(title + "\n" + to_text(result, during, payload.rows));
    }
    if (!status.ok()) {
      if (flags.json) print_json({{"model", flags.model}, {"results", list}});
      return status;
    }
  }
  if (flags.json) print_json({{"model", flags.model}, {"results", list}});
  return any ? Status() : check_failed("no request was answered");
}

}  // namespace

void add_load(CLI::App& app, Action& action) {
  auto flags = std::make_shared<LoadFlags>();
  CLI::App* verb = app.add_subcommand("load", "Send load to a server and measure its answers");
  verb->add_option("-u,--url", flags->url, "Address of the server's HTTP port; https://host:port for TLS")->capture_default_str();
  verb->add_option("-m,--model", flags->model, "Model")->required();
  verb->add_option("--concurrency", flags->concurrency, "Closed loop: clients that send as soon as they have their answer; one run each")
      ->delimiter(',')
      ->capture_default_str();
  verb->add_option("--request-rate", flags->rates, "Requests a second, sent on time whatever the answers do; one run each")
      ->delimiter(',');
  verb->add_flag("--poisson", flags->options.poisson, "Exponential intervals at that rate instead of equal ones");
  verb->add_option("-b,--batch", flags->batch, "Rows of a request")->check(CLI::PositiveNumber)->capture_default_str();
  verb->add_option("--images", flags->images, "Folder: send its pictures to /classify instead of random tensors");
  verb->add_option("--warm-up", flags->options.warm_up_seconds, "Seconds that do not count")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  verb->add_option("--duration", flags->options.seconds, "Seconds that count")->check(CLI::Range(0.01, 86400.0))->capture_default_str();
  verb->add_option("--timeout", flags->timeout, "Seconds for an answer")->check(CLI::Range(0.001, 86400.0))->capture_default_str();
  verb->add_option("--max-in-flight", flags->options.max_in_flight, "Clients at the most, with --request-rate")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  verb->add_option("--seed", flags->options.seed, "Of the Poisson intervals")->capture_default_str();
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace vitrail::cli
