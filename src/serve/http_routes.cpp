// SPDX-License-Identifier: Apache-2.0
#include "serve/http_routes.h"

#include "core/error.h"
#include "core/parse_number.h"
#include "engine/json_cursor.h"
#include "serve/http_encoding.h"
#include "serve/infer_json.h"
#include "serve/metrics.h"
#include "serve/page.h"

namespace vitrail::serve {
namespace {

constexpr size_t kMaxControlBody = 1 << 16;
constexpr size_t kMaxLoggedPath = 300;

using Done = std::function<void(HttpReply)>;
using Cancel = std::function<void()>;

HttpReply json_reply(const OrderedJson& json) {
  HttpReply reply;
  reply.body = json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  return reply;
}

HttpReply json_reply(const Reply<OrderedJson>& json) {
  return json.ok() ? json_reply(*json) : error_reply(json.fault());
}

HttpReply empty_reply(const Fault& fault) {
  if (!fault.ok()) return error_reply(fault);
  HttpReply reply;
  reply.content_type.clear();
  return reply;
}

HttpReply page_reply() {
  HttpReply reply;
  reply.content_type = "text/html; charset=utf-8";
  reply.body = page_html();
  // Nothing from elsewhere, whatever a model may be named.
  reply.headers.emplace_back("Content-Security-Policy",
                             "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'");
  return reply;
}

HttpReply state_reply(bool good) {
  HttpReply reply = empty_reply({});
  reply.status = good ? 200 : 503;
  return reply;
}

// Bytes compare in a time that does not tell where they differ.
bool same_secret(std::string_view a, std::string_view b) {
  unsigned differ = a.size() != b.size();
  for (size_t i = 0; i < a.size(); ++i)
    differ |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(i < b.size() ? b[i] : 0);
  return differ == 0;
}

Reply<OrderedJson> describe_regions(const Reply<std::vector<RegionInfo>>& regions) {
  if (!regions.ok()) return regions.fault();
  OrderedJson list = OrderedJson::array();
  for (const RegionInfo& r : *regions)
    list.push_back({{"name", r.name}, {"key", r.key}, {"offset", r.offset}, {"byte_size", r.byte_size}});
  return list;
}

class Routes {
 public:
  Routes(Service& service, AccessOptions access) : service_(service), access_(std::move(access)) {}

  Cancel answer(HttpRequest request, const Done& done) {
    const auto target = parse_target(request.target);
    if (!target) return finish(done, error_reply({Cause::kInvalid, "the request's path cannot be read"}));
    request.record = begin(request, target->path);
    if (!request.record) return route(std::move(request), *target, done);
    return route(request, *target, [record = request.record, done](HttpReply reply) {
      record->status = reply.status;
      if (record->error.empty()) record->error = std::move(reply.error);
      record->failed |= reply.status == 500;
      reply.record = record;
      done(std::move(reply));
    });
  }

 private:
  // What is to be told of the request, null when nothing is.
  RecordPtr begin(const HttpRequest& request, const std::vector<std::string>& path) {
    const bool inference = request.method == "POST" && path.size() >= 4 && path[0] == "v2" && path[1] == "models" &&
                           (path.back() == "infer" || path.back() == "classify");
    RecordPtr record = service_.telemetry().begin(false, inference ? path[2] : std::string(), request.traceparent);
    if (!record) return record;
    record->method = request.method;
    record->path = request.target.substr(0, kMaxLoggedPath);
    record->peer = request.peer;
    record->receive_start_ns = request.receive_start_ns;
    record->receive_end_ns = request.receive_end_ns;
    return record;
  }

  Cancel route(HttpRequest request, const HttpTarget& target, const Done& done) {
    const std::vector<std::string>& path = target.path;
    if (path.empty()) return get(request, done, [] { return page_reply(); });
    if (path.size() == 2 && path[0] == "vitrail" && path[1] == "overview")
      return get(request, done, [&] { return json_reply(service_.overview()); });
    if (path[0] != "v2") return unknown(request, done);
    if (path.size() == 1) return get(request, done, [&] { return json_reply(service_.server_metadata()); });
    if (path[1] == "health" && path.size() == 3) {
      if (path[2] == "live") return get(request, done, [] { return state_reply(true); });
      if (path[2] == "ready") return get(request, done, [&] { return state_reply(service_.ready()); });
    }
    if (path[1] == "models") return models(std::move(request), target, done);
    if (path[1] == "logging" && path.size() == 2)
      return settings(request, done, [&](const nlohmann::json& change) { return service_.log_settings(change); });
    if (path[1] == "trace" && path.size() == 3 && path[2] == "setting") return trace_settings(request, "", done);
    if (path[1] == "systemsharedmemory") return shared_memory(request, path, done);
    if (path[1] == "cudasharedmemory") return cuda_shared_memory(request, path, done);
    if (path[1] == "repository") return repository(request, path, done);
    return unknown(request, done);
  }

  Cancel finish(const Done& done, HttpReply reply) {
    done(std::move(reply));
    return [] {};
  }
  Cancel unknown(const HttpRequest& request, const Done& done) {
    return finish(done, error_reply(fault(Cause::kNotFound, "{} {}: there is no such path", request.method,
                                          request.target.substr(0, 200))));
  }
  // Runs `make` when the method is the one wanted.
  template <class F>
  Cancel only(std::string_view method, const HttpRequest& request, const Done& done, F&& make) {
    if (request.method == method) return finish(done, make());
    HttpReply reply = error_reply(fault(Cause::kNotAllowed, "this path takes {}, not {}", method, request.method));
    reply.headers.emplace_back("Allow", method);
    return finish(done, std::move(reply));
  }
  template <class F>
  Cancel get(const HttpRequest& request, const Done& done, F&& make) {
    return only("GET", request, done, std::forward<F>(make));
  }

  // GET shows settings, POST changes and shows them; the latter is control.
  template <class F>
  Cancel settings(const HttpRequest& request, const Done& done, F&& change) {
    if (request.method != "POST") return get(request, done, [&] { return json_reply(change(nlohmann::json::object())); });
    if (const Fault no = check_control(access_, request.from_loopback, request.authorization); !no.ok())
      return finish(done, error_reply(no));
    if (request.body->size() > kMaxControlBody)
      return finish(done, error_reply(fault(Cause::kTooLarge, "{} bytes; such a request has at most {}",
                                            request.body->size(), kMaxControlBody)));
    const auto json = parse_json(request.body->empty() ? std::string_view("{}") : request.body->view());
    if (!json.ok()) return finish(done, error_reply(fault_of(json.status())));
    return finish(done, json_reply(change(*json)));
  }
  Cancel trace_settings(const HttpRequest& request, const std::string& model, const Done& done) {
    return settings(request, done,
                    [&](const nlohmann::json& change) { return service_.trace_settings(model, change); });
  }

  // /v2/models/stats, /v2/models/{m}[/versions/{v}][/ready|config|stats|infer|classify]
  Cancel models(HttpRequest request, const HttpTarget& target, const Done& done) {
    const std::vector<std::string>& path = target.path;
    if (path.size() == 3 && path[2] == "stats")
      return get(request, done, [&] { return json_reply(service_.statistics("", "")); });
    if (path.size() < 3) return unknown(request, done);
    const std::string& model = path[2];
    if (path.size() == 5 && path[3] == "trace" && path[4] == "setting") return trace_settings(request, model, done);
    size_t at = 3;
    std::string version;
    if (path.size() >= 5 && path[3] == "versions") version = path[4], at = 5;
    if (path.size() == at)
      return get(request, done, [&] { return json_reply(service_.model_metadata(model, version)); });
    if (path.size() > at + 1) return unknown(request, done);
    const std::string& what = path[at];
    if (what == "ready")
      return get(request, done, [&] {
        const auto found = service_.repository().find(model, version);
        return found.ok() ? state_reply(service_.ready()) : error_reply(found.fault());
      });
    if (what == "config")
      return get(request, done, [&] { return json_reply(service_.model_config(model, version)); });
    if (what == "stats")
      return get(request, done, [&] { return json_reply(service_.statistics(model, version)); });
    if (what != "infer" && what != "classify") return unknown(request, done);
    if (request.method != "POST") return only("POST", request, done, [] { return HttpReply(); });
    return what == "infer" ? infer(request, model, version, done) : classify(request, target, model, version, done);
  }

  Cancel infer(const HttpRequest& request, const std::string& model, const std::string& version, const Done& done) {
    size_t header = request.body->size();
    if (!request.header_length.empty() && !parse_number(request.header_length, header))
      return finish(done, error_reply(fault(Cause::kInvalid, "Inference-Header-Content-Length '{}' is no number",
                                            request.header_length.substr(0, 50))));
    auto parsed = parse_infer_request(std::as_bytes(std::span(request.body->view())), header, request.body);
    if (!parsed.ok()) return finish(done, error_reply(fault_of(parsed.status())));
    parsed->model = model;
    parsed->version = version;
    parsed->record = request.record;
    parsed->run_here = request.alone;
    return service_.infer(std::move(*parsed), [done](Reply<InferResponse> response) {
      if (!response.ok()) return done(error_reply(response.fault()));
      auto body = write_infer_response(*response);
      if (!body.ok()) return done(error_reply(fault_of(body.status())));
      HttpReply reply;
      if (body->header_length > 0) {
        reply.content_type = "application/octet-stream";
        reply.headers.emplace_back("Inference-Header-Content-Length", std::to_string(body->header_length));
      }
      reply.body = std::move(body->content);
      done(std::move(reply));
    });
  }

  Cancel classify(const HttpRequest& request, const HttpTarget& target, const std::string& model,
                  const std::string& version, const Done& done) {
    InferRequest call;
    call.record = request.record;
    call.model = model;
    call.version = version;
    int top = 5;
    int64_t timeout_us = 0;
    const auto read = [&](const char* name, auto& value, int64_t least, int64_t most) -> Fault {
      const auto text = target.parameter(name);
      if (!text) return {};
      if (!parse_number(*text, value) || std::cmp_less(value, least) || std::cmp_greater(value, most))
        return fault(Cause::kInvalid, "{}={}: it must be a whole number from {} to {}", name, *text, least, most);
      return {};
    };
    for (const Fault& bad : {read("top", top, 1, 1'000'000), read("timeout", timeout_us, 0, INT64_MAX / 1000),
                             read("priority", call.priority, 0, INT32_MAX)})
      if (!bad.ok()) return finish(done, error_reply(bad));
    call.timeout_us = timeout_us;
    return service_.classify(std::move(call), request.body->view(), top, [done](Reply<Classified> classes) {
      if (!classes.ok()) return done(error_reply(classes.fault()));
      OrderedJson list = OrderedJson::array();
      for (const Classification& c : classes->top)
        list.push_back({{"index", c.index}, {"label", c.label}, {"score", c.score}});
      done(json_reply({{"model_name", classes->model}, {"model_version", classes->version}, {"top", list}}));
    });
  }

  // POST /v2/repository/index, /v2/repository/models/{m}/load|unload
  Cancel repository(const HttpRequest& request, const std::vector<std::string>& path, const Done& done) {
    if (request.body->size() > kMaxControlBody)
      return finish(done, error_reply(fault(Cause::kTooLarge, "{} bytes; such a request has at most {}",
                                            request.body->size(), kMaxControlBody)));
    if (path.size() == 3 && path[2] == "index")
      return only("POST", request, done, [&] {
        const auto json = parse_json(request.body->empty() ? std::string_view("{}") : request.body->view());
        if (!json.ok()) return error_reply(fault_of(json.status()));
        const bool ready = json->is_object() && json->contains("ready") && (*json)["ready"] == true;
        return json_reply(service_.index(ready));
      });
    if (path.size() != 5 || path[2] != "models" || (path[4] != "load" && path[4] != "unload"))
      return unknown(request, done);
    if (request.method != "POST") return only("POST", request, done, [] { return HttpReply(); });
    if (const Fault no = check_control(access_, request.from_loopback, request.authorization); !no.ok())
      return finish(done, error_reply(no));
    service_.change(path[4] == "load" ? &Repository::load : &Repository::unload, path[3],
                    [done](const Fault& fault) { done(empty_reply(fault)); });
    return [] {};
  }

  // GET /v2/systemsharedmemory[/region/{name}]/status, POST …/register, …/unregister
  Cancel shared_memory(const HttpRequest& request, const std::vector<std::string>& path, const Done& done) {
    const bool named = path.size() == 5 && path[2] == "region";
    if (!named && path.size() != 3) return unknown(request, done);
    const std::string name = named ? path[3] : "";
    const std::string& what = path.back();
    SharedMemory& memory = service_.shared_memory();
    if (what == "status") return get(request, done, [&] { return json_reply(describe_regions(memory.list(name))); });
    if (what != "unregister" && !(named && what == "register")) return unknown(request, done);
    return only("POST", request, done, [&] {
      if (const Fault no = check_control(access_, request.from_loopback, request.authorization); !no.ok())
        return error_reply(no);
      if (what == "unregister") return memory.remove(name), empty_reply({});
      if (request.body->size() > kMaxControlBody)
        return error_reply(fault(Cause::kTooLarge, "{} bytes; such a request has at most {}", request.body->size(),
                                 kMaxControlBody));
      const auto json = parse_json(request.body->view());
      if (!json.ok()) return error_reply(fault_of(json.status()));
      Status status;
      const JsonCursor cursor(*json, status);
      RegionInfo region{name, cursor["key"].text(), 0, static_cast<uint64_t>(cursor["byte_size"].integer(0))};
      if (cursor.has("offset")) region.offset = static_cast<uint64_t>(cursor["offset"].integer(0));
      return status.ok() ? empty_reply(memory.add(region)) : error_reply(fault_of(status));
    });
  }
  // No device's memory is shared: there is nothing to list or to forget, and nothing can be registered.
  Cancel cuda_shared_memory(const HttpRequest& request, const std::vector<std::string>& path, const Done& done) {
    if (path.back() == "status") return get(request, done, [] { return json_reply(OrderedJson::array()); });
    if (path.back() == "unregister") return only("POST", request, done, [] { return empty_reply({}); });
    return finish(done, error_reply({Cause::kInvalid, "CUDA shared memory is not supported; use system shared memory"}));
  }

  Service& service_;
  const AccessOptions access_;
};

}  // namespace

Fault check_control(const AccessOptions& access, bool from_loopback, std::string_view authorization) {
  if (!from_loopback && !access.allow_control)
    return {Cause::kForbidden, "control from other machines is off; start the server with --allow-control"};
  constexpr std::string_view kScheme = "Bearer ";
  if (access.token.empty()) return {};
  if (authorization.starts_with(kScheme) && same_secret(authorization.substr(kScheme.size()), access.token)) return {};
  return {Cause::kUnauthorized, "control needs the header 'Authorization: Bearer <token>' with the server's token"};
}

HttpHandler make_routes(Service& service, AccessOptions access, uint64_t max_body) {
  auto routes = std::make_shared<Routes>(service, std::move(access));
  HttpHandler plain = [routes](HttpRequest request, const std::function<void(HttpReply)>& done) {
    return routes->answer(std::move(request), done);
  };
  return with_encodings(service, std::move(plain), max_body);
}

HttpHandler make_metrics_routes(Service& service, SystemMetrics& system) {
  return [&service, &system](const HttpRequest& request, const std::function<void(HttpReply)>& done) {
    HttpReply reply;
    if (request.target == "/metrics" && request.method == "GET") {
      reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
      reply.body = metrics_text(service, system);
    } else {
      reply = error_reply({Cause::kNotFound, "metrics are at GET /metrics"});
    }
    done(std::move(reply));
    return std::function<void()>([] {});
  };
}

}  // namespace vitrail::serve
