// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

namespace vitrail::serve {

// A bound on the bytes of all requests' bodies that are held at once, however many connections bring them.
class BodyBudget {
 public:
  explicit BodyBudget(uint64_t most) : most_(most) {}
  // False, and nothing taken, when so many more do not fit.
  bool take(uint64_t bytes) {
    if (held_.fetch_add(bytes) + bytes <= most_) return true;
    held_ -= bytes;
    return false;
  }
  void give_back(uint64_t bytes) { held_ -= bytes; }
  uint64_t most() const { return most_; }
  uint64_t held() const { return held_; }

 private:
  const uint64_t most_;
  std::atomic<uint64_t> held_{0};
};

// Bytes that nobody writes zeros into before the content comes.
template <class T>
struct Untouched : std::allocator<T> {
  template <class U>
  struct rebind {
    using other = Untouched<U>;
  };
  template <class U>
  void construct(U* at) noexcept {
    ::new (static_cast<void*>(at)) U;
  }
  template <class U, class... Values>
  void construct(U* at, Values&&... values) {
    ::new (static_cast<void*>(at)) U(std::forward<Values>(values)...);
  }
};
using Bytes = std::vector<char, Untouched<char>>;

// A body that grows within the budget, and gives back what it took at its end. Without a budget nothing bounds it.
class HeldBody {
 public:
  HeldBody() = default;
  explicit HeldBody(std::shared_ptr<BodyBudget> budget) : budget_(std::move(budget)) {}
  HeldBody(HeldBody&& other) noexcept { *this = std::move(other); }
  HeldBody& operator=(HeldBody&& other) noexcept {
    std::swap(bytes, other.bytes);
    std::swap(begin, other.begin);
    std::swap(budget_, other.budget_);
    std::swap(taken_, other.taken_);
    return *this;
  }
  ~HeldBody() {
    if (budget_) budget_->give_back(taken_);
  }
  // Before `count` more come.
  bool grow(uint64_t count) {
    if (!budget_) return true;
    if (!budget_->take(count)) return false;
    taken_ += count;
    return true;
  }
  std::string_view view() const { return {bytes.data() + begin, bytes.size() - begin}; }
  size_t size() const { return bytes.size() - begin; }
  bool empty() const { return size() == 0; }

  Bytes bytes;
  size_t begin = 0;  // of the body in them

 private:
  std::shared_ptr<BodyBudget> budget_;
  uint64_t taken_ = 0;
};

}  // namespace vitrail::serve
