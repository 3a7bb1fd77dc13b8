// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace vitrail::serve {

// The page at /: one HTML document that needs nothing else but GET /vitrail/overview and POST …/classify.
std::string_view page_html();

}  // namespace vitrail::serve
