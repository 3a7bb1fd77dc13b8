// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "serve/http_message.h"
#include "serve/service.h"

namespace vitrail::serve {

// `inner` with bodies that come compressed (Content-Encoding gzip or deflate) and answers that go so where the client
// accepts it. Both is done on the service's own threads, and so is reading much JSON; a body inflates to at most `max_body` bytes. What `inner` gives
// must be of the service.
HttpHandler with_encodings(Service& service, HttpHandler inner, uint64_t max_body);

}  // namespace vitrail::serve
