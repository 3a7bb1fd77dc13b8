// SPDX-License-Identifier: Apache-2.0
// Boost.Asio's coroutines. Boost 1.74 (Debian 12) forgets to include <utility> before it needs it.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace vitrail::serve {

namespace asio = boost::asio;
using boost::system::error_code;
using asio::ip::tcp;

// The outcome goes to `error` instead of being thrown: co_await socket.async_…(…, into(error)).
inline auto into(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

// Where a callback on any thread and the coroutine that needs its value meet: put() is called once, and where that was
// before anybody waited, nobody is woken.
template <class T>
class Meeting {
 public:
  void put(T value) {
    std::unique_lock lock(mutex_);
    value_ = std::move(value);
    const auto resume = std::move(resume_);
    lock.unlock();
    if (resume) resume();
  }
  bool ready() const {
    const std::lock_guard lock(mutex_);
    return value_.has_value();
  }
  T take() { return std::move(*value_); }  // once it is ready
  // Until it is ready; once, and goes on where the coroutine runs. No coroutine itself: GCC 12 destroys what lambdas
  // within co_await hold twice.
  static asio::awaitable<void> wait(const std::shared_ptr<Meeting>& meeting) {
    return asio::async_initiate<const asio::use_awaitable_t<>&, void()>(
        [meeting](auto handler) {
          auto shared = std::make_shared<decltype(handler)>(std::move(handler));
          meeting->call_back([shared, executor = asio::get_associated_executor(*shared)] {
            asio::post(executor, [shared] { std::move (*shared)(); });
          });
        },
        asio::use_awaitable);
  }

 private:
  void call_back(std::function<void()> resume) {
    std::unique_lock lock(mutex_);
    if (!value_) {
      resume_ = std::move(resume);
      return;
    }
    lock.unlock();
    resume();
  }
  mutable std::mutex mutex_;
  std::optional<T> value_;
  std::function<void()> resume_;
};

}  // namespace vitrail::serve
