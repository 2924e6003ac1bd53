/**
 * Draws latencies: a bar for each answer with its parts, all bars of a call on one scale, and the overview of
 * the call. Widths are style properties that are set here, which the page's content policy allows.
 */

import { median, partsOf } from "./conversation.js";
import { el } from "./dom.js";
import { milliseconds } from "./format.js";

/** @typedef {import("./conversation.js").Latency} Latency */

/**
 * The end of the common scale: the longest answer, rounded up so that it does not move at every turn.
 * @param {Latency[]} latencies
 * @returns {number} ms
 */
export function scaleOf(latencies) {
  const longest = Math.max(0, ...latencies.map((one) => one.total));
  const step = longest > 4000 ? 1000 : longest > 1500 ? 500 : 250;
  return Math.max(1000, Math.ceil(longest / step) * step);
}

/** @param {Latency} latency @returns {string} for those who do not see the bar */
export function inWords(latency) {
  const parts = partsOf([latency]).filter(({ part }) => latency.parts[part] > 0);
  const list = parts.map(({ part, label }) => `${label} ${milliseconds(latency.parts[part])}`).join(", ");
  const sooner = latency.ahead?.saved ? `, ${milliseconds(latency.ahead.saved)} sooner because it was begun ahead` : "";
  return `Answered after ${milliseconds(latency.total)}${sooner}${list ? `: ${list}` : ""}`;
}

/**
 * The bar of one answer, which opens to a table of its parts. `--scale` of an ancestor is the common scale.
 * @param {Latency} latency
 * @returns {HTMLElement}
 */
export function waterfall(latency) {
  const bar = el("span", { class: "wf-bar", role: "img", "aria-label": inWords(latency) });
  for (const { part, label } of partsOf([latency])) {
    const ms = latency.parts[part];
    const piece = el(
      "span",
      { class: "wf-part", "data-testid": "waterfall-part", "data-part": part, "data-ms": ms, title: `${label}: ${milliseconds(ms)}` },
      el("span", {}, Math.round(ms)),
    );
    piece.style.setProperty("--ms", String(ms));
    bar.append(piece);
  }
  const total = el(
    "span",
    { class: "wf-total", "data-testid": "waterfall-total", "data-ms": latency.total, "data-gateway-ms": latency.gateway },
    milliseconds(latency.total),
  );
  return el(
    "details",
    { class: "wf", "data-testid": "waterfall" },
    el("summary", { class: "wf-line" }, total, el("span", { class: "wf-track" }, bar)),
    partsTable(latency),
  );
}

/** @param {Latency} latency */
function partsTable(latency) {
  let before = 0;
  const rows = partsOf([latency]).map(({ part, label, says }) => {
    const ms = latency.parts[part];
    const step = el("span", { class: "wf-step", "data-part": part });
    step.style.setProperty("--from", String(before));
    step.style.setProperty("--ms", String(ms));
    before += ms;
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, el("i", { class: "swatch", "data-part": part }), label, el("small", {}, says), ...decision(part, latency)),
      el("td", { class: "wf-steps", "aria-hidden": "true" }, step),
      el("td", { class: "number" }, milliseconds(ms)),
    );
  });
  const table = el("table", { class: "wf-table" }, el("caption", { class: "unseen" }, "Parts of this answer's latency"), el("tbody", {}, ...rows));
  table.style.setProperty("--total", String(Math.max(1, before)));
  return table;
}

/**
 * @param {string} part
 * @param {Latency} latency
 * @returns {HTMLElement[]} why the turn was taken for over, in its row, and in the model's whether it was asked before
 */
function decision(part, { turn, ahead }) {
  if (part === "turn" && turn) {
    return [el("small", { "data-testid": "turn-reason" }, `after ${milliseconds(turn.wait)} of silence: ${turn.reason}`)];
  }
  if (part !== "llm" || !ahead) return [];
  const attempts = ahead.begun === 1 ? "once" : `${ahead.begun} times`;
  const says = ahead.saved === null
    ? `begun ahead ${attempts}, for nothing`
    : `begun ahead: heard ${milliseconds(ahead.saved)} sooner${ahead.begun > 1 ? `, at attempt ${ahead.begun}` : ""}`;
  return [el("small", { "data-testid": "eager", "data-saved-ms": ahead.saved, "data-begun": ahead.begun }, says)];
}

/**
 * The overview of all answers: how many, median, worst, the median of each part (the legend), and a column
 * for each answer.
 * @param {Latency[]} latencies
 * @param {number} dropped answers that were begun ahead for nothing
 * @param {(index: number) => void} onpick an answer's column was pressed
 * @returns {HTMLElement[]}
 */
export function overview(latencies, dropped, onpick) {
  const totals = latencies.map((one) => one.total);
  const worst = Math.max(...totals);
  const figure = (name, value, testid) =>
    el("div", { class: "figure" }, el("dt", {}, name), el("dd", { "data-testid": testid, "data-ms": value }, milliseconds(value)));
  const sooner = latencies.filter((one) => one.ahead && one.ahead.saved !== null).length;
  const ahead = sooner || dropped
    ? [el("div", { class: "figure", title: "Answers begun before the caller's turn was over" },
        el("dt", {}, "Begun ahead"),
        el("dd", { "data-testid": "eager-count", "data-said": sooner, "data-dropped": dropped }, `${sooner}${dropped ? `, ${dropped} dropped` : ""}`))]
    : [];
  const columns = el("div", { class: latencies.length > 30 ? "columns many" : "columns", role: "group", "aria-label": "Answers of this call" });
  columns.style.setProperty("--worst", String(worst || 1));
  latencies.forEach((one, index) => {
    const column = el("button", {
      type: "button", class: "column", "aria-label": `Answer ${index + 1}. ${inWords(one)}`,
      title: `Answer ${index + 1}: ${milliseconds(one.total)}`, onclick: () => onpick(index),
    });
    for (const { part } of partsOf([one])) {
      const piece = el("i", { "data-part": part });
      piece.style.setProperty("--ms", String(one.parts[part]));
      column.append(piece);
    }
    columns.append(column);
  });
  const legend = el(
    "ul",
    { class: "legend", "data-testid": "legend", "aria-label": "Parts of an answer's latency, median of this call" },
    ...partsOf(latencies).map(({ part, label }) => {
      const known = latencies.flatMap((one) => one.parts[part] ?? []);
      return el("li", {}, el("i", { class: "swatch", "data-part": part }), `${label} `, el("b", {}, milliseconds(median(known))));
    }),
  );
  return [
    el(
      "div",
      { class: "overview-head" },
      el("dl", { class: "figures" }, figure("Median answer", median(totals), "latency-median"), figure("Worst", worst, "latency-worst"),
        el("div", { class: "figure" }, el("dt", {}, "Answers"), el("dd", {}, totals.length)), ...ahead),
      columns,
    ),
    legend,
  ];
}
