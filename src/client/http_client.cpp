// SPDX-License-Identifier: Apache-2.0
#include "client/http_client.h"

#include <utility>  // Boost 1.74 needs it before its own

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <optional>

#include "core/error.h"

namespace vitrail::client {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using asio::ip::tcp;

constexpr uint64_t kMaxBody = uint64_t{1} << 31;

}  // namespace

struct HttpClient::Impl {
  std::string host, port;
  std::chrono::milliseconds timeout;
  asio::io_context io;
  std::optional<asio::ssl::context> tls;  // nothing: in the clear
  std::optional<beast::tcp_stream> plain;  // the connection is one of these
  std::optional<beast::ssl_stream<beast::tcp_stream>> secure;
  beast::flat_buffer buffer;

  bool connected() const { return plain || secure; }
  void disconnect() {
    secure.reset();
    plain.reset();
  }
  beast::tcp_stream& lowest() { return secure ? secure->next_layer() : *plain; }

  // Runs one operation to its end or to the stream's time limit.
  template <class Start>
  error_code wait(Start&& start) {
    error_code outcome;
    start([&outcome](const error_code& error, auto&&...) { outcome = error; });
    io.restart();
    io.run();
    return outcome;
  }
  error_code connect() {
    buffer.clear();
    if (tls)
      secure.emplace(io, *tls);
    else
      plain.emplace(io);
    tcp::resolver resolver(io);
    error_code error;
    const auto found = resolver.resolve(host, port, error);
    if (error) return error;
    lowest().expires_after(timeout);
    error = wait([&](auto done) { lowest().async_connect(found, done); });
    if (!error) lowest().socket().set_option(tcp::no_delay(true), error);
    if (error || !secure) return error;
    SSL_set_tlsext_host_name(secure->native_handle(), host.c_str());
    secure->set_verify_mode(asio::ssl::verify_peer, error);
    if (!error) secure->set_verify_callback(asio::ssl::host_name_verification(host), error);
    if (!error) error = wait([&](auto done) { secure->async_handshake(asio::ssl::stream_base::client, done); });
    return error;
  }
  error_code exchange(const http::request<http::empty_body>& request, const std::vector<asio::const_buffer>& body,
                      Response& response) {
    return secure ? exchange_on(*secure, request, body, response) : exchange_on(*plain, request, body, response);
  }
  template <class Stream>
  error_code exchange_on(Stream& stream, const http::request<http::empty_body>& request,
                         const std::vector<asio::const_buffer>& body,
                         Response& response) {
    lowest().expires_after(timeout);
    http::request_serializer<http::empty_body> serializer(request);
    error_code error = wait([&](auto done) { http::async_write_header(stream, serializer, done); });
    // As much at once as the socket takes, not 64 KiB.
    const auto all = [size = asio::buffer_size(body)](const error_code& e, size_t sent) { return e ? 0 : size - sent; };
    if (!error && !body.empty())
      error = wait([&](auto done) { asio::async_write(stream, body, all, done); });
    if (error) return error;
    http::response_parser<http::string_body> parser;
    parser.body_limit(kMaxBody);
    lowest().expires_after(timeout);
    error = wait([&](auto done) { http::async_read(stream, buffer, parser, done); });
    if (error) return error;
    auto& message = parser.get();
    response.status = static_cast<int>(message.result_int());
    const auto length = message["Inference-Header-Content-Length"];
    response.header_length.assign(length.data(), length.size());
    response.body = std::move(message.body());
    if (!message.keep_alive()) disconnect();
    return {};
  }
};

HttpClient::HttpClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpClient::~HttpClient() = default;

Result<std::unique_ptr<HttpClient>> HttpClient::create(const std::string& url, std::chrono::milliseconds timeout) {
  std::string rest = url;
  const bool tls = rest.starts_with("https://");
  if (tls || rest.starts_with("http://")) rest.erase(0, rest.find("//") + 2);
  while (rest.ends_with('/')) rest.pop_back();
  const size_t colon = rest.rfind(':');
  const bool digits = colon != std::string::npos && colon > 0 && colon + 1 < rest.size() &&
                      rest.find_first_not_of("0123456789", colon + 1) == std::string::npos;
  if (!digits || rest.find('/') != std::string::npos)
    return usage_error("'{}' is no address of a server; write it like http://localhost:8000", url);
  auto impl = std::make_unique<Impl>();
  impl->host = rest.substr(0, colon);
  if (impl->host.starts_with('[') && impl->host.ends_with(']')) impl->host = impl->host.substr(1, impl->host.size() - 2);
  impl->port = rest.substr(colon + 1);
  impl->timeout = timeout;
  if (tls) {
    error_code error;
    impl->tls.emplace(asio::ssl::context::tls_client);
    impl->tls->set_options(asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1, error);
    if (!error) impl->tls->set_default_verify_paths(error);
    if (error) return io_error("the system's certificates cannot be read: {}", error.message());
  }
  return std::unique_ptr<HttpClient>(new HttpClient(std::move(impl)));
}

Result<Response> HttpClient::request(std::string_view method, const std::string& target,
                                     std::span<const std::string_view> body,
                                     const std::vector<std::pair<std::string, std::string>>& headers) {
  http::request<http::empty_body> request(http::string_to_verb({method.data(), method.size()}), target, 11);
  request.set(http::field::host, impl_->host);
  for (const auto& [name, value] : headers) request.set(name, value);
  std::vector<asio::const_buffer> parts;
  for (const std::string_view part : body)
    if (!part.empty()) parts.emplace_back(part.data(), part.size());
  if (method != "GET") request.content_length(asio::buffer_size(parts));
  const auto failed = [&](const error_code& error) {
    impl_->disconnect();
    return io_error("{}:{}: {}", impl_->host, impl_->port, error.message());
  };
  const bool reused = impl_->connected();
  for (int attempt = 0;; ++attempt) {
    if (!impl_->connected())
      if (const error_code error = impl_->connect()) return failed(error);
    Response response;
    const error_code error = impl_->exchange(request, parts, response);
    if (!error) return response;
    const bool closed = error == http::error::end_of_stream || error == asio::error::connection_reset ||
                        error == asio::error::broken_pipe;
    Status status = failed(error);
    if (!reused || attempt > 0 || !closed) return status;
  }
}

}  // namespace vitrail::client
