// SPDX-License-Identifier: Apache-2.0
#include "serve/page.h"

namespace vitrail::serve {

std::string_view page_html() {
  return R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Vitrail</title>
<style>
:root { color-scheme: light dark; --ink: #1d2433; --soft: #667; --line: #d9dde6; --card: #fff; --back: #f4f6fa; --bar: #3b6fd4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9f0; --soft: #9aa3b5; --line: #343b4a; --card: #1d2230; --back: #131722; --bar: #7aa2f7; }
}
body { margin: 0; font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--back); }
main { max-width: 1080px; margin: 0 auto; padding: 24px 16px; }
h1 { font-size: 20px; margin: 0 0 4px; } h2 { font-size: 16px; margin: 0; }
.soft { color: var(--soft); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px; margin-top: 16px; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(110px, 1fr)); gap: 12px; margin: 14px 0; }
.numbers b { display: block; font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 16px; }
svg { width: 100%; height: 120px; display: block; } svg text { font-size: 11px; fill: var(--soft); }
.drop { border: 2px dashed var(--line); border-radius: 8px; padding: 14px; margin-top: 14px; text-align: center; cursor: pointer; }
.drop.over { border-color: var(--bar); }
.classes { text-align: left; margin: 10px 0 0; padding: 0; list-style: none; }
.classes li { display: flex; gap: 10px; align-items: center; }
.classes i { height: 10px; background: var(--bar); border-radius: 3px; flex: none; }
</style>
</head>
<body>
<main>
<h1>Vitrail</h1>
<div class="soft" id="server">…</div>
<div id="models"></div>
</main>
<script>
const SECONDS = 60, cards = new Map();
const node = (tag, props = {}, ...children) => {
  const e = Object.assign(document.createElement(tag), props);
  e.append(...children);
  return e;
};
const shown = (v, digits = 1) => v >= 100 ? v.toFixed(0) : v.toFixed(digits);
const bytes = n => n >= 2 ** 30 ? (n / 2 ** 30).toFixed(2) + " GiB" : (n / 2 ** 20).toFixed(0) + " MiB";

// The value under which a share of the counts lies, on a line within its bucket.
function quantile(bounds, counts, q) {
  const all = counts.reduce((a, b) => a + b, 0);
  let below = 0;
  for (let i = 0; i < counts.length; i++) {
    if (counts[i] > 0 && below + counts[i] >= q * all) {
      if (i === bounds.length) return bounds[i - 1];
      const low = i ? bounds[i - 1] : 0;
      return low + (bounds[i] - low) * (q * all - below) / counts[i];
    }
    below += counts[i];
  }
  return 0;
}

function line(svg, values, unit) {
  const most = Math.max(...values, 0.1), step = 300 / (SECONDS - 1);
  const points = values.map((v, i) => `${(300 - (values.length - 1 - i) * step).toFixed(1)},${(104 - 90 * v / most).toFixed(1)}`);
  svg.innerHTML = `<line x1="0" x2="300" y1="104" y2="104" stroke="var(--line)"/>
    <polyline fill="none" stroke="var(--bar)" stroke-width="2" vector-effect="non-scaling-stroke" points="${points.join(" ")}"/>
    <text x="2" y="11">${shown(most)} ${unit}</text><text x="298" y="117" text-anchor="end">last ${SECONDS} s</text>`;
}

function bars(svg, labels, counts) {
  const most = Math.max(...counts, 1), width = 300 / counts.length;
  svg.innerHTML = counts.map((c, i) => {
    const h = 84 * c / most;
    return `<rect x="${i * width + 2}" y="${100 - h}" width="${width - 4}" height="${h}" fill="var(--bar)"/>
      <text x="${(i + 0.5) * width}" y="114" text-anchor="middle">${labels[i]}</text>`;
  }).join("") + `<text x="2" y="11">${most} batches</text>`;
}

function card(model) {
  const svg = () => {
    const s = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    s.setAttribute("viewBox", "0 0 300 120");
    return s;
  };
  const c = { numbers: node("div", { className: "numbers" }), rate: svg(), p99: svg(), rows: svg(), rates: [], p99s: [], before: null };
  const file = node("input", { type: "file", accept: "image/*", hidden: true });
  const classes = node("ul", { className: "classes" });
  const drop = node("div", { className: "drop", tabIndex: 0 }, "Drop a picture here, or click, to see its classes");
  const send = async picture => {
    classes.replaceChildren("…");
    const answer = await fetch(`/v2/models/${encodeURIComponent(model.name)}/versions/${model.version}/classify`, { method: "POST", body: picture });
    const json = await answer.json();
    classes.replaceChildren(...(json.error ? [json.error] : json.top.map(t => node("li", {},
      node("i", { style: `width: ${(160 * t.score).toFixed(0)}px` }), `${(100 * t.score).toFixed(1)} % ${t.label || "class " + t.index}`))));
  };
  drop.onclick = () => file.click();
  drop.onkeydown = e => e.key === "Enter" && file.click();
  file.onchange = () => file.files[0] && send(file.files[0]);
  drop.ondragover = e => { e.preventDefault(); drop.classList.add("over"); };
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = e => { e.preventDefault(); drop.classList.remove("over"); e.dataTransfer.files[0] && send(e.dataTransfer.files[0]); };
  const chart = (title, s) => node("div", {}, node("div", { className: "soft", textContent: title }), s);
  c.element = node("section", { className: "card" },
    node("h2", { textContent: `${model.name} · version ${model.version}` }),
    node("div", { className: "soft", textContent: `${model.platform}, ${model.precision}, batches of up to ${Math.max(model.max_batch, 1)}` }),
    c.numbers, node("div", { className: "charts" }, chart("Throughput", c.rate), chart("Latency, 99 %", c.p99), chart("Rows of a batch, since the start", c.rows)));
  if (model.classifies) c.element.append(drop, file, classes);
  return c;
}

function update(c, model, seconds) {
  const counts = model.latency.counts;
  const since = c.before ? counts.map((n, i) => n - c.before.latency.counts[i]) : counts.map(() => 0);
  const rate = c.before ? (model.inference_count - c.before.inference_count) / seconds : 0;
  const ms = q => 1000 * quantile(model.latency.bounds, since, q);
  const first = !c.before;
  c.before = model;
  if (!first) for (const [list, value] of [[c.rates, rate], [c.p99s, ms(0.99)]]) {
    list.push(value);
    if (list.length > SECONDS) list.shift();
  }
  const cell = (name, value) => node("div", {}, node("b", { textContent: value }), node("span", { className: "soft", textContent: name }));
  c.numbers.replaceChildren(cell("rows / s", shown(rate)), cell("p50, ms", shown(ms(0.5))), cell("p95, ms", shown(ms(0.95))),
    cell("p99, ms", shown(ms(0.99))), cell("waiting", model.waiting), cell("rows in all", model.inference_count),
    cell("failed", model.failed), cell("memory", bytes(model.bytes)));
  line(c.rate, c.rates, "rows/s");
  line(c.p99, c.p99s, "ms");
  bars(c.rows, [...model.rows.bounds.map(b => "≤" + b), "more"], model.rows.counts);
}

let last = 0;
async function tick() {
  try {
    const overview = await (await fetch("/vitrail/overview")).json();
    const now = performance.now(), seconds = (now - last) / 1000;
    last = now;
    document.getElementById("server").textContent =
      `version ${overview.version} · ${overview.ready ? "ready" : "stopping"} · ${bytes(overview.resident_bytes)} resident`;
    const seen = new Set();
    for (const model of overview.models) {
      const key = `${model.name}\n${model.version}`;
      seen.add(key);
      if (!cards.has(key)) {
        cards.set(key, card(model));
        document.getElementById("models").append(cards.get(key).element);
      }
      update(cards.get(key), model, seconds);
    }
    for (const [key, c] of cards) if (!seen.has(key)) { c.element.remove(); cards.delete(key); }
  } catch (error) {
    document.getElementById("server").textContent = "the server does not answer";
  }
  setTimeout(tick, 1000);
}
tick();
</script>
</body>
</html>
)html";
}

}  // namespace vitrail::serve
