// SPDX-License-Identifier: Apache-2.0
// A server of models that sum, over real sockets.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "serve/compression.h"
#include "serve/fixture.h"
#include "serve/server.h"

#include <boost/asio/write.hpp>

namespace vitrail::serve {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::Gate;
using testing::HasSubstr;

struct Answered {
  int status = 0;
  std::string head, body;
  json parsed() const { return json::parse(body, nullptr, false); }
};

// A client of one connection that sends what it is told to.
class Client {
 public:
  explicit Client(uint16_t port) : socket_(io_) {
    socket_.connect({asio::ip::make_address("127.0.0.1"), port});
    timeval limit{20, 0};
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  void send(const std::string& text) {
    error_code ignored;
    asio::write(socket_, asio::buffer(text), ignored);
  }
  // The next answer; status 0 when the server closed instead.
  Answered receive() {
    Answered a;
    while (left_.find("\r\n\r\n") == std::string::npos)
      if (!more()) return a;
    const size_t end = left_.find("\r\n\r\n") + 4;
    a.head = left_.substr(0, end);
    left_.erase(0, end);
    a.status = std::stoi(a.head.substr(9, 3));
    const size_t at = a.head.find("Content-Length: ");
    const size_t length = at == std::string::npos ? 0 : std::stoul(a.head.substr(at + 16));
    while (left_.size() < length)
      if (!more()) break;
    a.body = left_.substr(0, length);
    left_.erase(0, length);
    return a;
  }
  Answered request(const std::string& method, const std::string& path, const std::string& body = "",
                   const std::string& headers = "") {
    send(method + " " + path + " HTTP/1.1\r\nHost: x\r\n" + headers + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body);
    return receive();
  }
  void close() { socket_.close(); }

 private:
  bool more() {
    char buffer[4096];
    const ssize_t n = ::recv(socket_.native_handle(), buffer, sizeof buffer, 0);
    if (n > 0) left_.append(buffer, static_cast<size_t>(n));
    return n > 0;
  }
  asio::io_context io_;
  tcp::socket socket_;
  std::string left_;
};

class Http : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("vitrail_serve_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    add("sum", 1);
    options_.http.port = 0;
    options_.grpc_port = 0;
    options_.metrics_port = 0;
    options_.repository.folder = folder_.string();
    options_.repository.settings.allow_uncertified = true;
    options_.repository.settings.warm_up_seconds = 0;
    options_.repository.settings.threads = 1;
    options_.repository.loader = [this](const std::string& path) -> Result<LoadedEngine> {
      std::ifstream file(path);
      std::string word;
      file >> word;
      if (word == "bad") return bad_input("{}: damaged", path);
      auto program = std::make_shared<test::SumProgram>();
      program->during_run = [this](int64_t) {
        if (Gate* gate = gate_) gate->pass();
      };
      return LoadedEngine{test::sum_engine(), program, nullptr};
    };
  }
  void TearDown() override {
    server_.reset();
    fs::remove_all(folder_);
  }
  void add(const std::string& model, int version, const std::string& content = "good") {
    const fs::path folder = folder_ / model / std::to_string(version);
    fs::create_directories(folder);
    std::ofstream(folder / "model.vtl") << content << "\n";
  }
  void start() {
    auto started = Server::start(options_);
    ASSERT_TRUE(started.ok()) << started.status().message();
    server_ = std::move(*started);
  }
  Client client() { return Client(server_->http_port()); }

  static std::string rows(const std::string& data, int64_t n = 1) {
    return R"({"inputs":[{"name":"x","datatype":"FP32","shape":[)" + std::to_string(n) + R"(,3],"data":[)" + data +
           "]}]}";
  }

  fs::path folder_;
  ServerOptions options_;
  std::unique_ptr<Server> server_;
  std::atomic<Gate*> gate_{nullptr};  // that batches wait at, once there is one
};

TEST_F(Http, SpeaksTheProtocol) {
  start();
  Client c = client();
  EXPECT_EQ(c.request("GET", "/v2/health/live").status, 200);
  EXPECT_EQ(c.request("GET", "/v2/health/ready").status, 200);
  EXPECT_EQ(c.request("GET", "/v2").parsed()["name"], "vitrail");
  const json model = c.request("GET", "/v2/models/sum").parsed();
  EXPECT_EQ(model["platform"], "vitrail_fake");
  EXPECT_EQ(model["inputs"], json::parse(R"([{"name":"x","datatype":"FP32","shape":[-1,3]}])"));
  EXPECT_EQ(c.request("GET", "/v2/models/sum/versions/1/ready").status, 200);
  EXPECT_EQ(c.request("GET", "/v2/models/sum/config").parsed()["max_batch_size"], 8);
  const Answered a = c.request("POST", "/v2/models/sum/infer", rows("1,2,3,4,5,6", 2));
  EXPECT_EQ(a.status, 200) << a.body;
  EXPECT_EQ(a.parsed()["outputs"][0]["data"], std::vector<float>({6, 15}));
  const json stats = c.request("GET", "/v2/models/sum/stats").parsed()["model_stats"][0];
  EXPECT_EQ(stats["inference_count"], 2);
  EXPECT_EQ(stats["inference_stats"]["success"]["count"], 1);
  Client metrics(server_->metrics_port());
  EXPECT_THAT(metrics.request("GET", "/metrics").body, HasSubstr(R"(nv_inference_count{model="sum",version="1"} 2)"));
  EXPECT_EQ(metrics.request("GET", "/").status, 404);
}

TEST_F(Http, ThePageAndWhatItReads) {
  start();
  Client c = client();
  const Answered page = c.request("GET", "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(page.head, HasSubstr("Content-Security-Policy: default-src 'none'"));
  EXPECT_THAT(page.body, HasSubstr("<!doctype html>"));
  c.request("POST", "/v2/models/sum/infer", rows("1,2,3,4,5,6", 2));
  const json model = c.request("GET", "/vitrail/overview").parsed()["models"][0];
  EXPECT_EQ(model["inference_count"], 2);
  EXPECT_EQ(model["classifies"], false);
  EXPECT_EQ(model["latency"]["counts"].size(), model["latency"]["bounds"].size() + 1);
  EXPECT_EQ(model["rows"]["counts"][1], 1);  // one batch of at most 2
}

TEST_F(Http, BadRequestsAreAnsweredAndTheConnectionStaysUsable) {
  start();
  Client c = client();
  const auto expect = [&](const Answered& a, int status, const std::string& text) {
    EXPECT_EQ(a.status, status) << a.body;
    EXPECT_THAT(a.parsed().value("error", ""), HasSubstr(text));
  };
  expect(c.request("GET", "/nothing"), 404, "no such path");
  expect(c.request("GET", "/v2/models/other"), 404, "there is 'sum'");
  expect(c.request("GET", "/v2/models/sum/versions/7"), 404, "no version '7'");
  expect(c.request("GET", "/v2/models/sum/infer"), 405, "POST");
  expect(c.request("GET", "/v2/models/%zz"), 400, "path");
  expect(c.request("GET", "/v2/models/..%2f..%2fetc%2fpasswd"), 404, "no model");
  expect(c.request("POST", "/v2/models/sum/infer", "{"), 400, "not JSON");
  expect(c.request("POST", "/v2/models/sum/infer", rows("1,2", 1)), 400, "8 bytes of data, but FP32 [1,3] is 12");
  expect(c.request("POST", "/v2/models/sum/infer", rows("1,2,3", 9)), 400, "takes 1 to 8 rows");
  expect(c.request("POST", "/v2/models/sum/infer",
                   R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,9223372036854775807],"data":[1]}]})"),
         400, "expected [-1,3]");
  expect(c.request("POST", "/v2/models/sum/infer", R"({"inputs":[]})"), 400, "input 'x' is missing");
  expect(c.request("POST", "/v2/models/sum/infer",
                   R"({"inputs":[{"name":"x","datatype":"INT8","shape":[1,3],"data":[1,2,3]}]})"),
         400, "datatype 'INT8', expected FP32");
  expect(c.request("POST", "/v2/models/sum/infer", "{}", "Inference-Header-Content-Length: x\r\n"), 400, "no number");
  expect(c.request("POST", "/v2/models/sum/infer", "{}", "Content-Encoding: gzip\r\n"), 400, "gzip");
  expect(c.request("POST", "/v2/models/sum/classify", "x"), 400, "takes no pictures");
  expect(c.request("POST", "/v2/models/sum/classify?top=0", "x"), 400, "top=0");
  EXPECT_EQ(c.request("POST", "/v2/models/sum/infer", rows("1,2,3")).status, 200);
}

TEST_F(Http, WhatIsNoRequestOrTooLargeIsRefused) {
  options_.http.max_body = 1000;
  start();
  Client broken = client();
  broken.send("NONSENSE\r\n\r\n");
  EXPECT_EQ(broken.receive().status, 400);
  Client large = client();
  large.send("POST /v2/models/sum/infer HTTP/1.1\r\nContent-Length: 1001\r\n\r\n");
  EXPECT_EQ(large.receive().status, 413);
  Client header = client();
  header.send("GET /v2 HTTP/1.1\r\nX: " + std::string(20000, 'x') + "\r\n\r\n");
  EXPECT_EQ(header.receive().status, 413);
  EXPECT_EQ(client().request("GET", "/v2/health/live").status, 200);
}

TEST_F(Http, BodiesMayComeCompressed) {
  options_.http.max_body = 4000;
  start();
  Client c = client();
  const auto post = [&](Coding coding, const std::string& body, const std::string& headers = "") {
    return c.request("POST", "/v2/models/sum/infer", deflate_body(coding, body),
                     "Content-Encoding: " + std::string(name_of(coding)) + "\r\n" + headers);
  };
  for (const Coding coding : {Coding::kGzip, Coding::kDeflate})
    EXPECT_EQ(post(coding, rows("1,2,3")).parsed()["outputs"][0]["data"], json::parse("[6.0]"));
  EXPECT_EQ(post(Coding::kGzip, rows("1,2,3") + std::string(5000, ' ')).status, 413);  // small until it is inflated
  const Answered damaged = c.request("POST", "/v2/models/sum/infer", rows("1,2,3"), "Content-Encoding: gzip\r\n");
  EXPECT_EQ(damaged.status, 400);
  EXPECT_THAT(damaged.body, HasSubstr("damaged at byte"));
  const Answered unknown = c.request("POST", "/v2/models/sum/infer", rows("1,2,3"), "Content-Encoding: br\r\n");
  EXPECT_EQ(unknown.status, 415);
  EXPECT_THAT(unknown.head, HasSubstr("Accept-Encoding: gzip, deflate"));

  const Answered large = c.request("GET", "/", "", "Accept-Encoding: deflate, gzip;q=0.5\r\n");
  EXPECT_THAT(large.head, HasSubstr("Content-Encoding: deflate"));
  HeldBody page;
  EXPECT_TRUE(inflate_body(Coding::kDeflate, large.body, 1 << 20, page).ok());
  EXPECT_THAT(std::string(page.view()), HasSubstr("<!doctype html>"));
  const Answered small = post(Coding::kGzip, rows("1,2,3"), "Accept-Encoding: gzip\r\n");
  EXPECT_EQ(small.parsed()["outputs"][0]["data"], json::parse("[6.0]"));  // not worth it
}

TEST_F(Http, ACompressedRequestIsCancelledWithItsClient) {
  start();
  Gate gate;
  gate_ = &gate;
  Client first = client();
  const std::string infer = deflate_body(Coding::kGzip, rows("1,2,3"));
  const auto send = [&](Client& c) {
    c.send("POST /v2/models/sum/infer HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: " +
           std::to_string(infer.size()) + "\r\n\r\n" + infer);
  };
  send(first);
  gate.await(1);
  const auto model = *server_->repository().find("sum", "");
  Client second = client();
  send(second);
  while (model->scheduler().waiting() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  second.close();
  while (model->scheduler().waiting() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  gate.open();
  EXPECT_EQ(first.receive().status, 200);
  EXPECT_EQ(model->statistics().snapshot().cancelled, 1u);
}

TEST_F(Http, AllBodiesTogetherAreBounded) {
  options_.max_body_total = options_.http.max_body = 2000;
  start();
  Gate gate;
  gate_ = &gate;
  const std::string infer = rows("1,2,3") + std::string(1500, ' ');
  const std::string head = "POST /v2/models/sum/infer HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(infer.size()) + "\r\n\r\n";
  Client first = client();
  first.send(head + infer);
  gate.await(1);  // holds its body until it is answered
  Client second = client();
  second.send(head + infer);
  const Answered busy = second.receive();
  EXPECT_EQ(busy.status, 503);
  EXPECT_THAT(busy.head, HasSubstr("Retry-After"));
  EXPECT_THAT(busy.body, HasSubstr("--max-body-total"));
  EXPECT_EQ(client().request("GET", "/v2/health/live").status, 200);
  gate.open();
  EXPECT_EQ(first.receive().status, 200);
  // The worker lets go of a body a little after its answer.
  const auto answered = [&](const std::string& request) {
    for (int i = 0; i < 1000; ++i) {
      Client c = client();
      c.send(request);
      if (c.receive().status == 200) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  };
  EXPECT_TRUE(answered(head + infer));
  EXPECT_TRUE(answered("POST /v2/models/sum/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
                       fmt::format("{:x}\r\n{}\r\n0\r\n\r\n", infer.size(), infer)));
}

TEST_F(Http, BodiesMayComeInPiecesTogetherAndInChunks) {
  start();
  const std::string body = rows("1,2,3");
  const std::string request = "POST /v2/models/sum/infer HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  Client c = client();
  for (size_t at = 0; at < request.size(); at += 40) {
    c.send(request.substr(at, 40));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const Answered first = c.receive();
  EXPECT_EQ(first.status, 200);
  c.send(request + request);  // two at once: the second one's beginning comes with the first one's body
  for (int i = 0; i < 2; ++i) {
    const Answered reply = c.receive();
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, first.body);
  }
  c.send(fmt::format("POST /v2/models/sum/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", 10,
                     body.substr(0, 10), body.size() - 10, body.substr(10)));
  EXPECT_EQ(c.receive().body, first.body);
  EXPECT_EQ(c.request("POST", "/v2/models/sum/infer", std::string(3 << 20, ' ') + body).body, first.body);  // read on another thread
  EXPECT_EQ(c.request("POST", "/v2/models/sum/infer", std::string(3 << 20, '[')).status, 400);
}

TEST_F(Http, AClientThatLeavesCancelsItsQueuedRequest) {
  Gate gate;
  start();
  gate_ = &gate;
  Client running = client(), leaving = client();
  const auto infer = [&](Client& c, const std::string& body) {
    c.send("POST /v2/models/sum/infer HTTP/1.1\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  };
  infer(running, rows("1,2,3"));
  gate.await(1);
  infer(leaving, rows("4,5,6"));
  const auto model = *server_->repository().find("sum", "");
  while (model->scheduler().waiting() == 0) std::this_thread::yield();
  leaving.close();
  while (model->statistics().snapshot().cancelled == 0) std::this_thread::yield();
  EXPECT_EQ(model->scheduler().waiting(), 0u);
  gate.open();
  EXPECT_EQ(running.receive().status, 200);
}

TEST_F(Http, DrainAnswersWhatHasComeAndAHalfSentRequestDoesNotHoldIt) {
  Gate gate;
  options_.http.drain_timeout = std::chrono::milliseconds(200);
  start();
  gate_ = &gate;
  Client running = client(), half = client(), idle = client();
  const std::string body = rows("1,2,3");
  running.send("POST /v2/models/sum/infer HTTP/1.1\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  gate.await(1);
  half.send("POST /v2/models/sum/infer HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{");
  std::thread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    gate.open();
  });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(server_->drain().ok());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  opener.join();
  EXPECT_EQ(running.receive().status, 200);
  EXPECT_EQ(half.receive().status, 0);
  EXPECT_EQ(idle.receive().status, 0);
}

TEST_F(Http, ModelsComeAndGoUnderExplicitControl) {
  options_.repository.control = Control::kExplicit;
  options_.repository.load = {"sum"};
  add("other", 1);
  start();
  Client c = client();
  EXPECT_EQ(c.request("GET", "/v2/models/other/ready").status, 404);
  const json index = c.request("POST", "/v2/repository/index").parsed();
  ASSERT_EQ(index.size(), 2u);
  EXPECT_EQ(index[0]["state"], "UNAVAILABLE");
  EXPECT_EQ(index[1]["state"], "READY");
  EXPECT_EQ(c.request("POST", "/v2/repository/index", R"({"ready":true})").parsed().size(), 1u);
  EXPECT_EQ(c.request("POST", "/v2/repository/models/other/load", "{}").status, 200);
  EXPECT_EQ(c.request("GET", "/v2/models/other/ready").status, 200);
  EXPECT_EQ(c.request("POST", "/v2/repository/models/other/unload").status, 200);
  EXPECT_EQ(c.request("GET", "/v2/models/other/ready").status, 404);
  EXPECT_EQ(c.request("POST", "/v2/repository/models/nothing/load").status, 404);
  EXPECT_EQ(c.request("POST", "/v2/repository/models/..%2fsum/load").status, 404);
  add("sum", 2, "bad");
  const Answered failed = c.request("POST", "/v2/repository/models/sum/load");
  EXPECT_EQ(failed.status, 400);
  EXPECT_THAT(failed.body, HasSubstr("damaged"));
  EXPECT_EQ(c.request("POST", "/v2/models/sum/infer", rows("1,2,3")).parsed()["model_version"], "1");  // still there
}

TEST_F(Http, AModelIsReplacedWithoutAFailedRequest) {
  options_.repository.control = Control::kExplicit;
  options_.repository.load = {"sum"};
  start();
  std::atomic<bool> stop{false};
  std::atomic<int> good{0}, bad{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 3; ++i)
    clients.emplace_back([&] {
      Client c = client();
      while (!stop) {
        const Answered a = c.request("POST", "/v2/models/sum/infer", rows("1,2,3"));
        const bool right = a.status == 200 && a.parsed()["outputs"][0]["data"][0] == 6;
        ++(right ? good : bad);
      }
    });
  Client control = client();
  for (int version = 2; version < 12; ++version) {
    add("sum", version);
    EXPECT_EQ(control.request("POST", "/v2/repository/models/sum/load").status, 200);
  }
  EXPECT_EQ(control.request("GET", "/v2/models/sum").parsed()["versions"], std::vector<std::string>({"11"}));
  stop = true;
  for (std::thread& thread : clients) thread.join();
  EXPECT_GT(good, 0);
  EXPECT_EQ(bad, 0);
}

TEST_F(Http, ControlNeedsItsToken) {
  options_.repository.control = Control::kExplicit;
  options_.access.token = "secret";
  start();
  Client c = client();
  EXPECT_EQ(c.request("POST", "/v2/repository/models/sum/load").status, 401);
  EXPECT_EQ(c.request("POST", "/v2/repository/models/sum/load", "", "Authorization: Bearer secreT\r\n").status, 401);
  EXPECT_EQ(c.request("POST", "/v2/repository/models/sum/load", "", "Authorization: Bearer secret\r\n").status, 200);
  EXPECT_EQ(check_control({}, false, "").cause, Cause::kForbidden);
  EXPECT_TRUE(check_control({true, ""}, false, "").ok());
}

TEST_F(Http, AnUncertifiedEngineIsRefusedUnlessAllowed) {
  options_.repository.settings.allow_uncertified = false;
  const auto refused = Server::start(options_);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.status().message(), HasSubstr("--allow-uncertified"));
}

TEST_F(Http, APortInUseIsAnError) {
  start();
  ServerOptions second = options_;
  second.http.port = server_->http_port();
  const auto refused = Server::start(second);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), Code::kIo);
}

}  // namespace
}  // namespace vitrail::serve
