// SPDX-License-Identifier: Apache-2.0
// TensorRT as one of the peers of peers_cuda.py (--tensorrt PROGRAM), for machines whose Python has no
// binding of it.
//
//   tensorrt_peer MODEL.onnx --precision fp32|fp16 --shape 8 3 224 224 [--plan FILE] [--workspace-mib 8192]
//   [--own-kernels]
//
// The engine is built for this one shape, or read from FILE, which is written when it is not there yet. It is
// launched as a CUDA graph. --own-kernels builds it without cuBLAS, as TensorRT 10 does unless told
// otherwise. What it answers is a line of JSON after "@vitrail-peer ": first its version, then for each line
// of standard input, a count, the times of that many batches. Copies are from and to pinned memory, as those
// of the other peers.
#include <NvInfer.h>
#include <NvOnnxParser.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>
#include <numeric>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Options {
  std::string model, precision = "fp16", plan;
  std::vector<int> shape;
  size_t workspace_mib = 8192;
  bool own_kernels = false;
};

class Logger : public nvinfer1::ILogger {
 public:
  void log(Severity severity, const char* message) noexcept override {
    if (severity <= Severity::kERROR) last_error = message;
    if (severity <= Severity::kWARNING) std::cerr << "tensorrt: " << message << '\n';
  }
  std::string last_error;
};

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) fail(std::string(what) + ": " + cudaGetErrorString(status));
}

template <typename T>
std::unique_ptr<T> need(T* made, const char* what, const Logger& logger) {
  if (!made) fail(std::string("no ") + what + ": " + logger.last_error);
  return std::unique_ptr<T>(made);
}

Options parse(int argc, char** argv) {
  Options options;
  const std::vector<std::string> words(argv + 1, argv + argc);
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const auto value = [&]() -> const std::string& {
      if (++i == words.size()) fail(word + " needs a value");
      return words[i];
    };
    if (word == "--precision")
      options.precision = value();
    else if (word == "--plan")
      options.plan = value();
    else if (word == "--workspace-mib")
      options.workspace_mib = std::stoul(value());
    else if (word == "--own-kernels")
      options.own_kernels = true;
    else if (word == "--shape")
      while (i + 1 < words.size() && words[i + 1].rfind("--", 0) != 0)
        options.shape.push_back(std::stoi(words[++i]));
    else if (word.rfind("--", 0) != 0 && options.model.empty())
      options.model = word;
    else
      fail("unknown argument " + word);
  }
  if (options.model.empty()) fail("no model given");
  if (options.shape.size() != 4 || *std::min_element(options.shape.begin(), options.shape.end()) < 1)
    fail("--shape needs four numbers above 0");
  if (options.precision != "fp32" && options.precision != "fp16")
    fail("unknown precision " + options.precision);
  return options;
}

nvinfer1::Dims dims(const std::vector<int>& shape) {
  nvinfer1::Dims result{};
  result.nbDims = static_cast<int>(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) result.d[i] = shape[i];
  return result;
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string build(const Options& options, Logger& logger) {
  const auto builder = need(nvinfer1::createInferBuilder(logger), "builder", logger);
  const auto explicit_batch =
      1U << static_cast<uint32_t>(nvinfer1::NetworkDefinitionCreationFlag::kEXPLICIT_BATCH);
  const auto network = need(builder->createNetworkV2(explicit_batch), "network", logger);
  const auto parser = need(nvonnxparser::createParser(*network, logger), "parser", logger);
  if (!std::filesystem::exists(options.model)) fail(options.model + " does not exist");
  if (!parser->parseFromFile(options.model.c_str(), static_cast<int>(nvinfer1::ILogger::Severity::kWARNING)))
    fail("TensorRT does not read " + options.model + ": " +
         (parser->getNbErrors() ? parser->getError(0)->desc() : "no reason given"));
  const auto config = need(builder->createBuilderConfig(), "builder configuration", logger);
  config->setMemoryPoolLimit(nvinfer1::MemoryPoolType::kWORKSPACE, options.workspace_mib << 20);
  if (options.precision == "fp32") config->clearFlag(nvinfer1::BuilderFlag::kTF32);
  if (options.precision == "fp16") config->setFlag(nvinfer1::BuilderFlag::kFP16);
  // Without cuDNN, as TensorRT 8.6 and later do by default: a ViT has one convolution, and TensorRT brings
  // kernels for it.
  using Source = nvinfer1::TacticSource;
  auto sources = config->getTacticSources();
  for (const Source source : {Source::kCUDNN, Source::kCUBLAS, Source::kCUBLAS_LT})
    if (source == Source::kCUDNN || options.own_kernels) sources &= ~(1U << static_cast<uint32_t>(source));
  config->setTacticSources(sources);
  network->getInput(0)->setDimensions(dims(options.shape));  // no dynamic shape is left
  const auto plan = need(builder->buildSerializedNetwork(*network, *config), "engine", logger);
  return {static_cast<const char*>(plan->data()), plan->size()};
}

std::string plan_of(const Options& options, Logger& logger) {
  if (!options.plan.empty() && std::filesystem::exists(options.plan)) return read_file(options.plan);
  const auto start = std::chrono::steady_clock::now();
  std::string plan = build(options, logger);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::cerr << "built for batch " << options.shape[0] << " in " << seconds.count() << " s, "
            << (plan.size() >> 20) << " MiB\n";
  if (!options.plan.empty()) {  // under another name first: a build that is cut off leaves no half a plan
    const std::string part = options.plan + ".part";
    std::ofstream(part, std::ios::binary)
        .write(plan.data(), static_cast<std::streamsize>(plan.size()))
        .flush();
    std::filesystem::rename(part, options.plan);
  }
  return plan;
}

int64_t elements(const nvinfer1::Dims& shape) {
  return std::accumulate(shape.d, shape.d + shape.nbDims, int64_t{1}, std::multiplies<>());
}

class Engine {
 public:
  Engine(const Options& options, const std::string& plan, Logger& logger)
      : runtime_(need(nvinfer1::createInferRuntime(logger), "runtime", logger)),
        engine_(
            need(runtime_->deserializeCudaEngine(plan.data(), plan.size()), "engine from the plan", logger)),
        context_(need(engine_->createExecutionContext(), "execution context", logger)) {
    if (engine_->getNbIOTensors() != 2) fail("the model must have one input and one output");
    const char *in = engine_->getIOTensorName(0), *out = engine_->getIOTensorName(1);
    if (engine_->getTensorIOMode(in) != nvinfer1::TensorIOMode::kINPUT) std::swap(in, out);
    for (const char* name : {in, out})
      if (engine_->getTensorDataType(name) != nvinfer1::DataType::kFLOAT)
        fail(std::string(name) + " is not of 32-bit floats");
    const auto shape = context_->getTensorShape(in), asked = dims(options.shape);
    if (!std::equal(shape.d, shape.d + shape.nbDims, asked.d, asked.d + asked.nbDims))
      fail("the plan is for another shape");
    in_bytes_ = static_cast<size_t>(elements(context_->getTensorShape(in))) * sizeof(float);
    out_bytes_ = static_cast<size_t>(elements(context_->getTensorShape(out))) * sizeof(float);
    check(cudaMallocHost(&host_in_, in_bytes_), "cudaMallocHost");
    check(cudaMallocHost(&host_out_, out_bytes_), "cudaMallocHost");
    check(cudaMalloc(&in_, in_bytes_), "cudaMalloc");
    check(cudaMalloc(&out_, out_bytes_), "cudaMalloc");
    std::mt19937 random(0);
    std::normal_distribution<float> normal;
    std::generate_n(host_in_, in_bytes_ / sizeof(float), [&] { return normal(random); });
    context_->setTensorAddress(in, in_);
    context_->setTensorAddress(out, out_);
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
    check(cudaEventCreate(&begin_), "cudaEventCreate");
    check(cudaEventCreate(&end_), "cudaEventCreate");
    check(cudaMemcpyAsync(in_, host_in_, in_bytes_, cudaMemcpyHostToDevice, stream_), "copy of the input");
    for (int i = 0; i < 3; ++i) enqueue(logger);
    check(cudaStreamSynchronize(stream_), "first batches");
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    enqueue(logger);
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
    check(cudaGraphInstantiate(&graph_, graph, 0), "cudaGraphInstantiate");
    check(cudaGraphDestroy(graph), "cudaGraphDestroy");
    compute();
    // Zeros or infinities would be another network than the one that is compared.
    double sum = 0;
    for (size_t i = 0; i < out_bytes_ / sizeof(float); ++i) sum += std::fabs(host_out_[i]);
    if (!std::isfinite(sum) || sum == 0)
      std::cerr << "warning: the outputs' absolute values sum up to " << sum << '\n';
  }

  // One batch from host to host; the time of the network alone in microseconds.
  double compute() {
    check(cudaMemcpyAsync(in_, host_in_, in_bytes_, cudaMemcpyHostToDevice, stream_), "copy of the input");
    check(cudaEventRecord(begin_, stream_), "cudaEventRecord");
    check(cudaGraphLaunch(graph_, stream_), "cudaGraphLaunch");
    check(cudaEventRecord(end_, stream_), "cudaEventRecord");
    check(cudaMemcpyAsync(host_out_, out_, out_bytes_, cudaMemcpyDeviceToHost, stream_),
          "copy of the output");
    check(cudaStreamSynchronize(stream_), "batch");
    return elapsed_us();
  }

  // One batch of `count` with nothing in between, microseconds.
  double loop(int count) {
    check(cudaEventRecord(begin_, stream_), "cudaEventRecord");
    for (int i = 0; i < count; ++i) check(cudaGraphLaunch(graph_, stream_), "cudaGraphLaunch");
    check(cudaEventRecord(end_, stream_), "cudaEventRecord");
    check(cudaStreamSynchronize(stream_), "loop");
    return elapsed_us() / count;
  }

 private:
  void enqueue(const Logger& logger) {
    if (!context_->enqueueV3(stream_)) fail("enqueueV3: " + logger.last_error);
  }

  double elapsed_us() {
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin_, end_), "cudaEventElapsedTime");
    return ms * 1e3;
  }

  std::unique_ptr<nvinfer1::IRuntime> runtime_;
  std::unique_ptr<nvinfer1::ICudaEngine> engine_;
  std::unique_ptr<nvinfer1::IExecutionContext> context_;
  size_t in_bytes_ = 0, out_bytes_ = 0;  // what is allocated lives as long as the process
  float *host_in_ = nullptr, *host_out_ = nullptr;
  void *in_ = nullptr, *out_ = nullptr;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
  cudaGraphExec_t graph_ = nullptr;
};

std::string list(const std::vector<double>& values) {
  std::ostringstream text;
  for (size_t i = 0; i < values.size(); ++i) text << (i ? ", " : "") << values[i];
  return "[" + text.str() + "]";
}

void answer(const std::string& json) { std::cout << "@vitrail-peer " << json << std::endl; }

void serve(Engine& engine) {
  using Clock = std::chrono::steady_clock;
  for (std::string line; std::getline(std::cin, line);) {
    const int count = std::max(1, std::atoi(line.c_str()));
    std::vector<double> latency, compute;
    for (int i = 0; i < count; ++i) {
      const auto start = Clock::now();
      compute.push_back(engine.compute());
      latency.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    }
    std::ostringstream loop;
    loop << engine.loop(count);
    answer(R"({"latency": )" + list(latency) + R"(, "compute": )" + list(compute) + R"(, "loop": )" +
           loop.str() + R"(, "allocated": 0})");
  }
}

std::string version() {
  const int all = getInferLibVersion();  // 8503 is 8.5.3; from 10 on 101000 is 10.10.0
  const int major = all < 100000 ? all / 1000 : all / 10000,
            minor = all < 100000 ? all / 100 % 10 : all / 100 % 100;
  return "tensorrt " + std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(all % 100);
}

}  // namespace

int main(int argc, char** argv) {
  Logger logger;
  try {
    const Options options = parse(argc, argv);
    int devices = 0;
    check(cudaGetDeviceCount(&devices), "no CUDA device");
    const std::string plan = plan_of(options, logger);
    Engine engine(options, plan, logger);
    answer(R"({"runner": ")" + version() + "\"}");
    serve(engine);
    return 0;
  } catch (const std::exception& error) {
    std::string text;
    for (const char c : std::string(error.what()).substr(0, 300))
      text += c == '"' || c == '\\' || static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    std::cerr << error.what() << '\n';
    answer(R"({"error": ")" + text + "\"}");
    return 1;
  }
}
