/**
 * The player of a call's recording: an outline of both sides with the turns marked on it, and an audio element.
 * An audio element cannot send an API key. If the console needs one, the file is fetched and played from memory.
 * Long recordings are fetched only when the user plays them.
 */

import { el, say, setText } from "./dom.js";
import { clock } from "./format.js";
import { WavOutline, beganBefore } from "./wav.js";

/** @typedef {import("./conversation.js").Item} Item */

const BUCKETS = 1200;
const AT_ONCE_S = 300;
const LEAD_S = 0.2;
const SPEEDS = ["1", "1.5", "2"];

export class Player {
  /** @type {AbortController} */ #fetching = new AbortController();
  /** @type {WavOutline|null} */ #outline = null;
  /** @type {Promise<void>|null} */ #loaded = null;
  /** @type {string|null} */ #blob = null;
  /** @type {Item[]} */ #items = [];
  /** @type {Map<Item, number>} when each began, in seconds */ #began = new Map();

  /**
   * @param {HTMLElement} place
   * @param {import("./api.js").Api} api
   * @param {import("./api.js").CallRecord} call
   * @param {(item: Item|null) => void} onturn the turn that is being played
   */
  constructor(place, api, call, onturn) {
    this.api = api;
    this.call = call;
    this.onturn = onturn;
    this.seconds = call.duration_s ?? 0;
    this.audio = el("audio", { preload: api.key ? "none" : "metadata", "data-testid": "recording" });
    this.play = el("button", { type: "button", class: "primary play", "data-testid": "recording-play", "aria-label": "Play the recording", onclick: () => void this.#toggle() }, "Play");
    this.time = el("span", { class: "number", "data-testid": "recording-time" });
    this.problem = el("p", { class: "problem", role: "alert", hidden: true });
    this.speed = el("select", { "aria-label": "Speed", onchange: () => (this.audio.playbackRate = Number(this.speed.value)) }, ...SPEEDS.map((s) => el("option", { value: s }, `${s}×`)));
    this.canvas = el("canvas", {
      class: "wave", role: "slider", tabindex: "0", "aria-label": "Place in the recording: the caller above, the bot below",
      "aria-valuemin": "0", "data-testid": "timeline", onkeydown: (event) => this.#keys(event), onpointerdown: (event) => this.#point(event),
    });
    this.colours = Object.fromEntries(["user", "bot", "line", "text"].map((name) => [name, el("i", { class: `tint-${name}` })]));
    place.replaceChildren(
      el("div", { class: "wave-place" }, this.canvas),
      el("div", { class: "player-row" }, this.play, this.time, el("span", { class: "key-user" }, "caller"), el("span", { class: "key-bot" }, "bot"), this.speed),
      this.problem, this.audio, ...Object.values(this.colours),
    );
    for (const event of ["play", "pause", "ended"]) this.audio.addEventListener(event, () => this.#state());
    for (const event of ["timeupdate", "seeking", "loadedmetadata", "durationchange"]) this.audio.addEventListener(event, () => this.#moved());
    this.audio.addEventListener("error", () => this.audio.src && say(this.problem, "The recording could not be played."));
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.canvas);
    document.addEventListener("themechange", () => this.draw(), { signal: this.#fetching.signal });
    if (!api.key) this.audio.src = api.recordingUrl(call.call_id);
    if (this.seconds <= AT_ONCE_S) void this.load();
    this.#moved();
  }

  /** Stop, and release everything. */
  close() {
    this.#fetching.abort();
    this.resized.disconnect();
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
    if (this.#blob) URL.revokeObjectURL(this.#blob);
  }

  /** @param {Item[]} items the conversation, for its marks */
  marks(items) {
    this.#items = items;
    this.#began = new Map(items.map((item, index) => [item, this.#startOf(item, index)]));
    this.draw();
  }

  /** Fetch the recording once: for its outline, and to play it if a key is needed. */
  load() {
    this.#loaded ??= this.#fetch().catch((error) => {
      if (error.name === "AbortError") return;
      this.#loaded = null;
      say(this.problem, `The recording cannot be had: ${error.message}`);
    });
    return this.#loaded;
  }

  /** @param {Item} item play from where it began */
  async playFrom(item) {
    await this.load();
    this.seek((this.#began.get(item) ?? item.at) - LEAD_S);
    await this.#start();
  }

  /** @param {number} seconds */
  seek(seconds) {
    this.audio.currentTime = Math.min(Math.max(0, seconds), this.#length());
    this.#moved();
  }

  async #fetch() {
    const response = await this.api.recording(this.call.call_id, this.#fetching.signal);
    const outline = new WavOutline(Number(response.headers.get("content-length")), BUCKETS);
    const kept = this.api.key ? [] : null;
    const reader = response.body.getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      outline.push(next.value);
      kept?.push(next.value);
    }
    if (kept && !this.#fetching.signal.aborted) {
      this.#blob = URL.createObjectURL(new Blob(kept, { type: "audio/wav" }));
      this.audio.src = this.#blob;
    }
    this.#outline = outline;
    if (outline.seconds) this.seconds = outline.seconds;
    this.marks(this.#items);
    this.#moved();
  }

  async #toggle() {
    if (!this.audio.paused) return this.audio.pause();
    await this.load();
    return this.#start();
  }

  async #start() {
    try {
      await this.audio.play();
    } catch (error) {
      if (error.name !== "AbortError") say(this.problem, `The recording could not be played: ${error.message}`);
    }
  }

  #state() {
    const paused = this.audio.paused;
    setText(this.play, paused ? "Play" : "Pause");
    this.play.setAttribute("aria-label", paused ? "Play the recording" : "Pause the recording");
  }

  #length() {
    return Number.isFinite(this.audio.duration) && this.audio.duration > 0 ? this.audio.duration : this.seconds;
  }

  #moved() {
    const at = this.audio.currentTime;
    setText(this.time, `${clock(at)} / ${clock(this.#length())}`);
    this.canvas.setAttribute("aria-valuemax", String(Math.round(this.#length())));
    this.canvas.setAttribute("aria-valuenow", String(Math.round(at)));
    this.canvas.setAttribute("aria-valuetext", `${clock(at)} of ${clock(this.#length())}`);
    const begun = at > 0 ? this.#items.filter((item) => item.kind === "turn" && this.#began.get(item) - LEAD_S <= at + 0.01) : [];
    this.onturn(begun.at(-1) ?? null);
    this.draw();
  }

  /** @param {Item} item @param {number} index @returns {number} when it began, as well as it can be told */
  #startOf(item, index) {
    if (item.kind !== "turn") return item.at;
    if (item.role === "bot" && item.began !== null) return item.began;
    const side = this.#outline?.peaks[item.role === "user" ? 0 : 1];
    const before = this.#items.slice(0, index).findLast((other) => other.kind === "turn" && other.role === item.role);
    const earliest = Math.max(before?.at ?? 0, item.at - 20);
    return side ? beganBefore(side, this.seconds, item.at, earliest) : Math.max(earliest, (item.began ?? item.at) - 2);
  }

  /** Draw the outline, the marks of the turns and the playing position. */
  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    const dense = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * dense);
    this.canvas.height = Math.round(height * dense);
    const pen = this.canvas.getContext("2d");
    pen.scale(dense, dense);
    const colour = (name) => getComputedStyle(this.colours[name]).color;
    const whole = this.#length() || 1;
    const middle = height / 2;
    pen.fillStyle = colour("line");
    pen.fillRect(0, middle - 0.5, width, 1);
    for (const [side, name] of /** @type {const} */ ([[0, "user"], [1, "bot"]])) {
      const peaks = this.#outline?.peaks[side];
      if (!peaks) continue;
      pen.fillStyle = colour(name);
      for (let x = 0; x < width; x += 2) {
        const [from, to] = [Math.floor((x / width) * peaks.length), Math.ceil(((x + 2) / width) * peaks.length)];
        const tall = Math.sqrt(Math.max(...peaks.subarray(from, Math.max(to, from + 1)))) * (middle - 6);
        if (tall > 0.5) pen.fillRect(x, side ? middle + 1.5 : middle - 1.5 - tall, 1.4, tall);
      }
    }
    for (const item of this.#items) {
      if (item.kind !== "turn") continue;
      pen.fillStyle = colour(item.role);
      const x = (this.#began.get(item) / whole) * width;
      pen.fillRect(x, item.role === "user" ? 0 : height - 4, 2, 4);
    }
    pen.fillStyle = colour("text");
    pen.fillRect(Math.min(width - 1.5, (this.audio.currentTime / whole) * width), 0, 1.5, height);
  }

  /** @param {PointerEvent} down */
  #point(down) {
    const box = this.canvas.getBoundingClientRect();
    const move = (event) => this.seek(((event.clientX - box.left) / box.width) * this.#length());
    const release = () => this.canvas.removeEventListener("pointermove", move);
    this.canvas.setPointerCapture(down.pointerId);
    this.canvas.addEventListener("pointermove", move);
    this.canvas.addEventListener("pointerup", release, { once: true });
    this.canvas.addEventListener("pointercancel", release, { once: true });
    void this.load();
    move(down);
  }

  /** @param {KeyboardEvent} event */
  #keys(event) {
    const step = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10 }[event.key];
    if (step) this.seek(this.audio.currentTime + step);
    else if (event.key === "Home") this.seek(0);
    else if (event.key === "End") this.seek(this.#length());
    else if (event.key === " " || event.key === "Enter") void this.#toggle();
    else return;
    event.preventDefault();
  }
}
