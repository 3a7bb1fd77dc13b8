// SPDX-License-Identifier: Apache-2.0
// The makers behind the rows of kernel_list.cpp. refuse_* is asked first; prepare_* and make_* may then rely
// on it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "backends/cpu/step.h"

namespace vitrail::cpu {

// "none", "relu", "gelu", "gelu_tanh", "gelu_quick", "silu", "sigmoid", "tanh": the attribute of a Linear.
std::optional<Activation> activation_from_name(std::string_view name);

std::string refuse_linear(const Graph&, const Node&);
void prepare_linear(Graph&, Node&);
std::unique_ptr<Step> make_linear(const Graph&, const Node&);

std::string refuse_quantized_linear(const Graph&, const Node&);
void prepare_quantized_linear(Graph&, Node&);
std::unique_ptr<Step> make_quantized_linear(const Graph&, const Node&);
std::string refuse_quantize(const Graph&, const Node&);
std::unique_ptr<Step> make_quantize(const Graph&, const Node&);

std::string refuse_patch_embed(const Graph&, const Node&);
void prepare_patch_embed(Graph&, Node&);
std::unique_ptr<Step> make_patch_embed(const Graph&, const Node&);

std::string refuse_byte_attention(const Graph&, const Node&);
std::unique_ptr<Step> make_byte_attention(const Graph&, const Node&);
std::string refuse_attention(const Graph&, const Node&);
std::unique_ptr<Step> make_attention(const Graph&, const Node&);

std::string refuse_matmul(const Graph&, const Node&);
std::unique_ptr<Step> make_matmul(const Graph&, const Node&);

std::string refuse_layer_norm(const Graph&, const Node&);
std::unique_ptr<Step> make_layer_norm(const Graph&, const Node&);
std::string refuse_softmax(const Graph&, const Node&);
std::unique_ptr<Step> make_softmax(const Graph&, const Node&);
std::string refuse_reduce(const Graph&, const Node&);
std::unique_ptr<Step> make_reduce(const Graph&, const Node&);
std::string refuse_batch_norm(const Graph&, const Node&);
std::unique_ptr<Step> make_batch_norm(const Graph&, const Node&);

std::string refuse_cast(const Graph&, const Node&);
std::unique_ptr<Step> make_cast(const Graph&, const Node&);
std::string refuse_unary(const Graph&, const Node&);
std::unique_ptr<Step> make_unary(const Graph&, const Node&);
std::string refuse_clip(const Graph&, const Node&);
std::unique_ptr<Step> make_clip(const Graph&, const Node&);
std::string refuse_binary(const Graph&, const Node&);
std::unique_ptr<Step> make_binary(const Graph&, const Node&);

std::string refuse_view(const Graph&, const Node&);  // Reshape and its kin: no step at all
std::string refuse_copy(const Graph&, const Node&);
std::unique_ptr<Step> make_copy(const Graph&, const Node&);

std::string refuse_conv(const Graph&, const Node&);
void prepare_conv_transpose(Graph&, Node&);
std::unique_ptr<Step> make_conv(const Graph&, const Node&);
std::string refuse_pool(const Graph&, const Node&);
std::unique_ptr<Step> make_pool(const Graph&, const Node&);
std::string refuse_resize(const Graph&, const Node&);
std::unique_ptr<Step> make_resize(const Graph&, const Node&);

}  // namespace vitrail::cpu
