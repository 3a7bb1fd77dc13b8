// SPDX-License-Identifier: Apache-2.0
// Numbers and names as people read them, the same in every output.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vitrail::report {

std::string number(double value,
                   int digits = 3);   // at least so many significant digits, no exponent: "0.123" "1,234"
std::string tick_text(double value);  // no more digits than needed: "0" "2.5" "1,500"
std::string milliseconds(double microseconds);               // without unit
std::string mebibytes(double bytes);                         // without unit
std::string percent(double share, int decimals = 0);         // "42 %"
std::string times(double factor);                            // "2.96×"
std::string scientific(const std::optional<double>& value);  // "1.2e-05", "–" when absent
std::string dash_or(const std::optional<double>& value, std::string (*format)(double));

// At most `most` characters, the middle replaced by "…"; never cuts a UTF-8 sequence.
std::string shortened(std::string_view text, size_t most);
size_t characters(std::string_view text);  // code points

// For XML text and attributes: & < > " ' escaped, control characters replaced.
std::string xml(std::string_view text);
// For Markdown text and table cells, so that nothing in it is markup.
std::string markdown(std::string_view text);

}  // namespace vitrail::report
