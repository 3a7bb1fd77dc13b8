// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "graph/infer_context.h"

namespace vitrail::infer {
namespace {

// Exporters write "to the end" as one of the greatest numbers of 32 or 64 bits.
bool means_the_end(Dim d) { return d.is_fixed() && d.fixed >= std::numeric_limits<int32_t>::max(); }

// A start or end of a slice as an index into an axis of this extent: counted from the front and clamped to
// [least, most]. No answer where that depends on the batch in a way that is not affine.
std::optional<Dim> clamp_index(Dim index, Dim extent, Dim least, Dim most) {
  std::optional<Dim> i = index;
  const auto from_front = at_most(Dim{}, index);
  if (!from_front) return std::nullopt;
  if (means_the_end(index) && !most.is_fixed()) return most;
  if (!*from_front) i = add(index, extent);
  if (i) i = larger(*i, least);
  return i ? smaller(*i, most) : std::nullopt;
}

struct AxisSlice {
  Dim start;
  Dim length;
};

std::optional<AxisSlice> slice_axis(Dim extent, Dim start, Dim end, int64_t step) {
  const bool forward = step > 0;
  const auto last = subtract(extent, Dim::of(1));
  if (!last) return std::nullopt;
  const Dim most = forward ? extent : *last;
  const auto first = clamp_index(start, extent, Dim{}, most);
  const auto stop = clamp_index(end, extent, forward ? Dim{} : Dim::of(-1), most);
  if (!first || !stop) return std::nullopt;
  const auto span = forward ? subtract(*stop, *first) : subtract(*first, *stop);
  const auto positive = span ? larger(*span, Dim{}) : std::nullopt;
  const auto rounded = positive ? add(*positive, Dim::of(std::abs(step) - 1)) : std::nullopt;
  const auto length = rounded ? floor_divide(*rounded, std::abs(step)) : std::nullopt;
  return length ? std::optional(AxisSlice{*first, *length}) : std::nullopt;
}

}  // namespace

Status slice(Context& c) {
  const auto starts = c.content(1), ends = c.content(2);
  if (!c.shape(0) || !starts || !ends) return c.set(0, c.dtype(0), std::nullopt);
  const SymShape& in = *c.shape(0);
  std::optional<std::vector<int64_t>> axes(std::in_place), steps(std::in_place, starts->size(), 1);
  for (size_t i = 0; i < starts->size(); ++i) axes->push_back(static_cast<int64_t>(i));
  if (c.has(3)) axes = c.numbers(3);
  if (c.has(4)) steps = c.numbers(4);
  if (!axes || !steps) return c.set(0, c.dtype(0), std::nullopt);
  if (ends->size() != starts->size() || axes->size() != starts->size() || steps->size() != starts->size())
    return c.error("it has {} starts, {} ends, {} axes and {} steps; there must be equally many",
                   starts->size(), ends->size(), axes->size(), steps->size());
  VTL_TRY(c.axes(*axes, in.size()).status());

  SymShape out = in;
  std::optional<Content> content = in.size() == 1 ? c.content(0) : std::nullopt;
  for (size_t i = 0; i < starts->size(); ++i) {
    VTL_ASSIGN(const size_t axis, c.axis((*axes)[i], in.size()));
    const int64_t step = (*steps)[i];
    if (step == 0 || step > kMaxElements || step < -kMaxElements) return c.error("a step cannot be {}", step);
    const auto part = slice_axis(in[axis], (*starts)[i], (*ends)[i], step);
    if (!part) return c.set(0, c.dtype(0), std::nullopt);
    out[axis] = part->length;
    if (!content) continue;
    Content picked;  // a vector with content has a fixed extent, hence a fixed start and length
    for (int64_t k = 0; k < part->length.fixed; ++k)
      picked.push_back((*content)[static_cast<size_t>(part->start.fixed + k * step)]);
    content = std::move(picked);
  }
  return c.set(0, c.dtype(0), std::move(out), std::move(content));
}

}  // namespace vitrail::infer
