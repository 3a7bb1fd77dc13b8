// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace vitrail::cancel {

// Set by the command line's SIGINT handler; long loops poll it and return cancelled().
void request();
bool requested();
void reset();

}  // namespace vitrail::cancel
