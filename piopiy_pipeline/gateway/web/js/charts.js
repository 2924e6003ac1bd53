/**
 * The day as three charts of ten minutes each: calls, voice-to-voice, and ends that are failures. Each chart has a
 * sentence that says the same, and the numbers are in a table below.
 */

import { el } from "./dom.js";
import { isFailure, milliseconds, reasonInWords } from "./format.js";

/**
 * @typedef {{at: number, placed: number, most: number, ended: Object<string, number>, errors: number,
 *   voice_to_voice: {answers: number, p50_s: number|null, p95_s: number|null}, buckets: number[]}} TrendCounts
 */
/** @typedef {{bucket_s: number, bounds_s: number[], gateways: string[], missing: string[], counts: TrendCounts[]}} Trends */

const NS = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [480, 120, 40, 18, 8];
const DAY_S = 86_400;

/** @param {string} tag @param {Object<string, any>} attributes @param {...(Node|string)} children @returns {Element} */
function svg(tag, attributes, ...children) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** @param {number} seconds Unix time @returns {string} */
export function hourAndMinute(seconds) {
  return new Date(1000 * seconds).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** @param {number} highest @returns {number} a round number that is not lower */
function round(highest) {
  const power = 10 ** Math.floor(Math.log10(Math.max(highest, 1e-9)));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= highest * 0.999) ?? 10 * power;
}

/** @param {TrendCounts} one @returns {[string, number][]} the ends that are failures, the most frequent first */
function failures(one) {
  return Object.entries(one.ended).filter(([reason]) => isFailure(reason)).sort((a, b) => b[1] - a[1]);
}

/** @param {[string, number][]} pairs */
const total = (pairs) => pairs.reduce((sum, [, number]) => sum + number, 0);

/** @param {number} number @param {string} word @returns {string} "1 call", "3 calls" */
export function counted(number, word) {
  return `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
}

/**
 * @param {Trends} trends
 * @returns {{answers: number, p50_s: number|null, p95_s: number|null}} of the whole day
 */
function answeredIn({ counts, bounds_s }) {
  const sums = counts.reduce((all, { buckets }) => all.map((one, i) => one + buckets[i]), Array(bounds_s.length + 1).fill(0));
  const answers = sums.reduce((a, b) => a + b, 0);
  const below = (share) => {
    let before = 0;
    for (let i = 0; i < sums.length; i++) {
      const [low, high] = [i ? bounds_s[i - 1] : 0, bounds_s[i] ?? bounds_s.at(-1)];
      if (sums[i] && before + sums[i] >= share * answers) return low + ((high - low) * (share * answers - before)) / sums[i];
      before += sums[i];
    }
    return null;
  };
  return { answers, p50_s: answers ? below(0.5) : null, p95_s: answers ? below(0.95) : null };
}

/** @param {Trends} trends @returns {string} the day in a sentence or two */
export function dayInWords(trends) {
  const { counts } = trends;
  const placed = counts.reduce((sum, one) => sum + one.placed, 0);
  if (!placed) return "No calls yet since these gateways were started.";
  const ends = /** @type {Object<string, number>} */ ({});
  for (const one of counts) for (const [reason, number] of failures(one)) ends[reason] = (ends[reason] ?? 0) + number;
  const failed = Object.entries(ends).sort((a, b) => b[1] - a[1]);
  const errors = counts.reduce((sum, one) => sum + one.errors, 0);
  const { answers, p50_s, p95_s } = answeredIn(trends);
  const said = [
    `${counted(placed, "call")} since ${hourAndMinute(counts[0].at)}`,
    failed.length ? `${total(failed)} failed (${failed.slice(0, 3).map(([reason, number]) => `${number} × ${reasonInWords(reason)}`).join(", ")})` : "none failed",
    errors ? counted(errors, "error") + " in conversations" : "no errors in conversations",
    p50_s === null || p95_s === null ? "" : `${counted(answers, "answer")}: half within ${milliseconds(1000 * p50_s)}, 95% within ${milliseconds(1000 * p95_s)}`,
  ];
  return `${said.filter(Boolean).join("; ")}.`;
}

/**
 * @param {string} title
 * @param {string} words what the chart shows, in a sentence
 * @param {TrendCounts[]} counts
 * @param {number} highest
 * @param {(value: number) => string} format of the scale
 * @param {(x: (at: number) => number, y: (value: number) => number, width: number) => Element[]} draw
 * @param {[string, string][]} [legend] class and text
 */
function chart(title, words, counts, highest, format, draw, legend = []) {
  const end = counts.length ? counts.at(-1).at + 600 : Date.now() / 1000;
  const begin = end - DAY_S;
  const top = round(highest);
  const inner = WIDTH - LEFT - 4;
  const x = (at) => LEFT + (inner * (at - begin)) / DAY_S;
  const y = (value) => HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - TOP) * value) / top;
  const lines = [0, top / 2, top].flatMap((value) => [
    svg("line", { class: "grid", x1: LEFT, x2: WIDTH - 4, y1: y(value), y2: y(value) }),
    svg("text", { class: "scale", x: LEFT - 5, y: y(value) + 3.5, "text-anchor": "end" }, format(value)),
  ]);
  const hours = [];
  for (let at = Math.ceil(begin / 21_600) * 21_600; at < end; at += 21_600) {
    hours.push(svg("text", { class: "scale", x: Math.min(x(at), WIDTH - 20), y: HEIGHT - 4, "text-anchor": "middle" }, hourAndMinute(at)));
  }
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${words}` }, ...lines, ...hours, ...draw(x, y, (inner * 600) / DAY_S));
  return el(
    "figure", { class: "chart", "data-testid": "chart" },
    el("figcaption", {}, el("b", {}, title), el("span", { class: "muted" }, words)),
    picture,
    legend.length ? el("p", { class: "legend", "aria-hidden": "true" }, ...legend.map(([name, text]) => el("span", {}, el("i", { class: `swatch ${name}` }), text))) : null,
  );
}

/** @param {string} name @param {TrendCounts[]} counts @param {(one: TrendCounts) => number|null} valueOf */
function curve(name, counts, valueOf, x, y) {
  const parts = [];
  let before = null;
  for (const one of counts) {
    const value = valueOf(one);
    if (value === null) continue;
    const [px, py] = [x(one.at + 300), y(value)];
    parts.push(`${before !== null && one.at - before <= 600 ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`);
    parts.push(`L${(px + 0.1).toFixed(1)} ${py.toFixed(1)}`); // so that one that stands alone is a dot
    before = one.at;
  }
  return svg("path", { class: `curve ${name}`, d: parts.join("") });
}

/** @param {Trends} trends @returns {HTMLElement[]} */
export function charts(trends) {
  const { counts } = trends;
  const bar = (name, one, low, high, x, y, width) =>
    svg("rect", { class: name, x: x(one.at), y: y(high), width: Math.max(width - 0.6, 1), height: Math.max(y(low) - y(high), 0) });
  const most = Math.max(0, ...counts.map((one) => one.placed));
  const slowest = Math.max(0, ...counts.map((one) => one.voice_to_voice.p95_s ?? 0));
  const bad = (one) => total(failures(one)) + one.errors;
  const worst = Math.max(0, ...counts.map(bad));
  const { p50_s, p95_s } = answeredIn(trends);
  const whole = (value) => (Number.isInteger(value) ? String(value) : "");
  return [
    chart("Calls", most ? `at most ${counted(most, "call")} in ten minutes` : "none yet", counts, Math.max(most, 2), whole, (x, y, width) =>
      counts.filter((one) => one.placed).map((one) => bar("placed", one, 0, one.placed, x, y, width))),
    chart("Voice to voice", p50_s === null || p95_s === null ? "no answers yet" : `median ${milliseconds(1000 * p50_s)}, 95% within ${milliseconds(1000 * p95_s)}`,
      counts, Math.max(slowest, 1), (value) => `${value} s`, (x, y) => [
        curve("p95", counts, (one) => one.voice_to_voice.p95_s, x, y), curve("p50", counts, (one) => one.voice_to_voice.p50_s, x, y),
      ], [["p50", "median"], ["p95", "95%"]]),
    chart("Failures", worst ? `${counted(counts.reduce((sum, one) => sum + total(failures(one)), 0), "failed call")}, ${counted(counts.reduce((sum, one) => sum + one.errors, 0), "error")}` : "none",
      counts, Math.max(worst, 2), whole, (x, y, width) => counts.filter(bad).flatMap((one) => {
        const failed = total(failures(one));
        return [bar("failed", one, 0, failed, x, y, width), bar("errors", one, failed, failed + one.errors, x, y, width)];
      }), [["failed", "calls that failed"], ["errors", "errors in conversations"]]),
  ];
}

/** @param {Trends} trends @returns {HTMLElement} the same as a table, the latest first */
export function numbers({ counts }) {
  const heads = ["From", "Calls", "At a time", "Failed", "Errors", "Median answer", "95%"];
  const ms = (value) => (value === null ? "–" : milliseconds(1000 * value));
  return el(
    "table", { class: "numbers" },
    el("caption", { class: "unseen" }, "The last day in ten minutes each"),
    el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, ...[...counts].reverse().map((one) => el(
      "tr", {}, el("th", { scope: "row" }, hourAndMinute(one.at)),
      ...[one.placed, one.most, total(failures(one)), one.errors, ms(one.voice_to_voice.p50_s), ms(one.voice_to_voice.p95_s)].map((value) => el("td", {}, value)),
    ))),
  );
}
