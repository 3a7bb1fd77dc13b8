// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

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

// A body that grows within the budget, and gives back what it took at its end. Without a budget nothing bounds it.
class HeldBody {
 public:
  HeldBody() = default;
  explicit HeldBody(std::shared_ptr<BodyBudget> budget) : budget_(std::move(budget)) {}
  HeldBody(HeldBody&& other) noexcept { *this = std::move(other); }
  HeldBody& operator=(HeldBody&& other) noexcept {
    std::swap(text, other.text);
    std::swap(budget_, other.budget_);
    std::swap(taken_, other.taken_);
    return *this;
  }
  ~HeldBody() {
    if (budget_) budget_->give_back(taken_);
  }
  // Before `bytes` more go into the text.
  bool grow(uint64_t bytes) {
    if (!budget_) return true;
    if (!budget_->take(bytes)) return false;
    taken_ += bytes;
    return true;
  }

  std::string text;

 private:
  std::shared_ptr<BodyBudget> budget_;
  uint64_t taken_ = 0;
};

}  // namespace vitrail::serve
