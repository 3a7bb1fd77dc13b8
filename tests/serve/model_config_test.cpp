// SPDX-License-Identifier: Apache-2.0
#include "serve/model_config.h"

#include <gmock/gmock.h>

namespace vitrail::serve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ModelConfig, ReadsTritonsFields) {
  const auto config = read_config(R"(
    name: "vit"  # a comment
    backend: "vitrail"
    max_batch_size: 16
    input [{ name: "input" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] }]
    version_policy: { latest { num_versions: 2 } }
    instance_group [ { count: 2 kind: KIND_CPU }, { count: 1 } ]
    dynamic_batching {
      preferred_batch_size: [ 8, 4 ]
      max_queue_delay_microseconds: 500
      preserve_ordering: true
      priority_levels: 5
      default_priority_level: 2
      default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 1000 allow_timeout_override: true max_queue_size: 7 }
      priority_queue_policy { key: 1 value { default_timeout_microseconds: 5000 } }
    }
    model_warmup [ { name: "w" batch_size: 4 count: 3 inputs { key: "input" value: { data_type: TYPE_FP32 dims: [3] zero_data: true } } } ]
    default_model_filename: "engine.vtl"
    parameters { key: "threads" value: { string_value: "3" } }
    optimization { priority: PRIORITY_MAX }
  )", "vit", {});
  ASSERT_TRUE(config.ok()) << config.status().message();
  const ModelSettings& s = config->settings;
  EXPECT_EQ(s.max_batch, 16);
  EXPECT_EQ(s.instances, 3);
  EXPECT_EQ(s.threads, 3);
  EXPECT_THAT(s.scheduler.policy.preferred, ElementsAre(4, 8));
  EXPECT_EQ(s.scheduler.policy.max_delay_ns, 500'000);
  EXPECT_TRUE(s.scheduler.preserve_ordering);
  EXPECT_EQ(s.scheduler.priority_levels, 5);
  EXPECT_EQ(s.scheduler.default_priority, 2);
  EXPECT_EQ(s.scheduler.queue.usual, (QueuePolicy{true, 1'000'000, true, 7}));
  EXPECT_EQ(s.scheduler.queue.of(1), (QueuePolicy{false, 5'000'000, false, 128}));
  EXPECT_EQ(s.scheduler.queue.of(2), s.scheduler.queue.usual);
  ASSERT_EQ(s.warm_ups.size(), 1u);
  EXPECT_EQ(s.warm_ups[0].rows, 4);
  EXPECT_EQ(s.warm_ups[0].count, 3);
  EXPECT_EQ(config->file, "engine.vtl");
  EXPECT_THAT(config->ignored, ElementsAre(HasSubstr("\"inputs\""), HasSubstr("\"optimization\"")));
  EXPECT_THAT(config->versions.choose({1, 2, 3}), ElementsAre(2, 3));
}

TEST(ModelConfig, WhatIsNotThereKeepsTheServersSettings) {
  ModelSettings base;
  base.instances = 4;
  base.scheduler.queue.usual.max_queue = 9;
  const auto config = read_config("", "vit", base);
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->settings.instances, 4);
  EXPECT_EQ(config->settings.scheduler.queue.usual.max_queue, 9u);
  EXPECT_THAT(config->versions.choose({1, 2}), ElementsAre(2));
}

TEST(ModelConfig, VersionPolicies) {
  EXPECT_THAT((VersionPolicy{.all = true}).choose({1, 5}), ElementsAre(1, 5));
  EXPECT_THAT((VersionPolicy{.specific = {5, 7}}).choose({1, 5}), ElementsAre(5));
  EXPECT_THAT((VersionPolicy{.latest = 3}).choose({1, 5}), ElementsAre(1, 5));
}

TEST(ModelConfig, FaultsSayWhere) {
  const auto fault = [](const char* text) { return read_config(text, "vit", {}).status().message(); };
  EXPECT_THAT(fault("max_batch_size: x"), HasSubstr("line 1, column 17"));
  EXPECT_THAT(fault("name: \"other\""), HasSubstr("'other'"));
  EXPECT_THAT(fault("platform: \"tensorrt_plan\""), HasSubstr("tensorrt_plan"));
  EXPECT_THAT(fault("max_batch_size: -1"), HasSubstr("-1"));
  EXPECT_THAT(fault("dynamic_batching { preferred_batch_size: 0 }"), HasSubstr("below 1"));
  EXPECT_THAT(fault("dynamic_batching { max_queue_delay_microseconds: 18446744073709551615 }"), HasSubstr("at most an hour"));
  EXPECT_THAT(fault("dynamic_batching { priority_levels: 2 default_priority_level: 3 }"), HasSubstr("above"));
  EXPECT_THAT(fault("dynamic_batching { priority_levels: 2 priority_queue_policy { key: 3 value {} } }"), HasSubstr("of priority 3"));
  EXPECT_THAT(fault("dynamic_batching { priority_levels: 1 priority_queue_policy { key: 1 value { default_timeout_microseconds: "
                    "18446744073709551615 } } }"),
              HasSubstr("at most an hour"));
  EXPECT_THAT(fault("version_policy { latest { num_versions: 0 } }"), HasSubstr("num_versions"));
  EXPECT_THAT(fault("default_model_filename: \"../x.vtl\""), HasSubstr("without a path"));
  EXPECT_THAT(fault("parameters { key: \"threads\" value { string_value: \"0\" } }"), HasSubstr("threads"));
  EXPECT_THAT(fault("instance_group { count: 1000 }"), HasSubstr("at most 256"));
}

}  // namespace
}  // namespace vitrail::serve
