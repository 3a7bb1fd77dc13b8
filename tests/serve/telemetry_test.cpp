// SPDX-License-Identifier: Apache-2.0
#include "serve/telemetry.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace vitrail::serve {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

std::string path_of(const std::string& name) {
  const fs::path path = fs::path(testing::TempDir()) / fmt::format("vitrail_{}_{}", ::getpid(), name);
  fs::remove(path);
  return path.string();
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(LogLine, HasTritonsFormats) {
  const std::chrono::system_clock::time_point time{std::chrono::microseconds(1'716'235'405'829'575)};
  const LogField fields[] = {{"model", "vit"}, {"rows", int64_t{3}}, {"queue_us", 1.5}, {"id", "a b"}};
  EXPECT_EQ(log_line(LogFormat::kText, LogLevel::kInfo, time, "loaded", fields),
            fmt::format("I0520 20:03:25.829575 {}] loaded model=vit rows=3 queue_us=1.500 id=\"a b\"", ::getpid()));
  EXPECT_EQ(log_line(LogFormat::kIso8601, LogLevel::kWarning, time, "slow", {}),
            fmt::format("2024-05-20T20:03:25Z W {}] slow", ::getpid()));
  const json object = json::parse(log_line(LogFormat::kJson, LogLevel::kError, time, "bad", fields));
  EXPECT_EQ(object, json::parse(R"({"time":"2024-05-20T20:03:25.829575Z","level":"error","message":"bad","model":"vit",
                                    "rows":3,"queue_us":1.5,"id":"a b"})"));
}

TEST(LogLine, WhatAClientSendsStaysOnTheLine) {
  const LogField fields[] = {{"id", "x\nE0101 00:00:00.000000 1] forged"}, {"path", "\xff\x1b[31m"}};
  for (const LogFormat format : {LogFormat::kText, LogFormat::kIso8601, LogFormat::kJson}) {
    const std::string line = log_line(format, LogLevel::kInfo, {}, "a\nb\r", fields);
    EXPECT_TRUE(std::ranges::none_of(line, [](char c) { return static_cast<unsigned char>(c) < ' '; })) << line;
  }
  EXPECT_FALSE(json::parse(log_line(LogFormat::kJson, LogLevel::kInfo, {}, "m", fields), nullptr, false).is_discarded());
}

TEST(Log, WritesWhatItsSettingsLetThrough) {
  const std::string path = path_of("log");
  auto log = Log::open({LogLevel::kInfo, LogFormat::kJson, path});
  ASSERT_TRUE(log.ok()) << log.status().message();
  (*log)->write(LogLevel::kInfo, "one");
  (*log)->write(LogLevel::kVerbose, "two");
  ASSERT_TRUE((*log)->update(json{{"log_info", false}, {"log_verbose_level", 1}, {"log_format", nullptr}}).ok());
  (*log)->write(LogLevel::kInfo, "three");
  (*log)->write(LogLevel::kVerbose, "four");
  EXPECT_EQ(json((*log)->settings()),
            (json{{"log_file", path}, {"log_info", false}, {"log_warning", true}, {"log_error", true},
                  {"log_verbose_level", 1}, {"log_format", "json"}}));
  *log = nullptr;  // writes what is queued
  const std::string text = text_of(path);
  EXPECT_THAT(text, HasSubstr("\"one\""));
  EXPECT_THAT(text, HasSubstr("\"four\""));
  EXPECT_THAT(text, Not(HasSubstr("\"two\"")));
  EXPECT_THAT(text, Not(HasSubstr("\"three\"")));
}

TEST(Log, IsOpenedAgainAfterItsFileWasMoved) {
  const std::string path = path_of("rotated"), moved = path_of("rotated.1");
  auto log = Log::open({LogLevel::kInfo, LogFormat::kText, path});
  ASSERT_TRUE(log.ok());
  (*log)->write(LogLevel::kInfo, "before");
  fs::rename(path, moved);
  ASSERT_TRUE((*log)->reopen().ok());
  (*log)->write(LogLevel::kInfo, "after");
  *log = nullptr;
  EXPECT_THAT(text_of(moved), HasSubstr("before"));
  EXPECT_THAT(text_of(path), HasSubstr("after"));
}

TEST(Log, RefusesSettingsThatItDoesNotKnow) {
  auto log = Log::open({});
  ASSERT_TRUE(log.ok());
  const auto before = (*log)->settings();
  for (const char* text : {R"([])", R"({"log_info":1})", R"({"log_verbose_level":-1})", R"({"log_verbose_level":"1"})",
                           R"({"log_format":"xml"})", R"({"log_format":3})", R"({"log_file":"/etc/passwd"})",
                           R"({"log_info":false,"else":1})"})
    EXPECT_FALSE((*log)->update(json::parse(text)).ok()) << text;
  EXPECT_EQ((*log)->settings(), before);
  EXPECT_EQ(Log::open({LogLevel::kInfo, LogFormat::kText, "/dev/null/log"}).status().code(), Code::kIo);
}

TEST(Traceparent, IsReadAsTheRecommendationHasIt) {
  const auto context = parse_traceparent(kParent);
  ASSERT_TRUE(context.has_value());
  EXPECT_EQ(hex_of(context->trace), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(hex_of(context->span), "b7ad6b7169203331");
  EXPECT_TRUE(context->sampled);
  EXPECT_FALSE(parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")->sampled);
  EXPECT_TRUE(parse_traceparent("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later"));
  for (const char* bad : {"", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later",
                          "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                          "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                          "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                          "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                          "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
                          "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x"})
    EXPECT_FALSE(parse_traceparent(bad)) << bad;
}

TEST(TraceSettings, SampleByRateAndCount) {
  TraceSettings settings({true, 3, 2, 0});
  int traced = 0;
  for (int i = 1; i <= 12; ++i) {
    const bool sampled = settings.sample("m", false) != nullptr;
    EXPECT_EQ(sampled, i == 3 || i == 6) << i;  // then the count is used up
    traced += sampled;
  }
  EXPECT_EQ(traced, 2);
  EXPECT_EQ(settings.values("").count, 0);
  EXPECT_TRUE(settings.sample("m", true));  // the caller traces it
  ASSERT_TRUE(settings.update("", json{{"trace_count", "-1"}, {"trace_rate", "0"}}).ok());
  EXPECT_FALSE(settings.sample("m", false));
  EXPECT_TRUE(settings.sample("m", true));
  ASSERT_TRUE(settings.update("", json{{"trace_level", {"OFF"}}}).ok());
  EXPECT_FALSE(settings.sample("m", true));
}

TEST(TraceSettings, OfAModelLieOverTheGlobalOnes) {
  TraceSettings settings({});
  ASSERT_TRUE(settings.update("a", json{{"trace_level", {"TIMESTAMPS"}}, {"trace_rate", "1"}}).ok());
  EXPECT_TRUE(settings.sample("a", false));
  EXPECT_FALSE(settings.sample("b", false));
  ASSERT_TRUE(settings.update("", json{{"trace_rate", 7}, {"log_frequency", "9"}}).ok());
  EXPECT_EQ(settings.values("a").rate, 1u);
  EXPECT_EQ(settings.values("a").log_frequency, 9u);
  ASSERT_TRUE(settings.update("a", json{{"trace_rate", nullptr}}).ok());
  EXPECT_EQ(settings.values("a").rate, 7u);
  ASSERT_TRUE(settings.update("", json{{"trace_rate", nullptr}}).ok());
  EXPECT_EQ(settings.values("a").rate, 1000u);
  ASSERT_TRUE(settings.update("a", json{{"trace_level", nullptr}}).ok());
  EXPECT_FALSE(settings.values("a").timestamps);
}

TEST(TraceSettings, RefuseWhatMakesNoSense) {
  TraceSettings settings({true, 5, -1, 0});
  for (const char* text :
       {R"([])", R"({"trace_level":["MAX"]})", R"({"trace_level":["OFF","TIMESTAMPS"]})", R"({"trace_level":["TENSORS","OFF"]})", R"({"trace_level":[]})",
        R"({"trace_level":[7]})", R"({"trace_rate":"-1"})", R"({"trace_rate":"1.5"})", R"({"trace_rate":""})",
        R"({"trace_rate":true})", R"({"trace_count":"-2"})", R"({"trace_count":"99999999999"})",
        R"({"log_frequency":{}})", R"({"trace_file":"x"})", R"({"trace_mode":"triton"})", R"({"trace_rate":"9","x":1})"})
    EXPECT_FALSE(settings.update("", json::parse(text)).ok()) << text;
  EXPECT_EQ(settings.values("").rate, 5u);
  TraceSettings spans({}, true, false);
  EXPECT_THAT(spans.update("", json{{"trace_level", {"TENSORS"}}}).message, HasSubstr("mode=triton"));
  EXPECT_TRUE(settings.update("", json{{"trace_level", {"TENSORS"}}}).ok());
  EXPECT_TRUE(settings.values("").tensors && !settings.values("").timestamps);
  EXPECT_TRUE(settings.sample("any", true));
  TraceSettings nowhere({}, false);
  EXPECT_THAT(nowhere.update("", json{{"trace_level", {"TIMESTAMPS"}}}).message, HasSubstr("triton,file="));
}

RequestRecord record_of(const std::shared_ptr<const TraceGroup>& group) {
  RequestRecord r;
  r.model = "vit";
  r.version = "3";
  r.id = "seven";
  r.path = "/v2/models/vit/infer";
  r.status = 200;
  r.rows = 2;
  r.batch_rows = 4;
  int64_t ns = 1000;
  for (int64_t* point : {&r.receive_start_ns, &r.receive_end_ns, &r.request_start_ns, &r.queue_start_ns,
                         &r.compute_start_ns, &r.input_end_ns, &r.output_start_ns, &r.compute_end_ns,
                         &r.request_end_ns, &r.send_start_ns, &r.send_end_ns})
    *point = ns += 10;
  r.traced = group;
  return r;
}

TEST(TraceFile, IsWholeJsonAfterEachTrace) {
  const std::string path = path_of("trace.json");
  const auto group = std::make_shared<const TraceGroup>(TraceValues{true, 1, -1, 0});
  TraceFile file(path);
  for (uint64_t id = 1; id <= 3; ++id) {
    ASSERT_TRUE(file.write(record_of(group), id).ok());
    const json all = json::parse(text_of(path));
    ASSERT_EQ(all.size(), 2 * id);
    EXPECT_EQ(all[0], json::parse(R"({"id":1,"model_name":"vit","model_version":3,"request_id":"seven"})"));
    EXPECT_EQ(all[1]["timestamps"].size(), 11u);
    EXPECT_EQ(all[1]["timestamps"][3], json::parse(R"({"name":"QUEUE_START","ns":1040})"));
  }
  EXPECT_FALSE(TraceFile("/nonexistent-folder/trace").write(record_of(group), 1).ok());
}

TEST(TraceFile, TensorsAreListedElementByElement) {
  const std::string path = path_of("tensors.json");
  TraceValues values;
  values.tensors = true;
  RequestRecord record = record_of(std::make_shared<const TraceGroup>(values));
  record.tensors = {{"TENSOR_QUEUE_INPUT", "x", Tensor::f32({1, 3}, {0.1f, -2, 1e30f})},
                    {"TENSOR_BACKEND_OUTPUT", "y", Tensor::from<uint8_t>(DType::kU8, {2}, std::vector<uint8_t>{7, 200})},
                    {"TENSOR_BACKEND_OUTPUT", "h", Tensor::from<uint16_t>(DType::kF16, {1}, std::vector<uint16_t>{0x3C00})}};
  ASSERT_TRUE(TraceFile(path).write(record, 1).ok());
  const json all = json::parse(text_of(path));
  ASSERT_EQ(all.size(), 4u);  // no timestamps
  EXPECT_EQ(all[1], json::parse(R"({"id":1,"activity":"TENSOR_QUEUE_INPUT",
                                    "tensor":{"name":"x","data":"0.1,-2,1e+30","shape":"1,3","dtype":"FP32"}})"));
  EXPECT_EQ(all[2]["tensor"], json::parse(R"({"name":"y","data":"7,200","shape":"2","dtype":"UINT8"})"));
  EXPECT_EQ(all[3]["tensor"]["data"], "1");
}

TEST(TraceFile, AFrequencyOrACountMakesNumberedFiles) {
  const std::string path = path_of("numbered");
  TraceFile file(path);
  const auto two = std::make_shared<const TraceGroup>(TraceValues{true, 1, -1, 2});
  for (uint64_t id = 1; id <= 3; ++id) ASSERT_TRUE(file.write(record_of(two), id).ok());
  EXPECT_EQ(json::parse(text_of(path + ".0")).size(), 4u);
  EXPECT_EQ(json::parse(text_of(path + ".1")).size(), 2u);
  const auto last = std::make_shared<const TraceGroup>(TraceValues{true, 1, 1, 0});
  ASSERT_TRUE(file.write(record_of(last), 4).ok());  // the only one of its count: the file is complete
  EXPECT_EQ(json::parse(text_of(path + ".1")).size(), 4u);
  ASSERT_TRUE(file.write(record_of(two), 5).ok());
  EXPECT_EQ(json::parse(text_of(path + ".2")).size(), 2u);
}

TEST(Otlp, ThreeSpansBelowTheCallersOne) {
  RequestRecord record = record_of(std::make_shared<const TraceGroup>(TraceValues{}));
  record.parent = *parse_traceparent(kParent);
  record.error = "wrong \xff";
  record.failed = true;
  std::mt19937_64 random(1);
  const json all = json::parse(otlp_json(std::span(&record, 1), {{"service.name", "v"}}, 1'000'000, random));
  EXPECT_EQ(all["resourceSpans"][0]["resource"]["attributes"],
            json::parse(R"([{"key":"service.name","value":{"stringValue":"v"}}])"));
  const json& spans = all["resourceSpans"][0]["scopeSpans"][0]["spans"];
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_EQ(spans[0]["parentSpanId"], "b7ad6b7169203331");
  EXPECT_EQ(spans[0]["startTimeUnixNano"], "1001010");
  EXPECT_EQ(spans[0]["endTimeUnixNano"], "1001110");
  EXPECT_EQ(spans[0]["status"]["code"], 2);
  EXPECT_EQ(spans[1]["name"], "vit");
  EXPECT_EQ(spans[1]["parentSpanId"], spans[0]["spanId"]);
  EXPECT_EQ(spans[2]["name"], "compute");
  EXPECT_EQ(spans[2]["parentSpanId"], spans[1]["spanId"]);
  EXPECT_EQ(spans[2]["events"].size(), 4u);
  for (const json& span : spans) EXPECT_EQ(span["traceId"], "0af7651916cd43dd8448eb211c80319c");
}

TEST(Tracer, NobodyWaitsForACollectorThatIsNotThere) {
  auto log = Log::open({LogLevel::kError, LogFormat::kText, path_of("tracer.log")});
  ASSERT_TRUE(log.ok());
  TraceOptions options;
  options.opentelemetry = true;
  options.url = "http://127.0.0.1:1/v1/traces";
  options.max_queue = 4;
  auto tracer = Tracer::create(options, **log);
  ASSERT_TRUE(tracer.ok()) << tracer.status().message();
  const auto group = std::make_shared<const TraceGroup>(TraceValues{});
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) (*tracer)->add(record_of(group));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  EXPECT_EQ((*tracer)->dropped(), 996u);  // the thread waits for more before it sends
  *tracer = nullptr;                      // ends, though the collector never answers
}

TEST(Tracer, ReadsTritonsWords) {
  TraceOptions o;
  for (const char* text : {"level=TIMESTAMPS", "rate=5", "count=7", "mode=opentelemetry", "triton,file=/tmp/x=y",
                           "triton,log-frequency=3", "opentelemetry,url=http://c:4318/v1/traces",
                           "opentelemetry,resource=service.name=shop", "opentelemetry,bsp_schedule_delay=20"})
    EXPECT_TRUE(read_trace_config(text, o).ok()) << text;
  EXPECT_TRUE(o.start.timestamps && o.opentelemetry);
  EXPECT_EQ(o.start.rate, 5u);
  EXPECT_EQ(o.start.count, 7);
  EXPECT_EQ(o.start.log_frequency, 3u);
  EXPECT_EQ(o.file, "/tmp/x=y");
  EXPECT_EQ(o.resource, (Attributes{{"service.name", "shop"}}));
  EXPECT_EQ(o.delay.count(), 20);
  for (const char* text : {"", "rate", "rate=", "rate=x", "level=MAX", "mode=file", "count=-2", "triton,rate=1", "other,x=1",
                           "opentelemetry,resource=name", "opentelemetry,bsp_schedule_delay=0", ",", "=", ",=,"})
    EXPECT_FALSE(read_trace_config(text, o).ok()) << text;
}

}  // namespace
}  // namespace vitrail::serve
