/**
 * Measures what the network and the browser add to the latency of this page's own call. The gateway measures an
 * answer from the arrival of the caller's last words until its first audio leaves. This caller also waits for the
 * way to the gateway and back, and for the browser's jitter buffer.
 */

/** For how long the beginning of an answer is measured, because the jitter buffer changes later. */
const ANSWER_MS = 1_000;
const KEPT = 500;

/** @typedef {{roundTripMs: number|null, delayMs: number, samples: number}} Sounding delay summed over all samples so far */

/**
 * @param {Iterable<any>} stats of an RTCPeerConnection
 * @returns {Sounding}
 */
export function sounding(stats) {
  const all = [...stats];
  const byId = new Map(all.map((one) => [one.id, one]));
  const transport = all.find((one) => one.type === "transport" && one.selectedCandidatePairId);
  const pair =
    byId.get(transport?.selectedCandidatePairId) ??
    all.find((one) => one.type === "candidate-pair" && (one.selected || (one.nominated && one.state === "succeeded")));
  const speech = all.find((one) => one.type === "inbound-rtp" && one.kind === "audio");
  return {
    roundTripMs: pair?.currentRoundTripTime === undefined ? null : 1000 * pair.currentRoundTripTime,
    delayMs: 1000 * (speech?.jitterBufferDelay ?? 0),
    samples: speech?.jitterBufferEmittedCount ?? 0,
  };
}

/**
 * What the network and the browser added to an answer.
 * @param {Sounding} before when the answer began
 * @param {Sounding} after a moment later; samples that came between tell of this answer, else all of the call
 * @returns {number|null} ms; null where the browser does not tell
 */
export function lineMs(before, after) {
  const roundTrip = after.roundTripMs ?? before.roundTripMs;
  if (roundTrip === null || after.samples <= 0) return null;
  const samples = after.samples - before.samples;
  const buffered = samples > 0 ? (after.delayMs - before.delayMs) / samples : after.delayMs / after.samples;
  return Math.round(1000 * (roundTrip + Math.max(0, buffered))) / 1000;
}

export class LineMeter {
  /** @type {Map<string, number|null>} by call and number of event; null while it is being measured */
  #measured = new Map();

  /** @param {(callId: string, number: number) => void} onmeasured */
  constructor(onmeasured) {
    this.onmeasured = onmeasured;
  }

  /** @param {string} callId @param {number} number of a latency's event @returns {number|null} ms, if it was measured */
  of(callId, number) {
    return this.#measured.get(`${callId} ${number}`) ?? null;
  }

  /**
   * An answer has just begun.
   * @param {RTCPeerConnection} peer @param {string} callId @param {number} number
   */
  async measure(peer, callId, number) {
    const key = `${callId} ${number}`;
    if (this.#measured.has(key)) return; // the event came twice
    this.#measured.set(key, null);
    if (this.#measured.size > KEPT) this.#measured.delete(this.#measured.keys().next().value);
    const before = sounding((await peer.getStats()).values());
    await new Promise((resolve) => setTimeout(resolve, ANSWER_MS));
    if (peer.connectionState === "closed") return; // the answer was too short to measure
    const ms = lineMs(before, sounding((await peer.getStats()).values()));
    if (ms === null) return;
    this.#measured.set(key, ms);
    this.onmeasured(callId, number);
  }
}
