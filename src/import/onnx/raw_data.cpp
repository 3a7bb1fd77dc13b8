// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/raw_data.h"

#include <cstdint>

namespace vitrail::onnx_import {
namespace {

// Field numbers of onnx.proto; the way down to the bytes. https://protobuf.dev/programming-guides/encoding
constexpr uint64_t kGraph = 7, kInitializer = 5, kRawData = 9;
constexpr unsigned kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5;

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

struct Field {
  uint64_t number = 0;
  unsigned type = 0;
  std::string_view all;      // with tag and length
  std::string_view content;  // of a length-delimited field
};

class Fields {
 public:
  explicit Fields(std::string_view message) : rest_(message) {}

  bool at_end() const { return rest_.empty(); }
  // False when the next field is cut off, longer encoded than it needs to be, or of a deprecated kind.
  bool next(Field& field) {
    const std::string_view begin = rest_;
    uint64_t tag = 0, value = 0;
    if (!varint(tag)) return false;
    field.number = tag >> 3;
    field.type = static_cast<unsigned>(tag & 7);
    field.content = {};
    switch (field.type) {
      case kVarint:
        if (!varint(value)) return false;
        break;
      case kFixed64:
      case kFixed32:
        if (!skip(field.type == kFixed64 ? 8 : 4)) return false;
        break;
      case kLengthDelimited: {
        if (!varint(value)) return false;
        const std::string_view content = rest_;
        if (!skip(value)) return false;
        field.content = content.substr(0, value);
        break;
      }
      default:
        return false;
    }
    field.all = begin.substr(0, begin.size() - rest_.size());
    return true;
  }

 private:
  bool varint(uint64_t& value) {
    value = 0;
    for (size_t i = 0; i < 10 && i < rest_.size(); ++i) {
      const auto byte = static_cast<uint8_t>(rest_[i]);
      if (i == 9 && byte > 1) return false;  // more than 64 bits
      value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
      if (byte & 0x80) continue;
      rest_.remove_prefix(i + 1);
      return i == 0 || byte != 0;
    }
    return false;
  }
  bool skip(uint64_t bytes) {
    if (bytes > rest_.size()) return false;
    rest_.remove_prefix(bytes);
    return true;
  }

  std::string_view rest_;
};

void append_message(std::string& out, uint64_t number, const std::string& content) {
  append_varint(out, number << 3 | kLengthDelimited);
  append_varint(out, content.size());
  out += content;
}

class Thinner {
 public:
  explicit Thinner(size_t least) : least_(least) {}

  // The message with what is inside it thinned out, one function a level.
  bool model(std::string_view message, std::string& out) {
    return each(message, out, kGraph, [this](std::string_view m, std::string& o) { return graph(m, o); });
  }
  std::vector<std::string_view> take() { return std::move(found_); }

 private:
  bool graph(std::string_view message, std::string& out) {
    return each(message, out, kInitializer, [this](std::string_view m, std::string& o) { return tensor(m, o); });
  }

  bool tensor(std::string_view message, std::string& out) {
    std::string_view raw;
    int times = 0;
    Field field;
    for (Fields fields(message); !fields.at_end();) {
      if (!fields.next(field)) return false;
      if (field.number == kRawData) ++times;
      if (field.number == kRawData && field.type == kLengthDelimited && field.content.size() >= least_)
        raw = field.content;
      else
        out += field.all;
    }
    found_.push_back(raw);
    return times <= 1;  // of several the last counts, which nobody writes
  }

  template <class Inner>
  static bool each(std::string_view message, std::string& out, uint64_t number, Inner inner) {
    Field field;
    for (Fields fields(message); !fields.at_end();) {
      if (!fields.next(field)) return false;
      if (field.number != number) {
        out += field.all;
        continue;
      }
      std::string content;
      if (field.type != kLengthDelimited || !inner(field.content, content)) return false;
      append_message(out, number, content);
    }
    return true;
  }

  size_t least_;
  std::vector<std::string_view> found_;
};

}  // namespace

std::optional<LeanMessage> leave_out_raw_data(std::string_view model, size_t least) {
  LeanMessage lean;
  Thinner thinner(least);
  if (!thinner.model(model, lean.message)) return std::nullopt;
  lean.raw_data = thinner.take();
  return lean;
}

}  // namespace vitrail::onnx_import
