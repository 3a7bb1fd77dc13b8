// SPDX-License-Identifier: Apache-2.0
#include "core/npy_header.h"

#include <algorithm>
#include <string_view>

#include "core/error.h"

namespace vitrail {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxHeaderBytes = 1 << 16;
constexpr size_t kMaxRank = 64;

struct TypeCode {
  std::string_view code;
  DType dtype;
};
constexpr TypeCode kTypeCodes[] = {
    {"f4", DType::kF32}, {"f8", DType::kF64}, {"f2", DType::kF16}, {"i1", DType::kI8},
    {"u1", DType::kU8},  {"i2", DType::kI16}, {"u2", DType::kU16}, {"i4", DType::kI32},
    {"u4", DType::kU32}, {"i8", DType::kI64}, {"u8", DType::kU64}, {"b1", DType::kBool},
};

// Reads the few Python literals that a header consists of.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}

  bool take(std::string_view token) {
    skip_space();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  bool take_string(std::string_view& out) {
    skip_space();
    if (rest_.empty() || (rest_[0] != '\'' && rest_[0] != '"')) return false;
    const size_t end = rest_.find(rest_[0], 1);
    if (end == std::string_view::npos) return false;
    out = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return true;
  }

  bool take_number(int64_t& out) {
    skip_space();
    size_t digits = 0;
    for (out = 0; digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '9'; ++digits)
      if (__builtin_mul_overflow(out, 10, &out) || __builtin_add_overflow(out, rest_[digits] - '0', &out))
        return false;
    rest_.remove_prefix(digits);
    if (digits > 0 && rest_.starts_with('L')) rest_.remove_prefix(1);  // Python 2
    return digits > 0;
  }

  bool take_shape(Shape& out) {
    if (!take("(")) return false;
    while (!take(")")) {
      int64_t extent = 0;
      if (out.size() == kMaxRank || !take_number(extent)) return false;
      out.push_back(extent);
      if (!take(",")) return take(")");
    }
    return true;
  }

  bool at_end() {
    skip_space();
    return rest_.empty();
  }

 private:
  void skip_space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }

  std::string_view rest_;
};

Result<DType> dtype_of(std::string_view descr) {
  const std::string_view code = descr.substr(std::min<size_t>(descr.size(), 1));
  for (const TypeCode& known : kTypeCodes) {
    if (known.code != code) continue;
    if (descr[0] == '>' && dtype_size(known.dtype) > 1)
      return bad_input("the array is big-endian ({}): save it with a.astype('<{}')", descr, code);
    if (std::string_view("<|=>").find(descr[0]) != std::string_view::npos) return known.dtype;
  }
  return bad_input(
      "arrays of type '{}' are not known: save it as float32, int64 or another plain number type",
      descr.substr(0, 40));
}

Status check_size(const NpyHeader& header) {
  auto bytes = static_cast<int64_t>(dtype_size(header.dtype));
  for (int64_t extent : header.shape)
    if (__builtin_mul_overflow(bytes, extent, &bytes))
      return bad_input("the shape {} of the .npy header is too large", to_string(header.shape));
  return {};
}

}  // namespace

Result<NpyHeader> parse_npy_header(std::span<const std::byte> file) {
  const std::string_view all(reinterpret_cast<const char*>(file.data()), file.size());
  if (!all.starts_with(kMagic)) return bad_input("not a .npy file (it does not start with \\x93NUMPY)");
  auto byte = [&](size_t i) { return static_cast<uint8_t>(all[i]); };
  if (all.size() < 12) return bad_input("the .npy header is cut off");
  const int version = byte(6);
  if (version < 1 || version > 3)
    return bad_input(".npy format version {} is not known; 1 to 3 are", version);
  const size_t start = version == 1 ? 10 : 12;
  const size_t length = version == 1 ? byte(8) | byte(9) << 8
                                     : byte(8) | byte(9) << 8 | byte(10) << 16 | size_t{byte(11)} << 24;
  if (length > std::min(all.size() - start, kMaxHeaderBytes))
    return bad_input("the .npy header claims {} bytes; {} follow and {} are allowed", length,
                     all.size() - start, kMaxHeaderBytes);

  NpyHeader header;
  header.data_offset = start + length;
  Cursor cursor(all.substr(start, length));
  const Status malformed = bad_input("the dictionary in the .npy header is malformed");
  bool has_descr = false, has_order = false, has_shape = false;
  if (!cursor.take("{")) return malformed;
  while (!cursor.take("}")) {
    std::string_view key, descr;
    if (!cursor.take_string(key) || !cursor.take(":")) return malformed;
    if (key == "descr" && !has_descr) {
      if (!cursor.take_string(descr)) return bad_input("the array holds records, not plain numbers");
      VTL_ASSIGN(header.dtype, dtype_of(descr));
      has_descr = true;
    } else if (key == "fortran_order" && !has_order) {
      header.fortran_order = cursor.take("True");
      if (!header.fortran_order && !cursor.take("False")) return malformed;
      has_order = true;
    } else if (key == "shape" && !has_shape) {
      if (!cursor.take_shape(header.shape)) return malformed;
      has_shape = true;
    } else {
      return malformed;
    }
    if (!cursor.take(",")) {
      if (!cursor.take("}")) return malformed;
      break;
    }
  }
  if (!has_descr || !has_order || !has_shape || !cursor.at_end()) return malformed;
  VTL_TRY(check_size(header));
  return header;
}

std::string write_npy_header(DType dtype, const Shape& shape) {
  std::string_view code;
  for (const TypeCode& known : kTypeCodes)
    if (known.dtype == dtype) code = known.code;
  std::string text = fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': (",
                                 dtype_size(dtype) > 1 ? '<' : '|', code);
  for (size_t i = 0; i < shape.size(); ++i) text += fmt::format("{}{}", i > 0 ? ", " : "", shape[i]);
  text += shape.size() == 1 ? ",), }" : "), }";
  constexpr size_t kPrefix = 10, kAlignment = 64;
  text.append(kAlignment - (kPrefix + text.size() + 1) % kAlignment, ' ');
  text += '\n';
  std::string header(kMagic);
  header += {'\x01', '\x00', static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
  return header + text;
}

}  // namespace vitrail
