// SPDX-License-Identifier: Apache-2.0
#include "serve/compression.h"

#include <zlib.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <memory>

#include "core/parse_number.h"

namespace vitrail::serve {
namespace {

constexpr uint64_t kLeastStep = 65536;      // of the room for what is inflated
constexpr uint64_t kMostStep = 16u << 20;
constexpr int kMaxMembers = 1024;           // of a gzip body; each costs a reset

// zlib's bits of the window, and 16 more for gzip's format.
int window_bits(Coding coding) { return coding == Coding::kGzip ? MAX_WBITS + 16 : MAX_WBITS; }

Bytef* bytes(const char* data) { return reinterpret_cast<Bytef*>(const_cast<char*>(data)); }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return std::tolower(static_cast<unsigned char>(x)) == y; });
}

// "gzip;q=0.5" as its name and weight; a weight that cannot be read counts as none.
std::pair<std::string_view, double> weighted(std::string_view part) {
  const size_t semicolon = std::min(part.find(';'), part.size());
  const std::string_view name = trimmed(part.substr(0, semicolon));
  double weight = 1;
  if (semicolon < part.size()) {
    const std::string_view q = trimmed(part.substr(semicolon + 1));
    if (q.starts_with("q=") && !parse_number(q.substr(2), weight)) weight = 0;
  }
  return {name, weight};
}

}  // namespace

std::string_view name_of(Coding coding) { return coding == Coding::kGzip ? "gzip" : "deflate"; }

std::optional<Coding> coding_of(std::string_view name) {
  if (same_word(name, "gzip") || same_word(name, "x-gzip")) return Coding::kGzip;
  if (same_word(name, "deflate")) return Coding::kDeflate;
  return std::nullopt;
}

std::optional<Coding> accepted_coding(std::string_view accept) {
  double gzip = -1, deflate = -1, others = 0;
  for (size_t at = 0; at < accept.size();) {
    const size_t end = std::min(accept.find(',', at), accept.size());
    const auto [name, weight] = weighted(accept.substr(at, end - at));
    const auto coding = coding_of(name);
    if (coding) (*coding == Coding::kGzip ? gzip : deflate) = weight;
    if (name == "*") others = weight;
    at = end + 1;
  }
  if (gzip < 0) gzip = others;
  if (deflate < 0) deflate = others;
  if (gzip <= 0 && deflate <= 0) return std::nullopt;
  return gzip >= deflate ? Coding::kGzip : Coding::kDeflate;
}

Fault inflate_body(Coding coding, std::string_view data, uint64_t most, HeldBody& body) {
  z_stream z{};
  if (inflateInit2(&z, window_bits(coding)) != Z_OK) return {Cause::kBusy, "no memory to inflate the body; try again later"};
  const std::unique_ptr<z_stream, int (*)(z_stream*)> owner(&z, inflateEnd);
  uint64_t size = 0;
  z.next_in = bytes(data.data());
  for (int members = 1;;) {
    const size_t read = data.size() - static_cast<size_t>(bytes(data.data() + data.size()) - z.next_in);
    // One byte more than may be shows that there is more.
    if (size == body.bytes.size()) {
      const uint64_t step = std::min(std::clamp(size, kLeastStep, kMostStep), most - size + 1);
      if (!body.grow(step))
        return {Cause::kBusy, "the inflated body does not fit beside those of other requests (--max-body-total); try again later"};
      body.bytes.resize(size + step);
    }
    z.avail_in = static_cast<uInt>(std::min<size_t>(data.size() - read, std::numeric_limits<uInt>::max()));
    z.next_out = bytes(body.bytes.data() + size);
    const uint64_t room = body.bytes.size() - size;
    z.avail_out = static_cast<uInt>(room);
    const int result = inflate(&z, Z_NO_FLUSH);
    size += room - z.avail_out;
    if (size > most)
      return fault(Cause::kTooLarge, "the body inflates to more than {} bytes (--max-body)", most);
    const size_t left = static_cast<size_t>(bytes(data.data() + data.size()) - z.next_in);
    if (result == Z_STREAM_END) {
      if (left == 0) break;
      if (coding != Coding::kGzip || ++members > kMaxMembers)
        return fault(Cause::kInvalid, "Content-Encoding {}: {} bytes follow the end of the data", name_of(coding), left);
      inflateReset(&z);
    } else if (result == Z_BUF_ERROR && left == 0) {
      return fault(Cause::kInvalid, "Content-Encoding {}: the body is cut off", name_of(coding));
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      return fault(Cause::kInvalid, "Content-Encoding {}: the body is damaged at byte {}: {}", name_of(coding),
                   data.size() - left, z.msg ? z.msg : "no such format");
    }
  }
  body.bytes.resize(size);
  return {};
}

std::string deflate_body(Coding coding, std::string_view data) {
  z_stream z{};
  constexpr int kMemory = 8;  // zlib's own default
  if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, window_bits(coding), kMemory, Z_DEFAULT_STRATEGY) != Z_OK) return {};
  const std::unique_ptr<z_stream, int (*)(z_stream*)> owner(&z, deflateEnd);
  std::string out(deflateBound(&z, data.size()), '\0');
  if (data.size() > std::numeric_limits<uInt>::max() || out.size() > std::numeric_limits<uInt>::max()) return {};
  z.next_in = bytes(data.data());
  z.avail_in = static_cast<uInt>(data.size());
  z.next_out = bytes(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  if (deflate(&z, Z_FINISH) != Z_STREAM_END) return {};
  out.resize(out.size() - z.avail_out);
  return out;
}

}  // namespace vitrail::serve
