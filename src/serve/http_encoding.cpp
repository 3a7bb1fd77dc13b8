// SPDX-License-Identifier: Apache-2.0
#include "serve/http_encoding.h"

#include <algorithm>
#include <mutex>

#include "core/parse_number.h"
#include "serve/compression.h"

namespace vitrail::serve {
namespace {

constexpr size_t kWorthIt = 1024;  // bytes of an answer; below, the time is not worth it
constexpr size_t kLargeJson = 1 << 20;  // bytes; to read more would hold up the other connections of a thread
constexpr int kUnsupportedMediaType = 415;

using Done = std::function<void(HttpReply)>;
using Cancel = std::function<void()>;

// What a client's going away has to reach while its request changes threads.
struct Switch {
  std::mutex mutex;
  bool cancelled = false;
  Cancel cancel;

  void begin(Cancel next) {
    std::unique_lock lock(mutex);
    const bool late = cancelled;
    if (!late) cancel = std::move(next);
    lock.unlock();
    if (late) next();
  }
  void stop() {
    std::unique_lock lock(mutex);
    cancelled = true;
    const Cancel now = std::move(cancel);
    cancel = nullptr;
    lock.unlock();
    if (now) now();
  }
};

// What of the body may be JSON; the rest are binary tensors.
size_t json_bytes(const HttpRequest& request) {
  size_t header = 0;
  return parse_number(std::string_view(request.header_length), header) ? std::min(header, request.body->size()) : request.body->size();
}

Done compressing(Service& service, Coding coding, Done done) {
  return [&service, coding, done = std::move(done)](HttpReply reply) {
    if (reply.body.size() < kWorthIt) return done(std::move(reply));
    auto kept = std::make_shared<HttpReply>(std::move(reply));
    const bool taken = service.offload([kept, coding, done] {
      std::string small = deflate_body(coding, kept->body);
      if (!small.empty() && small.size() < kept->body.size()) {
        kept->body = std::move(small);
        kept->headers.emplace_back("Content-Encoding", name_of(coding));
      }
      kept->headers.emplace_back("Vary", "Accept-Encoding");
      done(std::move(*kept));
    });
    if (!taken) done(std::move(*kept));  // better large than late
  };
}

}  // namespace

HttpHandler with_encodings(Service& service, HttpHandler inner, uint64_t max_body) {
  return [&service, inner = std::move(inner), max_body](HttpRequest request, Done done) -> Cancel {
    const auto finish = [&](HttpReply reply) -> Cancel {
      done(std::move(reply));
      return [] {};
    };
    if (const auto accepted = accepted_coding(request.accept_encoding)) done = compressing(service, *accepted, std::move(done));
    const bool plain = request.content_encoding.empty() || request.content_encoding == "identity";
    if (plain && json_bytes(request) <= kLargeJson) return inner(std::move(request), std::move(done));
    const auto coding = coding_of(request.content_encoding);
    if (!plain && !coding) {
      HttpReply reply = error_reply(fault(Cause::kInvalid, "Content-Encoding '{}': there are gzip and deflate",
                                          request.content_encoding.substr(0, 50)));
      reply.status = kUnsupportedMediaType;
      reply.headers.emplace_back("Accept-Encoding", "gzip, deflate");
      return finish(std::move(reply));
    }
    auto state = std::make_shared<Switch>();
    request.alone = false;  // it leaves its thread
    auto kept = std::make_shared<HttpRequest>(std::move(request));
    const bool taken = service.offload([inner, kept, state, done, coding, max_body] {
      if (coding) {
        auto body = std::make_shared<HeldBody>(kept->budget);
        if (const Fault bad = inflate_body(*coding, kept->body->view(), max_body, *body); !bad.ok()) return done(error_reply(bad));
        kept->body = std::move(body);
        kept->content_encoding.clear();
      }
      state->begin(inner(std::move(*kept), done));
    });
    if (!taken) return finish(error_reply({Cause::kBusy, "too many bodies wait to be read; try again later"}));
    return [state] { state->stop(); };
  };
}

}  // namespace vitrail::serve
