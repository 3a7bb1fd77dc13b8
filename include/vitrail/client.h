// SPDX-License-Identifier: Apache-2.0
// A client of `vitrail serve`, or of any server that speaks the Open Inference Protocol over HTTP.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vitrail/status.h"
#include "vitrail/tensor.h"
#include "vitrail/vitrail.h"

namespace vitrail {

// One connection, opened when it is first needed and again when the server has closed it. Used by one thread at a time.
class Client {
 public:
  // `url`: "http://host:port", "https://host:port" (the certificate is checked) or "host:port". `timeout` for each exchange. kUsage for what is no such address.
  static Result<Client> create(const std::string& url,
                               std::chrono::milliseconds timeout = std::chrono::milliseconds(60'000));
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  // Errors of all that follow: kIo when the server cannot be reached, does not answer in time or not in this protocol;
  // kBadInput with the server's words for 4xx; kUnavailable for 503 and 504: another time it may work.
  Result<bool> ready();

  struct ModelInfo {
    std::string name, version, platform;
    std::vector<TensorInfo> inputs, outputs;  // -1 for the batch
  };
  Result<ModelInfo> model(const std::string& name);

  // Binary tensors both ways; an empty version is the newest.
  Result<std::vector<NamedTensor>> infer(const std::string& model, const std::vector<NamedTensor>& inputs,
                                         const std::string& version = "");

  // Classes of one encoded picture (JPEG, PNG, WebP, BMP, PPM), best first; `vitrail serve` only.
  Result<std::vector<Classification>> classify(const std::string& model, std::span<const std::byte> picture, int top = 5);

  // The body of any other path: GET, or POST with a body.
  Result<std::string> get(const std::string& path);
  Result<std::string> post(const std::string& path, const std::string& body);

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace vitrail
