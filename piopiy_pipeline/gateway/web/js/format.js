/**
 * Formats times, durations and names for people.
 */

/** @typedef {import("./api.js").CallRecord} CallRecord */

const REASONS = {
  caller_hangup: "the caller hung up",
  agent_hangup: "the bot hung up",
  transferred: "transferred",
  idle_timeout: "nobody spoke",
  max_duration: "longest duration reached",
  error: "the bot failed",
  agent_lost: "the agent was lost",
  moved: "went on with another instance of the agent",
  no_agent: "no agent connected",
  busy: "every agent was busy",
  setup_timeout: "the bot was not ready in time",
  no_answer: "nobody picked up",
  callee_busy: "the line was busy",
  unreachable: "could not be reached",
  drained: "ended, because the agent was taken out of service",
  shutdown: "shut down",
  gateway_lost: "the gateway was lost",
};
const PHASES = {
  dialling: "dialling", offering: "ringing", setup: "being answered", live: "in progress", bridged: "transferred, talking",
  ended: "ended",
};
/** The outcomes of a transfer. */
const OUTCOMES = {
  bridged: "they talk to each other", no_answer: "nobody picked up", busy: "the line was busy", declined: "turned down",
  unreachable: "could not be reached", refused: "not possible just now", failed: "came to nothing",
};
/** The end reasons that are failures. */
const FAILURES = new Set(["error", "agent_lost", "no_agent", "busy", "setup_timeout", "unreachable", "gateway_lost"]);

/** @param {string} outcome @returns {string} what became of a transfer in words; one that is new here as it is */
export function outcomeInWords(outcome) {
  return OUTCOMES[outcome] ?? outcome.replaceAll("_", " ");
}

/** @param {string|null} reason @returns {string} a reason in words; one that is new here as it is */
export function reasonInWords(reason) {
  return reason ? (REASONS[reason] ?? reason.replaceAll("_", " ")) : "";
}

/** @param {string} phase */
export function phaseInWords(phase) {
  return PHASES[phase] ?? phase;
}

/** @param {string} phase @returns {boolean} whether somebody talks to somebody, and the time counts */
export function isTalking(phase) {
  return phase === "live" || phase === "bridged";
}

/** @param {string|null} reason */
export function isFailure(reason) {
  return reason !== null && FAILURES.has(reason);
}

/**
 * @param {number} seconds
 * @returns {string} "1:05", "1:00:05"
 */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** @param {number} ms @returns {string} "812 ms", "1,204 ms" */
export function milliseconds(ms) {
  return `${Math.round(ms).toLocaleString("en")} ms`;
}

/**
 * @param {string} iso
 * @param {Date} [now]
 * @returns {string} the time of day; with its day if that is not today
 */
export function when(iso, now = new Date()) {
  const at = new Date(iso);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (at.toDateString() === now.toDateString()) return time;
  return `${at.toLocaleDateString([], { day: "numeric", month: "short" })} ${time}`;
}

/** @param {string|null|undefined} iso @returns {string} day and time to the second */
export function exactly(iso) {
  return iso ? new Date(iso).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" }) : "";
}

/**
 * Seconds from the answer to the end, or to now. The gateway's clock and this page's may differ, so the duration
 * of a call under way is counted on from the gateway's latest value.
 * @param {CallRecord} call
 * @returns {number|null} null if it was never answered
 */
export function durationOf(call) {
  if (call.duration_s === null || call.duration_s === undefined) return null;
  return call.phase === "ended" ? call.duration_s : call.duration_s + (performance.now() - call.heard_at) / 1000;
}

/** @param {string} hash of the page's address @returns {string|null} the id of the call in it; null: there is none */
export function callIn(hash) {
  const found = /^#\/call\/(.+)$/.exec(hash);
  try {
    return found && decodeURIComponent(found[1]);
  } catch {
    return null; // a link that was cut off in the middle of an escape
  }
}

/** @param {CallRecord} call @returns {string} "mira → front_desk" */
export function whoToWhom(call) {
  const nameless = call.kind === "phone" ? "withheld number" : call.kind;
  return `${call.from_number ?? nameless} → ${call.to_number ?? call.agent_id}`;
}

/** @param {any} value @returns {string} JSON on one line, or as it is if it is text */
export function inline(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * Whether a record says of a call that is known to have ended that it goes on: a database may say so of a call that was
 * lost with its gateway, until that is found out there, too.
 * @param {import("./api.js").CallRecord} known @param {import("./api.js").CallRecord} told @returns {boolean}
 */
export function goesBack(known, told) {
  return known.phase === "ended" && told.phase !== "ended";
}
