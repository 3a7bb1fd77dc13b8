// SPDX-License-Identifier: Apache-2.0
// Content codings of HTTP: gzip, and deflate, which is zlib's format there.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "serve/body_budget.h"
#include "serve/fault.h"

namespace vitrail::serve {

enum class Coding { kGzip, kDeflate };

std::string_view name_of(Coding coding);
// In any case; nothing for other names.
std::optional<Coding> coding_of(std::string_view name);

// The coding that an Accept-Encoding prefers, gzip where it likes both alike; nothing: as it is.
std::optional<Coding> accepted_coding(std::string_view accept);

// Adds what `data` inflates to to `body`. kTooLarge as soon as that is more than `most` bytes, kBusy when it does not
// fit beside the other requests, kInvalid for what is damaged, cut off, or followed by something else.
Fault inflate_body(Coding coding, std::string_view data, uint64_t most, HeldBody& body);

// Fast rather than small: answers are numbers for the most part.
std::string deflate_body(Coding coding, std::string_view data);

}  // namespace vitrail::serve
