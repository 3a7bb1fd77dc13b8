// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace vitrail::report {

// The report's style sheet. No '<' and no '&' in it: the page is well-formed XML.
inline constexpr const char* kStyle = R"css(
:root {
  color-scheme: light dark;
  --page: #f7f6f2; --card: #ffffff; --ink: #1d1c22; --soft: #66636f; --rule: #e2dfd7; --grid: #eceae3;
  --accent: #1d55b4; --good: #0d7a53; --bad: #b3261e; --tint: #eef3fc;
  --s0: #1d55b4; --s1: #d2691e; --s2: #0d8f63; --s3: #8a3fc0; --s4: #c01f5b; --s5: #0e7d92; --s6: #a07a00; --s7: #6b6560;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #131318; --card: #1b1b22; --ink: #ebeaf0; --soft: #a19eac; --rule: #32313b; --grid: #282730;
    --accent: #85aefc; --good: #57cf9f; --bad: #ff8f86; --tint: #1d2536;
    --s0: #6f9ffb; --s1: #f2995a; --s2: #46c795; --s3: #c08bf0; --s4: #f0749f; --s5: #4fc3d6; --s6: #dcb84a; --s7: #a8a29e;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
  font: 16px/1.5 ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main, header { max-width: 1120px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 36px; }
.brand { display: flex; align-items: center; gap: 10px; color: var(--soft); font-size: 14px; letter-spacing: .04em; }
.brand svg { width: 26px; height: 26px; flex: none; }
h1, h2 { font-family: Charter, "Iowan Old Style", "Source Serif 4", "Bitstream Charter", Georgia, serif; font-weight: 600;
  line-height: 1.2; text-wrap: balance; overflow-wrap: anywhere; }
h1 { font-size: clamp(26px, 4.2vw, 40px); margin: 18px 0 6px; letter-spacing: -.01em; }
h2 { font-size: 23px; margin: 52px 0 16px; }
.meta { color: var(--soft); margin: 0 0 26px; font-size: 14px; overflow-wrap: anywhere; }
.card, figure { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; }
.advice { padding: 24px 26px; border-left: 5px solid var(--accent); }
.advice p { margin: 0; font-size: clamp(18px, 2.3vw, 22px); line-height: 1.4; overflow-wrap: anywhere; }
.advice small { display: block; color: var(--soft); font-size: 13px; letter-spacing: .06em; text-transform: uppercase;
  margin-bottom: 6px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(300px, 42%), 1fr)); gap: 14px; margin: 14px 0; }
.tile { padding: 16px 18px; }
.tile b { display: block; font-size: 27px; font-weight: 650; letter-spacing: -.02em; line-height: 1.25;
  font-variant-numeric: tabular-nums; }
.tile b small { font-size: 14px; font-weight: 500; color: var(--soft); letter-spacing: 0; }
.tile span { display: block; color: var(--soft); font-size: 13.5px; line-height: 1.4; overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--bad); }
ul.notes { margin: 14px 0 0; padding-left: 20px; color: var(--soft); font-size: 14px; overflow-wrap: anywhere; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(460px, 100%), 1fr)); gap: 18px; align-items: start; }
.small { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(280px, 100%), 1fr)); gap: 18px 26px; }
figure { margin: 0 0 18px; padding: 18px 20px; min-width: 0; }
.pair figure { margin: 0; }
figcaption { margin-bottom: 12px; font-size: 14px; } figcaption b { font-size: 16px; margin-right: 6px; }
figcaption span { color: var(--soft); overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } .scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; }
.plot svg { display: block; width: 100%; min-width: 440px; height: auto; } .plot.wide svg { min-width: 680px; }
.plot .small svg { min-width: 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 8px 10px; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child { text-align: left; padding-left: 4px; }
thead th { color: var(--soft); font-weight: 500; font-size: 13px; border-bottom-width: 2px; }
tbody th { font-weight: 500; max-width: 340px; overflow: hidden; text-overflow: ellipsis; }
tbody tr:last-child th, tbody tr:last-child td { border-bottom: 0; }
tr.best th, tr.best td { background: var(--tint); font-weight: 650; }
td.none { color: var(--soft); text-align: center; font-style: italic; }
details summary { cursor: pointer; color: var(--accent); font-size: 14px; margin: 0 0 14px; }
footer { color: var(--soft); font-size: 13px; padding: 30px 0 48px; }
svg text { font: 12px ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: var(--soft);
  font-variant-numeric: tabular-nums; }
svg .label { fill: var(--ink); } svg .heading { fill: var(--ink); font-size: 15px; font-weight: 650; }
svg .note { fill: var(--ink); font-weight: 600; } svg .halo { paint-order: stroke; stroke: var(--card); stroke-width: 4px; }
svg .title { fill: var(--soft); }
svg .grid { stroke: var(--grid); } svg .axis { stroke: var(--soft); stroke-opacity: .6; }
svg .mark { stroke: var(--ink); stroke-opacity: .55; stroke-dasharray: 3 3; }
svg .limit { stroke: var(--bad); stroke-dasharray: 6 4; }
.s0 { --c: var(--s0); } .s1 { --c: var(--s1); } .s2 { --c: var(--s2); } .s3 { --c: var(--s3); }
.s4 { --c: var(--s4); } .s5 { --c: var(--s5); } .s6 { --c: var(--s6); } .s7 { --c: var(--s7); }
svg .fill { fill: var(--c); } svg .swatch { rx: 3px; } svg rect.fill { rx: 2px; }
svg .stroke { stroke: var(--c); fill: none; stroke-width: 2; stroke-linejoin: round; } svg .strong { stroke-width: 3; }
svg .dot { stroke: var(--card); stroke-width: 1.5; }
@media (max-width: 560px) { main, header { padding: 0 14px; } header { padding-top: 22px; } figure, .advice { padding: 14px; } }
@media print { body { background: #fff; } .card, figure { break-inside: avoid; } }
)css";

}  // namespace vitrail::report
