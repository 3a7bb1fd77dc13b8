// SPDX-License-Identifier: Apache-2.0
// Operators that give the same elements in the same order another shape.
#include <algorithm>

#include "graph/infer_context.h"

namespace vitrail::infer {
namespace {

constexpr Dim kRest{0, -1};  // the extent that follows from the others

// Finds the -1 of a target and checks the number of elements. `target` holds extents and at most one kRest.
Status resolve(Context& c, const SymShape& in, SymShape& target) {
  SymShape given = in, others;
  auto rest = target.end();
  for (auto it = target.begin(); it != target.end(); ++it) {
    if (*it == kRest) {
      if (rest != target.end()) return c.error("the target {} has more than one -1", to_string(target));
      rest = it;
    } else if (it->per_batch < 0 || it->per_batch + it->fixed < 0) {
      return c.error("the target {} has a negative extent", to_string(target));
    } else if (auto same = std::find(given.begin(), given.end(), *it); same != given.end()) {
      given.erase(same);  // cancels; what is left may be affine where the whole is not
    } else {
      others.push_back(*it);
    }
  }
  const auto total = product(given), known = product(others);
  if (!total || !known)
    return c.error("several extents depend on the batch, so {} cannot be proven to fit the target {}",
                   to_string(in), to_string(target));
  if (rest == target.end()) {
    if (*total == *known) return {};
    return c.error(
        "{} and the target {} differ in their number of elements; a batch size fixed at export is the usual "
        "cause: export again with a dynamic batch axis",
        to_string(in), to_string(target));
  }
  const auto extent = divide(*total, *known);
  if (!extent || multiply(*extent, *known) != *total)
    return c.error(
        "{} does not fit the target {} for every batch N; a batch size fixed at export is the usual cause: "
        "export again with a dynamic batch axis",
        to_string(in), to_string(target));
  *rest = *extent;
  return {};
}

// Content stays as it is as long as the result is a scalar or a vector.
Status set_reshaped(Context& c, SymShape out) { return c.set(0, c.dtype(0), std::move(out), c.content(0)); }

}  // namespace

Status reshape(Context& c) {
  const SymShape* in = c.shape(0);
  if (!c.has(1) && !c.node().has("shape")) return c.set(0, c.dtype(0), c.known_output(0), c.content(0));
  const auto wanted = c.has(1) ? c.content(1) : sym_shape(c.node().integers("shape"));
  if (!in || !wanted) return c.set(0, c.dtype(0), std::nullopt);
  if (wanted->size() > kMaxRank)
    return c.error("the target has {} axes; at most {} can be", wanted->size(), kMaxRank);
  SymShape target = *wanted;
  if (c.has(1) && !c.node().integer("allowzero", 0)) {
    for (size_t i = 0; i < target.size(); ++i) {
      if (target[i] != Dim{}) continue;
      if (i >= in->size())
        return c.error("extent {} of the target is 0 (copy), but the input has no axis {}", i, i);
      target[i] = (*in)[i];
    }
  }
  VTL_TRY(resolve(c, *in, target));
  return set_reshaped(c, std::move(target));
}

Status flatten(Context& c) {
  if (!c.shape(0)) return c.set(0, c.dtype(0), std::nullopt);
  const SymShape& in = *c.shape(0);
  const int64_t axis = c.node().integer("axis", 1);
  const auto rank = static_cast<int64_t>(in.size());
  if (axis < -rank || axis > rank) return c.error("axis {} is outside of a value with {} axes", axis, rank);
  const auto split = static_cast<size_t>(axis < 0 ? axis + rank : axis);
  const auto rows = product(std::span(in).first(split)), columns = product(std::span(in).subspan(split));
  if (!rows || !columns) return c.set(0, c.dtype(0), std::nullopt);
  return set_reshaped(c, {*rows, *columns});
}

Status squeeze(Context& c) {
  if (!c.shape(0)) return c.set(0, c.dtype(0), std::nullopt);
  const SymShape& in = *c.shape(0);
  const auto named = c.has(1) ? c.numbers(1) : std::vector<int64_t>{};
  if (!named) return c.set(0, c.dtype(0), std::nullopt);
  VTL_ASSIGN(const auto which, c.axes(*named, in.size()));
  SymShape out;
  for (size_t i = 0; i < in.size(); ++i) {
    const auto one = equal_for_all_batches(in[i], Dim::of(1));
    if (which[i] && one != true) return c.error("axis {} has the extent {}, not 1", i, to_string(in[i]));
    if (!c.has(1) && !one)
      return c.error(
          "without axes, whether axis {} goes depends on the batch; name the axes in the model "
          "(x.squeeze(-1) rather than x.squeeze())",
          i);
    if (!(c.has(1) ? which[i] : *one)) out.push_back(in[i]);
  }
  return set_reshaped(c, std::move(out));
}

Status unsqueeze(Context& c) {
  const auto named = c.numbers(1);
  if (!c.shape(0) || !named) return c.set(0, c.dtype(0), std::nullopt);
  const SymShape& in = *c.shape(0);
  if (named->size() > kMaxRank)
    return c.error("it names {} axes; at most {} can be", named->size(), kMaxRank);
  VTL_ASSIGN(const auto which, c.axes(*named, in.size() + named->size()));
  SymShape out;
  for (size_t i = 0, next = 0; i < which.size(); ++i) out.push_back(which[i] ? Dim::of(1) : in[next++]);
  return set_reshaped(c, std::move(out));
}

}  // namespace vitrail::infer
