/**
 * The view of the selected call: its record, latencies, transcript and recording. The record comes from the
 * API. For a call under way, the events come from the WebSocket.
 */

import { Conversation } from "./conversation.js";
import { byId, el, say, setText } from "./dom.js";
import { clock, durationOf, exactly, goesBack, isFailure, isTalking, phaseInWords, reasonInWords, whoToWhom } from "./format.js";
import { Player } from "./player.js";
import { TranscriptView } from "./transcript.js";
import { overview, scaleOf } from "./waterfall.js";

/** @typedef {import("./api.js").CallRecord} CallRecord */

/** When to fetch the record after the end of a call: its recording is complete a moment later. */
const SETTLE_MS = [600, 3_000];
const AGAIN_MS = 400;

export class CallView {
  /** @type {CallRecord|null} */ #call = null;
  /** @type {string|null} */ #id = null;
  #conversation = new Conversation();
  /** @type {Player|null} */ #player = null;
  /** @type {ReturnType<typeof setTimeout>[]} */ #timers = [];
  /** Whether this is a call of this page that the gateway has not placed yet, so that it has no record. */
  #awaited = false;
  #asked = 0;
  #drawing = false;
  #drawnLatencies = "";
  #following = true;

  /**
   * @param {import("./api.js").Api} api
   * @param {{onhangup: (call: CallRecord) => void, ownCall: () => string|null,
   *   lineOf: (callId: string, number: number) => number|null}} options `onhangup`: the button that ends a call
   *   under way was pressed; this page's own call has its button elsewhere. `lineOf`: what the line of a call of
   *   this page added to an answer, in ms
   */
  constructor(api, { onhangup, ownCall, lineOf }) {
    this.api = api;
    this.onhangup = onhangup;
    this.ownCall = ownCall;
    this.lineOf = lineOf;
    this.transcript = new TranscriptView(byId("transcript"), byId("spoken"), (item) => void this.#player?.playFrom(item));
    this.end = byId("transcript-end");
    this.latest = byId("latest");
    this.latest.addEventListener("click", () => this.#toLatest());
    new IntersectionObserver(([entry]) => {
      this.#following = entry.isIntersecting;
      this.#offerLatest();
    }, { rootMargin: "0px 0px 120px 0px" }).observe(this.end);
  }

  get callId() {
    return this.#id;
  }

  get call() {
    return this.#call;
  }

  /**
   * Select a call; null selects none.
   * @param {string|null} callId
   * @param {CallRecord} [call] what is known of it already
   */
  open(callId, call) {
    if (callId === this.#id) return;
    this.#player?.close();
    this.#player = null;
    this.#timers.splice(0).forEach(clearTimeout);
    this.#id = callId;
    this.#call = call ?? null;
    this.#awaited = callId !== null && !call && callId === this.ownCall();
    this.#conversation = new Conversation((number) => (callId === null ? null : this.lineOf(callId, number)));
    this.#drawnLatencies = "";
    this.#following = true;
    this.transcript.clear();
    byId("player").hidden = true;
    byId("player").replaceChildren();
    byId("overview").hidden = true;
    byId("call-head").replaceChildren();
    byId("welcome").hidden = callId !== null;
    byId("call-view").hidden = callId === null;
    if (callId) void this.refresh();
    this.#draw();
  }

  /** Fetch the record again: at the beginning, and whenever events may have been missed. */
  async refresh() {
    const [id, asked] = [this.#id, ++this.#asked];
    if (!id || this.#awaited) return;
    const began = performance.now();
    try {
      const { call, events } = await this.api.call(id);
      if (id !== this.#id || asked !== this.#asked) return;
      this.#conversation.add(events);
      const known = this.#call; // an event that came meanwhile is newer
      this.#take(known && (known.heard_at > began || goesBack(known, call)) ? known : call);
    } catch (error) {
      if (id !== this.#id) return;
      if (error.status === 404 && this.#call?.phase !== "ended" && this.#call) this.#later(AGAIN_MS);
      else if (!this.#call) say(byId("transcript-empty"), error.status === 404 ? "There is no such call (any more)." : error.message);
    }
  }

  /** @param {CallRecord} call news of any call */
  take(call) {
    if (call.call_id !== this.#id) return;
    this.#awaited = false;
    const ended = call.phase === "ended" && this.#call?.phase !== "ended";
    this.#take(call);
    if (ended) SETTLE_MS.forEach((ms) => this.#later(ms));
  }

  /** @param {string} callId @param {import("./api.js").CallEvent} event */
  hear(callId, event) {
    if (callId !== this.#id) return;
    if (this.#conversation.add([event])) this.#later(AGAIN_MS);
    this.#draw();
  }

  /** @param {string} callId @param {number} number the line was measured of the answer with this latency */
  measured(callId, number) {
    if (callId !== this.#id) return;
    this.#conversation.measured(number);
    this.#draw();
  }

  /** Update the duration. Called once a second. */
  tick() {
    if (this.#call && isTalking(this.#call.phase)) this.#drawLength();
  }

  /** @param {CallRecord} call */
  #take(call) {
    this.#call = call;
    if (call.phase === "ended") this.#conversation.end();
    this.#drawHead();
    if (call.phase === "ended" && call.recorded && !this.#player) {
      const place = byId("player");
      place.hidden = false;
      this.#player = new Player(place, this.api, call, (item) => this.transcript.mark(item));
    }
    this.#draw();
  }

  #later(ms) {
    this.#timers.push(setTimeout(() => void this.refresh(), ms));
  }

  /** Draw the conversation, at most once in each animation frame. */
  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    // A page in the background gets no animation frames, and nobody reads it.
    requestAnimationFrame(() => {
      this.#drawing = false;
      const items = this.#conversation.items;
      const live = this.#call?.phase === "live" || this.#call?.phase === "setup";
      const follow = this.#following && live;
      this.transcript.show(items, { live, seekable: this.#player !== null });
      this.#drawLatencies();
      this.#player?.marks(items);
      if (this.#call) say(byId("transcript-empty"), items.length ? "" : live ? "Nothing was said yet." : this.#call.phase === "ended" ? "Nothing was said." : "");
      if (follow) this.end.scrollIntoView({ block: "nearest" });
      this.#offerLatest();
    });
  }

  #drawLatencies() {
    const latencies = this.#conversation.latencies;
    const dropped = this.#conversation.dropped;
    const drawn = [dropped, ...latencies.map((one) => one.total)].join();
    if (drawn === this.#drawnLatencies) return;
    this.#drawnLatencies = drawn;
    const place = byId("overview");
    place.hidden = !latencies.length;
    byId("call-view").style.setProperty("--scale", String(scaleOf(latencies)));
    if (latencies.length) place.replaceChildren(...overview(latencies, dropped, (index) => this.transcript.reveal(index)));
  }

  #drawHead() {
    const call = this.#call;
    const state = call.phase === "ended" ? `ended: ${reasonInWords(call.reason)}` : phaseInWords(call.phase);
    const facts = [
      ["Agent", call.agent_id], ["Instance", call.instance_id], ["From", call.from_number], ["To", call.to_number], ["Kind", call.kind],
      ["Began", exactly(call.placed_at)], ["Answered", exactly(call.answered_at)], ["Ended", exactly(call.ended_at)],
      ["Call id", call.call_id], ["Metadata", call.metadata && JSON.stringify(call.metadata)], ["Sound", quality(call.quality)],
    ];
    const opened = byId("call-head").querySelector("details")?.open ?? false;
    const hadFocus = document.activeElement?.getAttribute("data-testid") === "call-hangup";
    byId("call-head").replaceChildren(
      el(
        "div", { class: "call-line" },
        el("h3", { class: "who", "data-testid": "call-title" }, whoToWhom(call)),
        el("span", { class: "chip", "data-testid": "call-state", "data-phase": call.phase, "data-reason": call.reason ?? "", "data-failed": isFailure(call.reason) }, state),
        el("span", { class: "length number", "data-testid": "call-length" }),
        call.phase === "ended" || call.call_id === this.ownCall() ? null : el("button", { type: "button", class: "danger", "data-testid": "call-hangup", onclick: () => this.onhangup(call) }, "Hang up"),
      ),
      call.detail && call.detail !== reasonInWords(call.reason) ? el("p", { class: "detail", "data-testid": "call-detail" }, call.detail) : "",
      el("details", { class: "facts", open: opened }, el("summary", {}, "Details"),
        el("dl", {}, ...facts.filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]))),
    );
    if (hadFocus) byId("call-head").querySelector("[data-testid=call-hangup]")?.focus();
    this.#drawLength();
  }

  #drawLength() {
    const length = byId("call-head").querySelector(".length");
    const seconds = this.#call && durationOf(this.#call);
    if (length) setText(length, seconds === null ? "" : clock(seconds));
  }

  #toLatest() {
    this.end.scrollIntoView({ block: "end" });
  }

  #offerLatest() {
    this.latest.hidden = this.#following || this.#call?.phase !== "live" || !this.#conversation.items.length;
  }
}

/** @param {Object<string, number>|null|undefined} sound @returns {string} */
function quality(sound) {
  if (!sound) return "";
  const told = [];
  if (sound.gaps) told.push(`${sound.gaps} gaps in the bot's speech, the longest ${Math.round(sound.worst_gap_s * 1000)} ms`);
  if (sound.frames_dropped) told.push(`${sound.frames_dropped} frames to the caller dropped`);
  if (sound.caller_dropped_s) told.push(`${sound.caller_dropped_s.toFixed(2)} s of the caller dropped`);
  return told.join("; ") || "no gaps";
}
