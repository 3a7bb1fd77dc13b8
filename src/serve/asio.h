// SPDX-License-Identifier: Apache-2.0
// Boost.Asio's coroutines. Boost 1.74 (Debian 12) forgets to include <utility> before it needs it.
#pragma once

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
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace vitrail::serve {

namespace asio = boost::asio;
using boost::system::error_code;
using asio::ip::tcp;

// The outcome goes to `error` instead of being thrown: co_await socket.async_…(…, into(error)).
inline auto into(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

// Waits for a callback: start(done) begins something that calls done(value) once, on any thread.
template <class T, class Start>
asio::awaitable<T> call(Start start) {
  return asio::async_initiate<const asio::use_awaitable_t<>&, void(T)>(
      [start = std::move(start)](auto handler) mutable {
        auto shared = std::make_shared<decltype(handler)>(std::move(handler));
        const auto executor = asio::get_associated_executor(*shared);
        start([shared, executor](T value) {
          auto kept = std::make_shared<T>(std::move(value));
          asio::post(executor, [shared, kept] { std::move (*shared)(std::move(*kept)); });
        });
      },
      asio::use_awaitable);
}

}  // namespace vitrail::serve
