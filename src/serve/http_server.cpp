// SPDX-License-Identifier: Apache-2.0
#include "serve/http_server.h"

#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/version.hpp>
#include <mutex>
#include <set>

#include "core/clock.h"
#include "core/error.h"
#include "core/parse_number.h"

namespace vitrail::serve {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;

constexpr size_t kHeaderBytes = 32768;     // room for one read of a header
constexpr size_t kAlignment = 64;
constexpr size_t kBodyBytes = 256 * 1024;  // a body is read and grows by so much at once

// A request's body that counts in a budget as it arrives. Beast asks for these names.
struct BudgetBody {
  using value_type = HeldBody;
  static uint64_t size(const value_type& body) { return body.size(); }

  class reader {
   public:
    template <bool kRequest, class Fields>
    reader(http::header<kRequest, Fields>&, value_type& body) : body_(body) {}
    void init(const boost::optional<uint64_t>& length, error_code& error) {
      error = {};
      if (length) body_.bytes.reserve(static_cast<size_t>(*length));  // not touched until it comes
    }
    template <class Buffers>
    size_t put(const Buffers& buffers, error_code& error) {
      error = {};
      const size_t bytes = beast::buffer_bytes(buffers);
      if (!body_.grow(bytes)) {
        error = make_error_code(boost::system::errc::not_enough_memory);
        return 0;
      }
      for (const auto& part : beast::buffers_range_ref(buffers)) {
        const auto* from = static_cast<const char*>(part.data());
        body_.bytes.insert(body_.bytes.end(), from, from + part.size());
      }
      return bytes;
    }
    void finish(error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};

// What the server asks of a connection, whatever it travels on.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual std::shared_ptr<Connection> keep() = 0;  // null when it is ending
  virtual void hurry() = 0;                        // what still arrives has little time left; on any thread
};

}  // namespace

// A thread's connections. They share no lock, and a request that comes and goes on one thread wakes no other.
struct Lane {
  explicit Lane(asio::io_context& thread) : io(thread) {}
  asio::io_context& io;
  std::atomic<int> connections{0};
  std::atomic<bool> busy{false};  // it may be running a batch, for the only connection that it has
  // New connections go to the least.
  std::pair<bool, int> load() const { return {busy, connections}; }
};

struct HttpServer::Shared {
  Shared(asio::io_context& io, const std::vector<asio::io_context*>& threads, HttpOptions o, HttpHandler h)
      : options(std::move(o)), handler(std::move(h)), acceptor(io) {
    for (asio::io_context* thread : threads) lanes.push_back(std::make_unique<Lane>(*thread));
  }

  const HttpOptions options;
  const HttpHandler handler;
  std::optional<asio::ssl::context> tls;
  tcp::acceptor acceptor;
  std::vector<std::unique_ptr<Lane>> lanes;
  std::atomic<bool> draining{false};
  std::atomic<uint16_t> port{0};
  std::mutex mutex;  // guards what follows
  std::set<Connection*> connections;
};

namespace {

using Shared = HttpServer::Shared;

bool is_loopback(const tcp::endpoint& peer) {
  const asio::ip::address& a = peer.address();
  if (a.is_v6() && a.to_v6().is_v4_mapped())
    return asio::ip::make_address_v4(asio::ip::v4_mapped, a.to_v6()).is_loopback();
  return a.is_loopback();
}

// What is told when the client goes away while its request waits.
struct Watch {
  bool active = true;
  std::function<void()> gone;
};

template <class Stream>
class ConnectionOn : public Connection, public std::enable_shared_from_this<ConnectionOn<Stream>> {
 public:
  template <class... Tls>
  ConnectionOn(tcp::socket socket, std::shared_ptr<Shared> shared, Lane& lane, Tls&... tls)
      : stream_(std::move(socket), tls...), shared_(std::move(shared)), lane_(lane) {
    ++lane_.connections;
    error_code ignored;
    const tcp::endpoint peer = lowest().socket().remote_endpoint(ignored);
    loopback_ = is_loopback(peer);
    peer_ = fmt::format("{}:{}", peer.address().to_string(), peer.port());
    lowest().socket().set_option(tcp::no_delay(true), ignored);
    const std::lock_guard lock(shared_->mutex);
    shared_->connections.insert(this);
  }
  ~ConnectionOn() override {
    --lane_.connections;
    const std::lock_guard lock(shared_->mutex);
    shared_->connections.erase(this);
  }

  auto executor() { return stream_.get_executor(); }

  std::shared_ptr<Connection> keep() override { return this->weak_from_this().lock(); }
  void hurry() override {
    // The stream's own limit cannot be changed while it reads.
    auto timer = std::make_shared<asio::steady_timer>(executor(), shared_->options.drain_timeout);
    timer->async_wait([weak = this->weak_from_this(), timer](const error_code&) {
      if (auto self = weak.lock(); self && self->reading_) self->lowest().close();
    });
  }

  asio::awaitable<void> run() {
    buffer_.reserve(kHeaderBytes);
    error_code ignored;
    if constexpr (kTls) {
      lowest().expires_after(shared_->options.drain_timeout * 10);
      co_await stream_.async_handshake(asio::ssl::stream_base::server, into(ignored));
      if (ignored) co_return;
    }
    while (co_await serve_one()) {
    }
    if constexpr (kTls) {
      lowest().expires_after(shared_->options.drain_timeout);
      co_await stream_.async_shutdown(into(ignored));
    }
    lowest().socket().shutdown(tcp::socket::shutdown_both, ignored);
  }

 private:
  static constexpr bool kTls = !std::is_same_v<Stream, beast::tcp_stream>;
  beast::tcp_stream& lowest() { return beast::get_lowest_layer(stream_); }

  using Parser = http::request_parser<BudgetBody>;
  using Response = http::response<http::string_body>;

  void expect(std::chrono::milliseconds time) {
    lowest().expires_after(shared_->draining ? std::min(time, shared_->options.drain_timeout) : time);
  }

  // One request and its answer; whether the connection goes on.
  asio::awaitable<bool> serve_one() {
    Parser parser;
    parser.header_limit(shared_->options.max_header);
    parser.body_limit(shared_->options.max_body);
    parser.get().body() = HeldBody(shared_->options.budget);
    error_code error;
    reading_ = true;
    expect(shared_->options.idle_timeout);
    co_await http::async_read_header(stream_, buffer_, parser, into(error));
    const int64_t receive_start = steady_nanoseconds();
    if (!error && beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      co_await asio::async_write(stream_, asio::buffer(kContinue.data(), kContinue.size()), into(error));
    }
    if (!error && !parser.is_done()) {
      expect(shared_->options.body_timeout);
      if (const auto length = parser.content_length(); length && !parser.chunked())
        co_await read_body(parser.get(), static_cast<size_t>(*length), error);
      else
        co_await http::async_read(stream_, buffer_, parser, into(error));
    }
    reading_ = false;
    lowest().expires_never();
    if (error) {
      co_await refuse(error);
      co_return false;
    }
    typename Parser::value_type message = parser.release();
    const unsigned version = message.version();
    const bool head = message.method() == http::verb::head;
    bool keep = message.keep_alive();
    HttpReply reply = co_await handle(std::move(message), receive_start);
    keep = keep && !shared_->draining;
    co_return co_await write(std::move(reply), version, keep, head) && keep;
  }

  // A body of known length goes straight to where it stays; the parser would copy it. Memory is touched as bytes come:
  // a client that only promises them costs nothing. Binary tensors begin where a vector may: they can be computed from
  // where they lie.
  asio::awaitable<void> read_body(typename Parser::value_type& message, size_t length, error_code& error) {
    HeldBody& body = message.body();
    Bytes& bytes = body.bytes;
    bytes.reserve(length + kAlignment);
    const auto said = message["Inference-Header-Content-Length"];
    size_t header = 0;
    if (!said.empty() && parse_number(std::string_view(said.data(), said.size()), header))
      body.begin = (kAlignment - (reinterpret_cast<uintptr_t>(bytes.data()) + header) % kAlignment) % kAlignment;
    bytes.resize(body.begin);
    const auto grow = [&](size_t bytes) {
      if (!body.grow(bytes)) error = make_error_code(boost::system::errc::not_enough_memory);
      return !error;
    };
    const size_t here = std::min(length, buffer_.size());
    if (!grow(here)) co_return;
    const auto* begun = static_cast<const char*>(buffer_.data().data());
    bytes.insert(bytes.end(), begun, begun + here);
    buffer_.consume(here);
    while (body.size() < length) {
      const size_t from = bytes.size(), count = std::min(length - body.size(), kBodyBytes);
      if (!grow(count)) co_return;
      bytes.resize(from + count);
      const auto all_at_once = [count](const error_code& e, size_t done) { return e ? 0 : count - done; };
      co_await asio::async_read(stream_, asio::buffer(bytes.data() + from, count), all_at_once, into(error));
      if (error) co_return;
    }
  }

  asio::awaitable<HttpReply> handle(typename Parser::value_type message, int64_t receive_start) {
    HttpRequest request;
    request.receive_start_ns = receive_start;
    request.receive_end_ns = steady_nanoseconds();
    request.peer = peer_;
    const auto text = [](beast::string_view view) { return std::string(view.data(), view.size()); };
    request.method = text(message.method_string());
    if (request.method == "HEAD") request.method = "GET";
    request.target = text(message.target());
    request.header_length = text(message["Inference-Header-Content-Length"]);
    request.content_encoding = text(message[http::field::content_encoding]);
    request.authorization = text(message[http::field::authorization]);
    request.traceparent = text(message["traceparent"]);
    request.accept_encoding = text(message[http::field::accept_encoding]);
    request.body = std::make_shared<const HeldBody>(std::move(message.body()));
    request.budget = shared_->options.budget;
    request.from_loopback = loopback_;
    request.alone = lane_.busy = lane_.connections == 1;
    auto meeting = std::make_shared<Meeting<HttpReply>>();
    auto watch = std::make_shared<Watch>();
    watch->gone = shared_->handler(std::move(request), [meeting](HttpReply reply) { meeting->put(std::move(reply)); });
    lane_.busy = false;
    if (meeting->ready()) co_return meeting->take();
    watch_client(watch);
    co_await Meeting<HttpReply>::wait(meeting);
    watch->active = false;
    error_code ignored;
    lowest().socket().cancel(ignored);
    co_return meeting->take();
  }

  // Readable and nothing to read: the client has closed its side.
  void watch_client(const std::shared_ptr<Watch>& watch) {
    lowest().socket().async_wait(tcp::socket::wait_read, [self = this->shared_from_this(), watch](const error_code& error) {
      if (error || !watch->active) return;
      char byte = 0;
      const ssize_t n = ::recv(self->lowest().socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
        if (watch->gone) watch->gone();
    });
  }

  // Answers what could not be read as a request, where the client may still listen.
  asio::awaitable<void> refuse(const error_code& error) {
    const bool full = error == boost::system::errc::not_enough_memory;
    if (error == http::error::end_of_stream || error == beast::error::timeout ||
        error == http::error::partial_message || (!full && error.category() != http::make_error_code(http::error::bad_method).category()))
      co_return;
    HttpReply reply;
    if (error == http::error::body_limit)
      reply = error_reply(fault(Cause::kTooLarge, "the body is larger than {} bytes (--max-body)", shared_->options.max_body));
    else if (full)
      reply = error_reply(fault(Cause::kBusy, "requests hold {} bytes of bodies, {} may be held at once (--max-body-total); try again later",
                                shared_->options.budget->held(), shared_->options.budget->most()));
    else if (error == http::error::header_limit)
      reply = error_reply(fault(Cause::kTooLarge, "the header is larger than {} bytes", shared_->options.max_header));
    else
      reply = error_reply(fault(Cause::kInvalid, "not an HTTP request: {}", error.message()));
    if (!co_await write(std::move(reply), 11, false, false)) co_return;
    // Closing with unread bytes resets the connection, and the answer may be lost with it: they are read for a while.
    error_code ended;
    lowest().socket().shutdown(tcp::socket::shutdown_send, ended);
    lowest().expires_after(shared_->options.drain_timeout);
    std::array<char, 4096> sink;
    while (!ended) co_await stream_.async_read_some(asio::buffer(sink), into(ended));
  }

  asio::awaitable<bool> write(HttpReply reply, unsigned version, bool keep, bool head) {
    Response response(static_cast<http::status>(reply.status), version);
    response.set(http::field::server, "vitrail");
    if (!reply.content_type.empty()) response.set(http::field::content_type, reply.content_type);
    for (const auto& [name, value] : reply.headers) response.set(name, value);
    response.keep_alive(keep);
    response.body() = std::move(reply.body);
    response.prepare_payload();
    if (head) response.body().clear();
    error_code error;
    lowest().expires_after(shared_->options.write_timeout);
    http::response_serializer<http::string_body> serializer(response);
    if (reply.record) reply.record->send_start_ns = steady_nanoseconds();
    co_await http::async_write(stream_, serializer, into(error));
    if (reply.record) reply.record->send_end_ns = steady_nanoseconds();
    lowest().expires_never();
    co_return !error;
  }

  Stream stream_;
  std::shared_ptr<Shared> shared_;
  Lane& lane_;
  beast::flat_buffer buffer_;
  std::string peer_;
  bool loopback_ = false;
  bool reading_ = false;
};

template <class Stream>
asio::awaitable<void> run_connection(std::shared_ptr<ConnectionOn<Stream>> connection) {
  co_await connection->run();
}

template <class Stream, class... Tls>
void start(tcp::socket socket, const std::shared_ptr<Shared>& shared, Lane& lane, Tls&... tls) {
  auto connection = std::make_shared<ConnectionOn<Stream>>(std::move(socket), shared, lane, tls...);
  const auto executor = connection->executor();
  asio::co_spawn(executor, run_connection(std::move(connection)), asio::detached);
}

asio::awaitable<void> accept(std::shared_ptr<Shared> shared) {
  error_code error;
  const tcp protocol = shared->acceptor.local_endpoint(error).protocol();
  while (!shared->draining) {
    tcp::socket accepted = co_await shared->acceptor.async_accept(into(error));
    if (shared->draining) co_return;
    if (error) {
      // Out of file descriptors, for the most part: others must close first.
      asio::steady_timer pause(shared->acceptor.get_executor(), std::chrono::milliseconds(50));
      co_await pause.async_wait(into(error));
      continue;
    }
    {
      const std::lock_guard lock(shared->mutex);
      if (shared->connections.size() >= shared->options.max_connections) continue;
    }
    Lane& lane = **std::ranges::min_element(shared->lanes, {}, [](const auto& l) { return l->load(); });
    tcp::socket socket(lane.io);
    socket.assign(protocol, accepted.release(error), error);
    if (error) continue;
    if (shared->tls)
      start<beast::ssl_stream<beast::tcp_stream>>(std::move(socket), shared, lane, *shared->tls);
    else
      start<beast::tcp_stream>(std::move(socket), shared, lane);
  }
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::listen(asio::io_context& io, std::vector<asio::io_context*> lanes,
                                                       HttpOptions options, HttpHandler handler) {
  error_code error;
  const auto address = asio::ip::make_address(options.address, error);
  if (error) return usage_error("'{}' is no IP address to listen on", options.address);
  const tcp::endpoint endpoint(address, options.port);
  auto shared = std::make_shared<Shared>(io, lanes, std::move(options), std::move(handler));
  if (shared->options.tls) {
    asio::ssl::context& tls = shared->tls.emplace(asio::ssl::context::tls_server);
    tls.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1, error);
    if (!error) tls.use_certificate_chain_file(shared->options.tls->certificate, error);
    if (error) return bad_input("{}: {}", shared->options.tls->certificate, error.message());
    tls.use_private_key_file(shared->options.tls->key, asio::ssl::context::pem, error);
    if (error) return bad_input("{}: {}", shared->options.tls->key, error.message());
  }
  tcp::acceptor& acceptor = shared->acceptor;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(4096, error);
  if (error)
    return io_error("cannot listen on {} port {}: {}", shared->options.address, shared->options.port, error.message());
  shared->port = acceptor.local_endpoint(error).port();
  asio::co_spawn(acceptor.get_executor(), accept(shared), asio::detached);
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(shared)));
}

HttpServer::~HttpServer() { drain(); }

uint16_t HttpServer::port() const { return shared_->port; }

size_t HttpServer::connections() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->connections.size();
}

void HttpServer::drain() {
  if (shared_->draining.exchange(true)) return;
  asio::post(shared_->acceptor.get_executor(), [shared = shared_] {
    error_code ignored;
    shared->acceptor.close(ignored);
  });
  // The last owner of a connection must not hold the lock that its end takes.
  std::vector<std::shared_ptr<Connection>> open;
  {
    const std::lock_guard lock(shared_->mutex);
    for (Connection* connection : shared_->connections)
      if (auto kept = connection->keep()) open.push_back(std::move(kept));
  }
  for (const auto& connection : open) connection->hurry();
}

}  // namespace vitrail::serve
