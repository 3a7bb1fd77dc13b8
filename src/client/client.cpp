// SPDX-License-Identifier: Apache-2.0
#include "vitrail/client.h"

#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "client/http_client.h"
#include "core/datatype.h"
#include "core/error.h"
#include "core/parse_number.h"

namespace vitrail {

using client::HttpClient;
using client::Response;
using nlohmann::json;

struct Client::Impl {
  std::unique_ptr<HttpClient> http;

  // The body of a 2xx; else the server's own words.
  Result<Response> exchange(std::string_view method, const std::string& path, std::span<const std::string_view> body,
                            const std::vector<std::pair<std::string, std::string>>& headers = {}) {
    VTL_ASSIGN(Response response, http->request(method, path, body, headers));
    if (response.status / 100 == 2) return response;
    const json parsed = json::parse(response.body, nullptr, false);
    const bool told = parsed.is_object() && parsed.contains("error") && parsed["error"].is_string();
    const std::string words = told ? parsed["error"].get<std::string>() : response.body.substr(0, 200);
    if (response.status == 503 || response.status == 504)
      return unavailable("the server says {}: {}", response.status, words);
    if (response.status / 100 == 4) return bad_input("the server says {}: {}", response.status, words);
    return io_error("the server says {}: {}", response.status, words);
  }
};

namespace {

// A member's value, or its default when it is missing or of another type.
template <class T>
T value_of(const json& object, const char* key, T fallback) {
  if (!object.is_object()) return fallback;
  const auto it = object.find(key);
  if (it == object.end()) return fallback;
  try {
    return it->get<T>();
  } catch (const json::exception&) {
    return fallback;
  }
}

Status not_the_protocol(const std::string& path) {
  return io_error("{}: the answer is not that of the Open Inference Protocol", path);
}

// Model names may hold anything.
std::string encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) || std::strchr("-._~", c);
    out += plain && c ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string model_path(const std::string& model, const std::string& version) {
  return "/v2/models/" + encoded(model) + (version.empty() ? "" : "/versions/" + encoded(version));
}

std::vector<TensorInfo> tensors_of(const json& list) {
  std::vector<TensorInfo> out;
  if (list.is_array())
    for (const json& t : list)
      out.push_back({value_of<std::string>(t, "name", ""),
                     datatype_from_name(value_of<std::string>(t, "datatype", "")),
                     value_of<Shape>(t, "shape", {})});
  return out;
}

}  // namespace

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<Client> Client::create(const std::string& url, std::chrono::milliseconds timeout) {
  auto impl = std::make_unique<Impl>();
  VTL_ASSIGN(impl->http, HttpClient::create(url, timeout));
  return Client(std::move(impl));
}

Result<bool> Client::ready() {
  VTL_ASSIGN(const Response response, impl_->http->request("GET", "/v2/health/ready", {}));
  return response.status == 200;
}

Result<std::string> Client::get(const std::string& path) {
  VTL_ASSIGN(Response response, impl_->exchange("GET", path, {}));
  return std::move(response.body);
}

Result<std::string> Client::post(const std::string& path, const std::string& body) {
  VTL_ASSIGN(Response response, impl_->exchange("POST", path, std::array{std::string_view(body)}));
  return std::move(response.body);
}

Result<Client::ModelInfo> Client::model(const std::string& name) {
  const std::string path = model_path(name, "");
  VTL_ASSIGN(const Response response, impl_->exchange("GET", path, {}));
  const json parsed = json::parse(response.body, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("inputs") || !parsed.contains("outputs")) return not_the_protocol(path);
  const auto versions = value_of<std::vector<std::string>>(parsed, "versions", {});
  return ModelInfo{value_of<std::string>(parsed, "name", name), versions.empty() ? "" : versions.back(),
                   value_of<std::string>(parsed, "platform", ""), tensors_of(parsed["inputs"]),
                   tensors_of(parsed["outputs"])};
}

Result<std::vector<NamedTensor>> Client::infer(const std::string& model, const std::vector<NamedTensor>& inputs,
                                               const std::string& version) {
  json header = {{"parameters", {{"binary_data_output", true}}}, {"inputs", json::array()}};
  std::vector<std::string_view> body{{}};  // the header comes first
  for (const NamedTensor& input : inputs) {
    const std::string_view datatype = datatype_name(input.tensor.dtype());
    if (datatype.empty())
      return usage_error("input '{}': the protocol has no name for {}", input.name, dtype_name(input.tensor.dtype()));
    header["inputs"].push_back({{"name", input.name},
                                {"datatype", datatype},
                                {"shape", input.tensor.shape()},
                                {"parameters", {{"binary_data_size", input.tensor.bytes()}}}});
    body.emplace_back(static_cast<const char*>(input.tensor.data()), input.tensor.bytes());
  }
  const std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  body[0] = text;
  const std::string path = model_path(model, version) + "/infer";
  VTL_ASSIGN(const Response response, impl_->exchange("POST", path, body,
                                                      {{"Inference-Header-Content-Length", std::to_string(text.size())},
                                                       {"Content-Type", "application/octet-stream"}}));
  size_t length = 0;
  if (!parse_number(response.header_length, length) || length > response.body.size()) return not_the_protocol(path);
  const json parsed = json::parse(response.body.begin(), response.body.begin() + static_cast<std::ptrdiff_t>(length),
                                  nullptr, false);
  if (!parsed.is_object() || !parsed.contains("outputs") || !parsed["outputs"].is_array()) return not_the_protocol(path);
  std::vector<NamedTensor> outputs;
  size_t at = length;
  for (const TensorInfo& info : tensors_of(parsed["outputs"])) {
    // The size is the shape's own: nothing is allocated for what is not there.
    int64_t count = 1;
    bool sane = info.dtype != DType::kUndefined;
    for (const int64_t extent : info.shape)
      sane = sane && extent >= 0 && !__builtin_mul_overflow(count, extent, &count) && count < (int64_t{1} << 32);
    const size_t bytes = sane ? static_cast<size_t>(count) * dtype_size(info.dtype) : 0;
    if (!sane || bytes > response.body.size() - at) return not_the_protocol(path);
    Tensor tensor(info.dtype, info.shape);
    std::memcpy(tensor.mutable_data(), response.body.data() + at, bytes);
    at += bytes;
    outputs.push_back({info.name, std::move(tensor)});
  }
  return outputs;
}

Result<std::vector<Classification>> Client::classify(const std::string& model, std::span<const std::byte> picture, int top) {
  const std::string path = fmt::format("{}/classify?top={}", model_path(model, ""), top);
  VTL_ASSIGN(const Response response,
             impl_->exchange("POST", path, std::array{std::string_view(reinterpret_cast<const char*>(picture.data()), picture.size())},
                             {{"Content-Type", "application/octet-stream"}}));
  const json parsed = json::parse(response.body, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("top") || !parsed["top"].is_array()) return not_the_protocol(path);
  std::vector<Classification> classes;
  for (const json& c : parsed["top"])
    classes.push_back({value_of<int>(c, "index", -1), value_of<std::string>(c, "label", ""), value_of<float>(c, "score", 0)});
  return classes;
}

}  // namespace vitrail
