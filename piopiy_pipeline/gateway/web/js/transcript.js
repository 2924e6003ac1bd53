/**
 * The transcript on the page. Only what changed is written. So an open table stays open, a selection stays
 * selected, and a long call costs no more for each word than a short one.
 */

import { el, setText } from "./dom.js";
import { clock, inline, outcomeInWords } from "./format.js";
import { waterfall } from "./waterfall.js";

/** @typedef {import("./conversation.js").Item} Item */
/** @typedef {{item: Item, version: number, node: HTMLElement, update: () => void}} Row */

const SPEAKERS = { user: "Caller", bot: "Bot" };
const SPOKEN_KEPT = 4;

export class TranscriptView {
  /** @type {Row[]} */ #rows = [];
  /** @type {WeakSet<Item>} */ #spoken = new WeakSet();
  #seekable = false;

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} spoken the live region in which finished turns of a call under way are said
   * @param {(item: Item) => void} onseek the time of a turn was pressed
   */
  constructor(list, spoken, onseek) {
    this.list = list;
    this.spoken = spoken;
    this.onseek = onseek;
  }

  clear() {
    this.#rows = [];
    this.list.replaceChildren();
    this.spoken.replaceChildren();
  }

  /**
   * @param {Item[]} items
   * @param {{live: boolean, seekable: boolean}} how
   */
  show(items, { live, seekable }) {
    this.list.classList.toggle("seekable", seekable);
    if (seekable !== this.#seekable) {
      this.#seekable = seekable;
      for (const { node } of this.#rows) node.querySelector(".time").disabled = !seekable;
    }
    items.forEach((item, index) => {
      let row = this.#rows[index];
      if (row?.item !== item) {
        const fresh = this.#row(item);
        if (row) row.node.replaceWith(fresh.node);
        else this.list.append(fresh.node);
        row = this.#rows[index] = fresh;
      }
      if (row.version !== item.version) {
        row.update();
        row.version = item.version;
      }
      if (live) this.#say(item);
    });
    for (const row of this.#rows.splice(items.length)) row.node.remove();
  }

  /** @param {number} index of an answer with a latency: bring it into view */
  reveal(index) {
    const node = this.list.querySelectorAll("[data-testid=waterfall]")[index]?.closest("li");
    node?.scrollIntoView({ block: "center" });
    node?.querySelector("summary")?.focus({ preventScroll: true });
  }

  /** @param {Item|null} playing the turn that the recording is at */
  mark(playing) {
    for (const { item, node } of this.#rows) node.toggleAttribute("data-playing", item === playing);
  }

  /** @param {Item} item */
  #say(item) {
    if (item.kind !== "turn" || item.partial || !item.text || this.#spoken.has(item)) return;
    this.#spoken.add(item);
    this.spoken.append(el("p", {}, `${SPEAKERS[item.role]}: ${item.text}${item.backchannel ? " (listens)" : item.interrupted ? " (cut in)" : ""}`));
    while (this.spoken.childElementCount > SPOKEN_KEPT) this.spoken.firstElementChild.remove();
  }

  /** @param {Item} item @returns {Row} */
  #row(item) {
    return { item, version: -1, ...this.#made(item) };
  }

  /** @param {Item} item */
  #made(item) {
    switch (item.kind) {
      case "turn":
        return this.#turn(item);
      case "tool":
        return this.#tool(item);
      case "transfer":
        return this.#transfer(item);
      case "step":
        return this.#step(item);
      default:
        return this.#error(item);
    }
  }

  /** @param {import("./conversation.js").TurnItem} item */
  #turn(item) {
    const time = this.#time(item);
    const text = el("p", { class: "words", dir: "auto" });
    const cut = el("p", { class: "cut", "data-testid": "interruption", hidden: true }, "the caller cut in here");
    const listens = el("p", { class: "muted", "data-testid": "backchannel", hidden: true }, "while the bot spoke on: no turn");
    const node = el(
      "li",
      { class: `row turn ${item.role}`, "data-testid": "turn", "data-role": item.role },
      time.node,
      el("div", { class: "body" }, el("span", { class: "speaker" }, SPEAKERS[item.role]), text, cut, listens),
    );
    let drawn = null;
    const update = () => {
      time.set(item.role === "bot" ? (item.began ?? item.at) : item.at);
      node.setAttribute("data-partial", String(item.partial));
      setText(text, item.text || (item.partial ? "…" : item.role === "bot" ? "(cut off before a word was heard)" : "(no words)"));
      text.classList.toggle("wordless", !item.text);
      cut.hidden = !item.interrupted;
      listens.hidden = !item.backchannel;
      if (item.latency !== drawn) {
        drawn = item.latency;
        const before = node.querySelector(".wf");
        const [opened, focused] = [before?.open ?? false, before?.contains(document.activeElement)];
        before?.remove();
        if (drawn) {
          const bar = waterfall(drawn);
          bar.open = opened;
          text.before(bar);
          if (focused) bar.querySelector("summary").focus({ preventScroll: true });
        }
      }
    };
    return { node, update };
  }

  /** @param {import("./conversation.js").ToolItem} item */
  #tool(item) {
    const time = this.#time(item);
    const result = el("code", { class: "result", "data-testid": "tool-result" });
    const list = Object.entries(item.arguments ?? {});
    const given = el("span", { class: "arguments", "data-testid": "tool-arguments" });
    list.forEach(([name, value], index) =>
      given.append(index ? ", " : "", el("span", { class: "name" }, `${name}: `), inline(value)),
    );
    const node = el(
      "li",
      { class: "row tool", "data-testid": "tool", "data-name": item.name },
      time.node,
      el(
        "div", { class: "body" }, el("span", { class: "speaker" }, "Tool"),
        el("code", { class: "called" }, el("b", {}, item.name), "(", given, ")"), result,
      ),
    );
    const update = () => {
      time.set(item.at);
      node.setAttribute("data-done", String(item.done));
      setText(result, item.done ? inline(item.result ?? null) : "running…");
    };
    return { node, update };
  }

  /** @param {import("./conversation.js").ErrorItem} item */
  #error(item) {
    const time = this.#time(item);
    const node = el(
      "li",
      { class: "row error", "data-testid": "error" },
      time.node,
      el("div", { class: "body" }, el("span", { class: "speaker" }, item.stage ? `Error in ${item.stage}` : "Error"), el("p", { class: "words" }, item.message)),
    );
    return { node, update: () => time.set(item.at) };
  }

  /** @param {import("./conversation.js").TransferItem} item */
  #transfer(item) {
    const time = this.#time(item);
    const words = [`To ${item.to}: ${outcomeInWords(item.outcome)}`, item.detail].filter(Boolean).join(" – ");
    const node = el(
      "li",
      { class: "row transfer", "data-testid": "transfer", "data-outcome": item.outcome },
      time.node,
      el("div", { class: "body" }, el("span", { class: "speaker" }, "Transfer"), el("p", { class: "words" }, words)),
    );
    return { node, update: () => time.set(item.at) };
  }

  /** @param {import("./conversation.js").StepItem} item */
  #step(item) {
    const time = this.#time(item);
    const node = el(
      "li",
      { class: "row step", "data-testid": "step" },
      time.node,
      el("div", { class: "body" }, el("span", { class: "speaker" }, item.speaker), el("p", { class: "words" }, item.words)),
    );
    return { node, update: () => time.set(item.at) };
  }

  /** @param {Item} item the time at the left, which is a button where there is a recording to play */
  #time(item) {
    const node = el("button", { type: "button", class: "time", disabled: !this.#seekable, onclick: () => this.onseek(item) });
    const set = (seconds) => {
      setText(node, clock(seconds));
      node.setAttribute("aria-label", `Play from ${clock(seconds)}`);
    };
    return { node, set };
  }
}
