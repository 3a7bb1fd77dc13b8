// SPDX-License-Identifier: Apache-2.0
// Einsum as transposes around a MatMul. Operands are joined from left to right.
#include <algorithm>

#include "core/error.h"
#include "import/onnx/restate.h"

namespace vitrail::onnx_import {
namespace {

// A tensor and the label of each of its axes.
struct Term {
  ValueId id = kNoValue;
  std::string labels;
};

bool has(const std::string& labels, char label) { return labels.find(label) != std::string::npos; }

std::string where(const std::string& labels, const auto& keep) {
  std::string out;
  std::copy_if(labels.begin(), labels.end(), std::back_inserter(out), keep);
  return out;
}

class Einsum {
 public:
  explicit Einsum(Restatement& r) : r_(r) {}

  Status run() {
    VTL_TRY(parse(r_.call().text("equation", "")));
    Term left = terms_[0];
    if (terms_.size() == 1) {
      VTL_ASSIGN(left, without_lone(left, ""));
    }
    for (size_t i = 1; i < terms_.size(); ++i) {
      std::string later = output_;
      for (size_t j = i + 1; j < terms_.size(); ++j) later += terms_[j].labels;
      VTL_ASSIGN(left, join(left, terms_[i], later));
    }
    const Term y = ordered(left, output_);
    r_.finish(0, Op::Identity, {y.id});
    return {};
  }

 private:
  // "bhwc,hkc->bhwk". An ellipsis stands for the axes that the letters leave over, aligned at the right.
  Status parse(std::string equation) {
    std::erase(equation, ' ');
    const size_t arrow = equation.find("->");
    std::string inputs = equation.substr(0, arrow);
    std::vector<std::string> parts{""};
    for (char c : inputs) {
      if (c == ',')
        parts.emplace_back();
      else
        parts.back() += c;
    }
    if (parts.size() != r_.call().inputs.size())
      return bad_input("its equation '{}' has {} terms for {} inputs", equation, parts.size(),
                       r_.call().inputs.size());
    std::string seen;
    for (size_t i = 0; i < parts.size(); ++i) {
      const ValueId id = r_.input(i);
      VTL_ASSIGN(const SymShape dims, r_.shape(id));
      std::string labels = parts[i];
      if (const size_t dots = labels.find("..."); dots != std::string::npos) {
        const auto letters = labels.size() - 3;
        if (letters > dims.size() || dims.size() - letters > kHidden.size())
          return bad_input("its term '{}' does not fit {}", parts[i], to_string(dims));
        hidden_ = std::max(hidden_, dims.size() - letters);
        labels.replace(dots, 3, kHidden.substr(kHidden.size() - (dims.size() - letters)));
      }
      if (labels.size() != dims.size())
        return bad_input("its term '{}' does not fit {}", parts[i], to_string(dims));
      for (size_t a = 0; a < labels.size(); ++a) {
        if (labels.find(labels[a], a + 1) != std::string::npos)
          return bad_input("its term '{}' names an axis twice, which is not supported", parts[i]);
        if (const auto known = extents_.find(labels[a]); known == extents_.end())
          extents_[labels[a]] = dims[a];
        else if (known->second != dims[a])
          return bad_input("the axis '{}' of '{}' is {} and {}", labels[a], equation,
                           to_string(known->second), to_string(dims[a]));
      }
      seen += labels;
      terms_.push_back({id, labels});
    }
    const std::string hidden(kHidden.substr(kHidden.size() - hidden_));
    if (arrow != std::string::npos) {
      output_ = equation.substr(arrow + 2);
      if (const size_t dots = output_.find("..."); dots != std::string::npos)
        output_.replace(dots, 3, hidden);
    } else {  // the axes that occur once, in the order of the alphabet
      output_ = hidden;
      std::string once = where(seen, [&](char c) { return std::count(seen.begin(), seen.end(), c) == 1; });
      std::sort(once.begin(), once.end());
      output_ += where(once, [&](char c) { return !has(hidden, c); });
    }
    for (char c : output_)
      if (!extents_.contains(c)) return bad_input("its output axis '{}' is in no term", c);
    return {};
  }

  // Sums over the axes that only this term has and nothing asks for.
  Result<Term> without_lone(const Term& t, const std::string& partner) {
    std::vector<int64_t> lone;
    for (size_t a = 0; a < t.labels.size(); ++a)
      if (!has(partner, t.labels[a]) && !has(output_, t.labels[a])) lone.push_back(static_cast<int64_t>(a));
    if (lone.empty()) return t;
    Term out{kNoValue, where(t.labels, [&](char c) { return has(partner, c) || has(output_, c); })};
    out.id = r_.emit(Op::ReduceSum, {t.id, r_.integers(lone)}, {{"keepdims", int64_t{0}}});
    return out;
  }

  Term ordered(const Term& t, const std::string& labels) {
    if (t.labels == labels) return t;
    std::vector<int64_t> perm;
    for (char c : labels) perm.push_back(static_cast<int64_t>(t.labels.find(c)));
    return {r_.emit(Op::Transpose, {t.id}, {{"perm", perm}}), labels};
  }

  Result<Term> join(const Term& left, const Term& right, const std::string& later) {
    VTL_ASSIGN(const Term a, without_lone(left, right.labels + later));
    VTL_ASSIGN(const Term b, without_lone(right, left.labels + later));
    const std::string both = where(a.labels, [&](char c) { return has(b.labels, c); });
    const std::string outer = where(both, [&](char c) { return has(later, c); });
    const std::string inner = where(both, [&](char c) { return !has(later, c); });
    const std::string rows = where(a.labels, [&](char c) { return !has(both, c); });
    const std::string columns = where(b.labels, [&](char c) { return !has(both, c); });
    VTL_ASSIGN(const ValueId x, merged(ordered(a, outer + rows + inner), {outer, rows, inner}));
    VTL_ASSIGN(const ValueId y, merged(ordered(b, outer + inner + columns), {outer, inner, columns}));
    Term out{r_.emit(Op::MatMul, {x, y}), outer + rows + columns};
    if (rows.size() == 1 && columns.size() == 1) return out;
    VTL_ASSIGN(const auto apart, target(out.labels));
    out.id = r_.emit(Op::Reshape, {out.id, r_.integers(apart)});
    return out;
  }

  // The last two groups as one axis each: [outer …, rows, columns].
  Result<ValueId> merged(const Term& t, const std::string (&groups)[3]) {
    if (groups[1].size() == 1 && groups[2].size() == 1) return t.id;
    VTL_ASSIGN(std::vector<int64_t> shape, target(groups[0]));
    for (size_t i = 1; i < 3; ++i) {
      VTL_ASSIGN(const auto part, target(groups[i]));
      int64_t product = 1;
      for (int64_t extent : part) product = extent < 0 || product < 0 ? -1 : product * extent;
      shape.push_back(product);
    }
    if (std::count(shape.begin(), shape.end(), -1) > 1)
      return bad_input("more than one of the axes '{}' depends on the batch", t.labels);
    return r_.emit(Op::Reshape, {t.id, r_.integers(shape)});
  }

  // The extents, -1 for the one that depends on the batch.
  Result<std::vector<int64_t>> target(const std::string& labels) {
    std::vector<int64_t> shape;
    for (char c : labels) shape.push_back(extents_[c].is_fixed() ? extents_[c].fixed : -1);
    if (std::count(shape.begin(), shape.end(), -1) > 1)
      return bad_input("more than one of the axes '{}' depends on the batch", labels);
    return shape;
  }

  static constexpr std::string_view kHidden = "01234567";  // labels of the axes that an ellipsis stands for
  Restatement& r_;
  std::vector<Term> terms_;
  std::string output_;
  size_t hidden_ = 0;
  std::map<char, Dim> extents_;
};

}  // namespace

Status restate_einsum(Restatement& r) { return Einsum(r).run(); }

}  // namespace vitrail::onnx_import
