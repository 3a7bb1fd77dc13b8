// SPDX-License-Identifier: Apache-2.0
#include "verify/sample_hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <new>

namespace vitrail {
namespace {

XXH3_state_t* state_of(void* state) { return static_cast<XXH3_state_t*>(state); }

}  // namespace

SampleHash::SampleHash() : state_(XXH3_createState()) {
  if (!state_) throw std::bad_alloc();
  XXH3_128bits_reset(state_of(state_.get()));
}

void SampleHash::Free::operator()(void* state) const { XXH3_freeState(state_of(state)); }

void SampleHash::add(const std::vector<NamedTensor>& sample) {
  for (const NamedTensor& input : sample) {
    const std::string head =
        fmt::format("{}:{}{};", input.name, dtype_name(input.tensor.dtype()), to_string(input.tensor.shape()));
    XXH3_128bits_update(state_of(state_.get()), head.data(), head.size());
    XXH3_128bits_update(state_of(state_.get()), input.tensor.data(), input.tensor.bytes());
  }
}

std::string SampleHash::hex() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_of(state_.get()));
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace vitrail
