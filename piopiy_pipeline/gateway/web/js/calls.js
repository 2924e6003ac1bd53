/**
 * The list of calls. Past calls come from the API in pages, changes of calls from the WebSocket.
 */

import { byId, el, say, setText } from "./dom.js";
import { clock, durationOf, exactly, goesBack, isFailure, isTalking, phaseInWords, reasonInWords, when, whoToWhom } from "./format.js";

/** @typedef {import("./api.js").CallRecord} CallRecord */

const KINDS = { browser: "Browser", phone: "Phone", stream: "Stream", recorded: "Recorded", text: "Chat" };
/** The list keeps this many of the latest calls, until the user asks for older ones. */
const KEPT = 200;

export class CallList {
  /** @type {Map<string, CallRecord>} */ #calls = new Map();
  /** @type {Map<string, {node: HTMLElement, update: (call: CallRecord) => void}>} */ #rows = new Map();
  /** @type {string|null} */ #next = null;
  /** @type {string|null} */ #selected = null;
  /** Whether the user asked for older calls than those of the first page. */
  #deep = false;
  #asked = 0;
  #kept = KEPT;

  /**
   * @param {import("./api.js").Api} api
   * @param {(error: Error) => void} onproblem
   */
  constructor(api, onproblem) {
    this.api = api;
    this.onproblem = onproblem;
    this.list = byId("calls");
    this.kind = byId("filter-kind");
    this.phase = byId("filter-phase");
    this.older = byId("older");
    for (const filter of [this.kind, this.phase]) {
      filter.addEventListener("change", () => {
        this.#calls.clear();
        this.#deep = false;
        this.#kept = KEPT;
        void this.refresh();
      });
    }
    this.older.addEventListener("click", () => void this.#fetchOlder());
  }

  /** Fetch the latest page again: at the beginning, and whenever events may have been missed. */
  async refresh() {
    const asked = ++this.#asked;
    const began = performance.now();
    try {
      const page = await this.api.calls(this.#filter());
      if (asked !== this.#asked) return;
      const oldest = Date.parse(page.calls.at(-1)?.placed_at ?? "");
      // A call that is as recent as this page but not on it is gone, unless an event named it meanwhile.
      for (const [id, call] of this.#calls) {
        if (call.heard_at < began && (!page.next || Date.parse(call.placed_at) >= oldest)) this.#calls.delete(id);
      }
      if (!this.#deep) this.#next = page.next;
      for (const call of page.calls) {
        const known = this.#calls.get(call.call_id);
        if (!known || !(known.heard_at > began || goesBack(known, call))) this.#calls.set(call.call_id, call);
      }
      this.#render();
    } catch (error) {
      this.onproblem(error);
    }
  }

  /** @param {CallRecord} call news of a call */
  take(call) {
    const { kind, phase } = this.#filter();
    if ((kind && call.kind !== kind) || (phase && call.phase !== phase)) this.#calls.delete(call.call_id);
    else this.#calls.set(call.call_id, call);
    this.#render();
  }

  /** @param {string|null} callId */
  select(callId) {
    this.#selected = callId;
    this.#mark();
  }

  /** Update the durations of calls under way. Called once a second. */
  tick() {
    for (const [id, row] of this.#rows) {
      const call = this.#calls.get(id);
      if (call && isTalking(call.phase)) row.update(call);
    }
  }

  #filter() {
    return { kind: this.kind.value, phase: this.phase.value };
  }

  async #fetchOlder() {
    if (!this.#next) return;
    const asked = ++this.#asked;
    this.older.disabled = true;
    try {
      const page = await this.api.calls({ ...this.#filter(), before: this.#next });
      if (asked !== this.#asked) return;
      for (const call of page.calls) {
        const known = this.#calls.get(call.call_id);
        if (!known || !goesBack(known, call)) this.#calls.set(call.call_id, call);
      }
      this.#next = page.next;
      this.#deep = true;
      this.#kept += page.calls.length;
      this.#render();
    } catch (error) {
      this.onproblem(error);
    } finally {
      this.older.disabled = false;
    }
  }

  #render() {
    const latest = [...this.#calls.values()].sort(
      (a, b) => Date.parse(b.placed_at) - Date.parse(a.placed_at) || b.call_id.localeCompare(a.call_id),
    );
    for (const call of latest.splice(this.#kept)) this.#calls.delete(call.call_id);
    for (const [id, row] of this.#rows) {
      if (this.#calls.has(id)) continue;
      row.node.remove();
      this.#rows.delete(id);
    }
    latest.forEach((call, index) => {
      let row = this.#rows.get(call.call_id);
      if (!row) this.#rows.set(call.call_id, (row = makeRow(call)));
      if (this.list.children[index] !== row.node) this.list.insertBefore(row.node, this.list.children[index] ?? null);
      row.update(call);
    });
    this.#mark();
    this.older.hidden = !this.#next;
    const filtered = this.kind.value || this.phase.value;
    say(byId("calls-empty"), latest.length ? "" : filtered ? "No such call." : "No calls yet. The first one will appear here.");
  }

  #mark() {
    for (const [id, { node }] of this.#rows) {
      const link = node.firstElementChild;
      if (id === this.#selected) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }
}

/** @param {CallRecord} call */
function makeRow(call) {
  const [who, length, outcome] = [el("span", { class: "who" }), el("span", { class: "length" }), el("span", { class: "outcome" })];
  const time = el("time", { datetime: call.placed_at, title: exactly(call.placed_at) }, when(call.placed_at));
  const link = el(
    "a",
    { href: `#/call/${encodeURIComponent(call.call_id)}`, class: "call", "data-testid": "call-row", "data-call-id": call.call_id, "data-kind": call.kind },
    el("i", { class: "dot", "aria-hidden": "true" }), who, length,
    el("span", { class: "under" }, el("span", { class: "kind" }, KINDS[call.kind] ?? call.kind), time, outcome),
  );
  const update = (now) => {
    const seconds = durationOf(now);
    setText(who, whoToWhom(now));
    setText(length, seconds === null ? "" : clock(seconds));
    setText(outcome, now.phase === "ended" ? reasonInWords(now.reason) : phaseInWords(now.phase));
    link.setAttribute("data-phase", now.phase);
    link.setAttribute("data-reason", now.reason ?? "");
    link.toggleAttribute("data-failed", isFailure(now.reason));
  };
  return { node: el("li", {}, link), update };
}
