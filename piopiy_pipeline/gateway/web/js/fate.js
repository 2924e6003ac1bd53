/**
 * What became of a call whose connection was lost: whether its gateway lives and tells how the call ended, or was lost
 * with it and has come back.
 */

import { ApiError } from "./api.js";

const PAUSE_MS = 500;
/** How long a gateway is waited for. */
export const RESUME_MS = 120_000;

/** @param {number} ms */
export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Wait until it is known.
 * @param {import("./api.js").Api} api
 * @param {string} callId
 * @param {{wanted: () => boolean, ongone: () => void}} listener `wanted` whether to go on; `ongone` when the gateway
 *   does not answer, each time
 * @returns {Promise<"ended"|"gateway_lost">}
 */
export async function fateOf(api, callId, { wanted, ongone }) {
  const until = performance.now() + RESUME_MS;
  let gone = false;
  while (wanted() && performance.now() < until) {
    try {
      const { call } = await api.call(callId);
      const lost = call.reason === "gateway_lost" || (gone && call.phase !== "ended");
      return lost ? "gateway_lost" : "ended";
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 404) return "gateway_lost"; // it has no record of it: it began anew, or is another one
      if (error.status !== 0 && error.status < 500) return gone ? "gateway_lost" : "ended";
    }
    gone = true;
    ongone();
    await pause(PAUSE_MS);
  }
  return "ended";
}
