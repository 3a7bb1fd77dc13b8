// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace vitrail::serve {

// Certificate chain and private key, PEM.
struct TlsFiles {
  std::string certificate, key;
};

}  // namespace vitrail::serve
