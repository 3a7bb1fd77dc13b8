// SPDX-License-Identifier: Apache-2.0
// Operators that join, repeat, pick and permute elements. Slicing has a file of its own.
#include <algorithm>

#include "graph/infer_context.h"

namespace vitrail::infer {
namespace {

// Splits channels into blocks or gathers blocks into channels: [N,C,H,W] with C·b², H/b, W/b or the reverse.
Status move_blocks(Context& c, bool to_space) {
  if (!c.shape(0)) return c.set(0, c.dtype(0), std::nullopt);
  const SymShape& in = *c.shape(0);
  const int64_t block = c.node().integer("blocksize", 0);
  if (in.size() != 4) return c.error("its input must have 4 axes");
  if (block < 1 || block > kMaxWindow) return c.error("blocksize cannot be {}", block);
  SymShape out = in;
  const Dim b = Dim::of(block), area = Dim::of(block * block);
  auto scale = [&](size_t axis, Dim by, bool up) {
    const auto d = up ? multiply(in[axis], by) : divide(in[axis], by);
    if (!d || (!up && multiply(*d, by) != in[axis])) return false;
    out[axis] = *d;
    return true;
  };
  if (!scale(1, area, !to_space) || !scale(2, b, to_space) || !scale(3, b, to_space))
    return c.error("its extents are no multiples of the blocksize {}", block);
  return c.set(0, c.dtype(0), out);
}

}  // namespace

Status depth_to_space(Context& c) { return move_blocks(c, true); }
Status space_to_depth(Context& c) { return move_blocks(c, false); }

Status concat(Context& c) {
  std::optional<Content> content = Content{};
  for (size_t i = 0; i < c.input_count(); ++i) {
    if (!c.shape(i)) return c.set(0, c.dtype(0), std::nullopt);
    const auto part = c.content(i);
    if (content && part && content->size() <= kMaxContent)
      content->insert(content->end(), part->begin(), part->end());
    else
      content.reset();
  }
  SymShape out = *c.shape(0);
  VTL_ASSIGN(const size_t axis, c.axis("axis", 0, out.size()));
  for (size_t i = 1; i < c.input_count(); ++i) {
    const SymShape& part = *c.shape(i);
    if (c.dtype(i) != c.dtype(0))
      return c.error("input {} is {}, input 0 is {}; all must have one type", i, dtype_name(c.dtype(i)),
                     dtype_name(c.dtype(0)));
    if (part.size() != out.size()) return c.error("its inputs differ in their number of axes");
    for (size_t a = 0; a < out.size(); ++a) {
      if (a != axis && part[a] != out[a])
        return c.error(
            "input {} has the extent {} along axis {}, input 0 has {}; if one is a batch size fixed at "
            "export, export again with a dynamic batch axis",
            i, to_string(part[a]), a, to_string(out[a]));
    }
    const auto sum = add(out[axis], part[axis]);
    if (!sum) return c.error("the extents along axis {} overflow", axis);
    out[axis] = *sum;
  }
  return c.set(0, c.dtype(0), std::move(out), std::move(content));
}

Status expand(Context& c) {
  const auto target = c.content(1);
  if (!c.shape(0) || !target) return c.set(0, c.dtype(0), std::nullopt);
  auto out = broadcast(*c.shape(0), *target);
  if (!out)
    return c.error("{} cannot be expanded to {}: extents must be equal or 1", to_string(*c.shape(0)),
                   to_string(*target));
  auto content = c.content(0);
  const auto count = element_count(*out);
  if (content && content->size() == 1) {
    if (!count || !count->is_fixed() || count->fixed < 0 || count->fixed > static_cast<int64_t>(kMaxContent))
      content.reset();
    else
      content = Content(static_cast<size_t>(count->fixed), content->front());
  }
  return c.set(0, c.dtype(0), std::move(out), std::move(content));
}

Status gather(Context& c) {
  if (!c.shape(0) || !c.shape(1)) return c.set(0, c.dtype(0), std::nullopt);
  const SymShape &in = *c.shape(0), &at = *c.shape(1);
  VTL_ASSIGN(const size_t axis, c.axis("axis", 0, in.size()));
  SymShape out(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(axis));
  out.insert(out.end(), at.begin(), at.end());
  out.insert(out.end(), in.begin() + static_cast<std::ptrdiff_t>(axis) + 1, in.end());

  const auto indices = c.numbers(1);
  const auto data = in.size() == 1 ? c.content(0) : std::nullopt;
  std::optional<Content> content;
  if (indices && in[axis].is_fixed()) {
    const int64_t extent = in[axis].fixed;
    if (data) content.emplace();
    for (int64_t i : *indices) {
      if (i < -extent || i >= extent)
        return c.error("index {} is outside of axis {} of extent {}", i, axis, extent);
      if (data) content->push_back((*data)[static_cast<size_t>(i < 0 ? i + extent : i)]);
    }
  }
  return c.set(0, c.dtype(0), std::move(out), std::move(content));
}

Status pad(Context& c) {
  const auto pads = c.numbers(1);
  const bool some_axes = c.has(3);
  const auto named = some_axes ? c.numbers(3) : std::vector<int64_t>{};
  if (!c.shape(0) || !pads || !named) return c.set(0, c.dtype(0), std::nullopt);
  SymShape out = *c.shape(0);
  VTL_TRY(c.axes(*named, out.size()).status());
  std::vector<size_t> padded;
  for (size_t i = 0; !some_axes && i < out.size(); ++i) padded.push_back(i);
  for (int64_t a : *named) padded.push_back(static_cast<size_t>(a < 0 ? a + std::ssize(out) : a));
  if (pads->size() != 2 * padded.size())
    return c.error("it has {} pads for {} axes; each axis needs 2", pads->size(), padded.size());
  for (size_t i = 0; i < padded.size(); ++i) {
    Dim& d = out[padded[i]];
    for (int64_t p : {(*pads)[i], (*pads)[i + padded.size()]}) {
      const auto sum = add(d, Dim::of(p));
      if (!sum) return c.error("a pad of {} overflows", p);
      d = *sum;
    }
  }
  return c.set(0, c.dtype(0), std::move(out));
}

Status split(Context& c) {
  const auto parts = static_cast<int64_t>(c.output_count());
  if (!c.shape(0)) {
    for (size_t i = 0; i < c.output_count(); ++i) VTL_TRY(c.set(i, c.dtype(0), std::nullopt));
    return {};
  }
  const SymShape in = *c.shape(0);
  VTL_ASSIGN(const size_t axis, c.axis("axis", 0, in.size()));
  SymShape sizes;
  if (c.has(1)) {
    const auto given = c.content(1);
    if (!given) {
      for (size_t i = 0; i < c.output_count(); ++i) VTL_TRY(c.set(i, c.dtype(0), std::nullopt));
      return {};
    }
    sizes = *given;
  } else {
    if (c.node().integer("num_outputs", parts) != parts)
      return c.error("num_outputs is {}, but it has {} outputs", c.node().integer("num_outputs", parts),
                     parts);
    // All alike; where the extent is fixed, the last may be smaller.
    const auto chunk = in[axis].is_fixed() ? Dim::of((in[axis].fixed + parts - 1) / parts)
                                           : divide(in[axis], Dim::of(parts));
    if (!chunk)
      return c.error("the extent {} cannot be split into {} equal parts", to_string(in[axis]), parts);
    sizes.assign(static_cast<size_t>(parts), *chunk);
    if (in[axis].is_fixed()) sizes.back() = Dim::of(in[axis].fixed - chunk->fixed * (parts - 1));
  }

  std::optional<Dim> sum = Dim{};
  for (Dim s : sizes) sum = sum && at_most(Dim{}, s).value_or(false) ? add(*sum, s) : std::nullopt;
  if (std::ssize(sizes) != parts || sum != in[axis])
    return c.error("the parts {} do not add up to the extent {} for {} outputs", to_string(sizes),
                   to_string(in[axis]), parts);

  const auto content = in.size() == 1 && is_fixed(sizes) ? c.content(0) : std::nullopt;
  int64_t begin = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    SymShape out = in;
    out[axis] = sizes[i];
    std::optional<Content> part;
    if (content) part.emplace(content->begin() + begin, content->begin() + begin + sizes[i].fixed);
    begin += sizes[i].fixed;
    VTL_TRY(c.set(i, c.dtype(0), std::move(out), std::move(part)));
  }
  return {};
}

Status tile(Context& c) {
  const auto repeats = c.content(1);
  if (!c.shape(0) || !repeats) return c.set(0, c.dtype(0), std::nullopt);
  SymShape out = *c.shape(0);
  if (repeats->size() != out.size())
    return c.error("it has {} repeats for {} axes", repeats->size(), out.size());
  for (size_t i = 0; i < out.size(); ++i) {
    const auto d = multiply(out[i], (*repeats)[i]);
    if (!d)
      return c.error("{} repeats of the extent {} follow no line in N", to_string((*repeats)[i]),
                     to_string(out[i]));
    out[i] = *d;
  }
  const auto once = c.content(0);
  std::optional<Content> content;
  if (once && out.size() == 1 && out[0].is_fixed() && out[0].fixed <= static_cast<int64_t>(kMaxContent)) {
    content.emplace();
    for (int64_t i = 0; i < out[0].fixed; ++i)
      content->push_back((*once)[static_cast<size_t>(i) % once->size()]);
  }
  return c.set(0, c.dtype(0), std::move(out), std::move(content));
}

Status transpose(Context& c) {
  if (!c.shape(0)) return c.set(0, c.dtype(0), std::nullopt);
  const SymShape& in = *c.shape(0);
  const auto perm = c.node().integers("perm");
  if (perm.empty()) return c.set(0, c.dtype(0), SymShape(in.rbegin(), in.rend()), c.content(0));
  VTL_TRY(c.axes(perm, in.size()).status());
  if (perm.size() != in.size()) return c.error("perm names {} of {} axes", perm.size(), in.size());
  SymShape out;
  for (int64_t a : perm) out.push_back(in[static_cast<size_t>(a < 0 ? a + std::ssize(in) : a)]);
  return c.set(0, c.dtype(0), std::move(out), c.content(0));
}

}  // namespace vitrail::infer
