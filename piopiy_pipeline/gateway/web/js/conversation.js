/**
 * Makes a conversation from its events: turns with their latencies, tool calls and errors, in order. This file
 * knows no element of the page. Events come from the record and from the WebSocket, in any order and more than
 * once. Their numbers tell them apart.
 */

/** @typedef {import("./api.js").CallEvent} CallEvent */

/** The parts of an answer's latency, in order, as the gateway measures them. */
export const PARTS = [
  { part: "silence", field: "silence_s", label: "Silence", says: "until it is certain that the caller stopped" },
  { part: "stt", field: "stt_s", label: "Speech to text", says: "until the last words were recognised" },
  { part: "turn", field: "turn_s", label: "Turn decision", says: "until it was decided that the turn is over" },
  { part: "llm", field: "llm_s", label: "LLM first token", says: "until the model began to answer, tools included" },
  { part: "tts", field: "tts_s", label: "TTS first audio", says: "until the voice had its first sound" },
  { part: "playout", field: "playout_s", label: "Network + playout", says: "until that sound was played" },
];
/** The further part that this page measures in its own call: see line.js. */
export const LINE = { part: "line", label: "Your line", says: "to the gateway, back, and through this browser's jitter buffer" };

/**
 * The latency of one answer, in milliseconds. `parts` has every part of PARTS, and LINE if it was measured.
 * Their sum is `total`. `gateway` is the sum without LINE, which is what the record has.
 * `turn` says after which silence the turn was taken for over, and why. `ahead` says how many answers were begun
 * before it was, and how much sooner the last one is heard for that; `saved` is null if none of them was said.
 * @typedef {{total: number, gateway: number, parts: Object<string, number>, turn?: {wait: number, reason: string},
 *   ahead?: {begun: number, saved: number|null}}} Latency
 */
/**
 * @typedef {{kind: "turn", role: "user"|"bot", text: string, partial: boolean, interrupted: boolean,
 *   backchannel: boolean, began: number|null, at: number, latency: Latency|null, version: number}} TurnItem
 *   `began` is when its first word or sound came, if that is known; `at` is when it ended; `backchannel` says that
 *   the caller said it to show that they listen ("mhm"), while the bot spoke on
 */
/** @typedef {{kind: "tool", call: any, name: string, arguments: any, result: any, done: boolean, at: number, version: number}} ToolItem */
/** @typedef {{kind: "error", stage: string, message: string, at: number, version: number}} ErrorItem */
/** @typedef {{kind: "transfer", to: string, outcome: string, detail: string, at: number, version: number}} TransferItem */
/** @typedef {{kind: "step", speaker: string, words: string, at: number, version: number}} StepItem what leads the conversation from here on */
/** @typedef {TurnItem|ToolItem|ErrorItem|TransferItem|StepItem} Item */

export class Conversation {
  /** @type {Map<number, CallEvent>} */ #events = new Map();
  /** @type {{user: TurnItem|null, bot: TurnItem|null}} */ #open = { user: null, bot: null };
  #last = 0;
  #over = false;
  /** @type {Map<number, {turn: TurnItem, data: Object<string, any>}>} answers by the number of their latency */
  #answers = new Map();

  /** @param {(number: number) => number|null} [line] what our own line added to the answer with this latency, in ms */
  constructor(line = () => null) {
    this.line = line;
    /** @type {Item[]} */
    this.items = [];
    /** Answers that were begun before the caller had finished, and dropped. */
    this.dropped = 0;
  }

  /**
   * Add events.
   * @param {CallEvent[]} events
   * @returns {boolean} whether one before them is missing: not of the record, which has no partial ones
   */
  add(events) {
    let [late, gap] = [this.#over, false]; // an event that comes after the end belongs before it
    for (const event of events) {
      if (this.#events.has(event.number)) continue;
      this.#events.set(event.number, event);
      if (event.number < this.#last) late = true;
      else {
        gap ||= event.number > this.#last + 1;
        this.#last = event.number;
        if (!late) this.#apply(event);
      }
    }
    if (late) this.#again();
    return gap;
  }

  /** Of the answer with this latency the line was measured. @param {number} number */
  measured(number) {
    const answer = this.#answers.get(number);
    if (answer) this.#change(answer.turn, { latency: latencyOf(answer.data, this.line(number)) });
  }

  /** No more events will come: partial words stay as they are. */
  end() {
    this.#over = true;
    for (const role of /** @type {const} */ (["user", "bot"])) {
      const turn = this.#open[role];
      if (turn) this.#change(turn, { partial: false });
      this.#open[role] = null;
    }
  }

  /** @returns {Latency[]} of each answer, in order */
  get latencies() {
    return this.items.flatMap((item) => (item.kind === "turn" && item.latency ? [item.latency] : []));
  }

  #again() {
    this.items = [];
    this.dropped = 0;
    this.#answers.clear();
    this.#open = { user: null, bot: null };
    for (const number of [...this.#events.keys()].sort((a, b) => a - b)) this.#apply(this.#events.get(number));
    if (this.#over) this.end();
  }

  /** @param {CallEvent} event */
  #apply({ number, at, event, data }) {
    switch (event) {
      case "user_partial":
      case "bot_partial": {
        const turn = this.#turn(event === "user_partial" ? "user" : "bot", at);
        this.#change(turn, { text: data.text, at, began: turn.began ?? at });
        break;
      }
      case "user_turn":
      case "user_backchannel":
      case "bot_turn": {
        const role = event === "bot_turn" ? "bot" : "user";
        this.#change(this.#turn(role, at), {
          text: data.text, at, partial: false, interrupted: Boolean(data.interrupted), backchannel: event === "user_backchannel",
        });
        this.#open[role] = null;
        break;
      }
      case "latency": {
        if (this.#open.bot?.latency) this.#change(this.#open.bot, { partial: false });
        if (this.#open.bot?.latency) this.#open.bot = null;
        const turn = this.#turn("bot", at);
        this.#answers.set(number, { turn, data });
        this.#change(turn, { latency: latencyOf(data, this.line(number)), began: turn.began ?? at });
        break;
      }
      case "tool":
        this.items.push({
          kind: "tool", call: data.number, name: data.name, arguments: data.arguments ?? {},
          result: null, done: false, at, version: 0,
        });
        break;
      case "tool_result": {
        const tool = this.items.findLast(
          (item) => item.kind === "tool" && !item.done && (item.call ?? item.name) === (data.number ?? data.name),
        );
        if (tool) this.#change(tool, { result: data.result, done: true });
        break;
      }
      case "eager_dropped":
        this.dropped += 1;
        break;
      case "error":
        this.items.push({ kind: "error", stage: data.stage ?? "", message: data.message ?? "", at, version: 0 });
        break;
      case "flow":
        this.#step("Flow", `${data.before ? `${data.before} → ` : ""}${data.node ?? ""}${data.function ? ` (${data.function})` : ""}`, at);
        break;
      case "hand_off":
        this.#step("Hand-off", `To ${data.agent || "the first agent"}`, at);
        break;
      case "transfer":
        this.items.push({ kind: "transfer", to: data.to ?? "", outcome: data.outcome ?? "", detail: data.detail ?? "", at, version: 0 });
        break;
      case "collection":
        this.#step(String(data.name ?? "").replaceAll("_", " "), collectedInWords(data), at);
        break;
      default:
        break; // a newer gateway may send other events
    }
  }

  /** @param {string} speaker @param {string} words @param {number} at */
  #step(speaker, words, at) {
    this.items.push({ kind: "step", speaker, words, at, version: 0 });
  }

  /** @param {"user"|"bot"} role @param {number} at @returns {TurnItem} the turn of this side that is under way */
  #turn(role, at) {
    const open = this.#open[role];
    if (open) return open;
    const turn = /** @type {TurnItem} */ ({
      kind: "turn", role, text: "", partial: true, interrupted: false, backchannel: false, began: null, at, latency: null, version: 0,
    });
    this.items.push(turn);
    this.#open[role] = turn;
    return turn;
  }

  #change(item, values) {
    Object.assign(item, values);
    item.version += 1;
  }
}

/**
 * @param {Object<string, any>} data seconds, as the gateway tells them, and the reason for the end of the turn
 * @param {number|null} [lineMs] what our own line added
 * @returns {Latency}
 */
export function latencyOf(data, lineMs = null) {
  const ms = (seconds) => Math.round((seconds ?? 0) * 1e6) / 1e3;
  const parts = Object.fromEntries(PARTS.map(({ part, field }) => [part, ms(data[field])]));
  const sum = Object.values(parts).reduce((a, b) => a + b, 0);
  const gateway = data.total_s === undefined || data.total_s === null ? sum : ms(data.total_s);
  const turn = typeof data.turn_reason === "string" ? { turn: { wait: ms(data.turn_wait_s), reason: data.turn_reason } } : {};
  const saved = data.eager ? ms(data.eager_saved_s) : null;
  const known = { gateway, ...turn, ...(data.eager_begun ? { ahead: { begun: data.eager_begun, saved } } : {}) };
  if (lineMs === null) return { parts, total: gateway, ...known };
  return { parts: { ...parts, [LINE.part]: lineMs }, total: gateway + lineMs, ...known };
}

/** @param {Latency[]} latencies @returns {{part: string, label: string, says: string}[]} the parts that any of them has */
export function partsOf(latencies) {
  return latencies.some((one) => LINE.part in one.parts) ? [...PARTS, LINE] : PARTS;
}

/** @param {number[]} values @returns {number} 0 of none */
export function median(values) {
  if (!values.length) return 0;
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** @param {Object<string, any>} data @returns {string} how the collection of a value stands */
function collectedInWords(data) {
  if (data.outcome === "begun") return "is asked for";
  if (data.outcome !== "collected") return `not collected: ${data.outcome ?? ""}`;
  const value = data.value?.text ?? data.value ?? "[redacted]"; // an address has its text
  return `${value} (${data.how ?? ""})`;
}
