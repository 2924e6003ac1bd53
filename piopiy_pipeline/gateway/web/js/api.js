/**
 * The client of the gateway's HTTP API, which keeps the API key. Addresses are relative to the page, so that
 * the console also works below a path of a reverse proxy.
 */

const KEY = "piopiy-api-key";
const PATIENCE_MS = 15_000;
/** How long an answer is waited for where another gateway could give it. */
const SHORT_PATIENCE_MS = 4_000;
/** How long another gateway may take to say that it is there. */
const PROBE_MS = 2_000;
/** How long a token is good. A connection that is lost during a call is set up again with the same token. */
const TOKEN_S = 3600;

/**
 * A call as /api/calls returns it. `heard_at` is the time of this page's clock (performance.now) when it came.
 * @typedef {{call_id: string, agent_id: string, instance_id: string|null, kind: string,
 *   from_number: string|null, to_number: string|null, metadata: Object<string, any>|null,
 *   phase: "dialling"|"offering"|"setup"|"live"|"bridged"|"ended", placed_at: string, answered_at: string|null,
 *   ended_at: string|null, duration_s: number|null, reason: string|null, detail: string,
 *   recorded: boolean, quality: Object<string, number>, heard_at: number}} CallRecord
 */
/** @typedef {{number: number, at: number, event: string, data: Object<string, any>}} CallEvent */
/** @typedef {{agent_id: string, instances: number, elsewhere: number, silent: number, overloaded: number,
 *   active: number, capacity: number, busy: number|null, lag_p95_ms: number|null}} AgentSummary */
/**
 * @typedef {{version: string, console: "key"|"open", authorized: boolean, agents: AgentSummary[],
 *   ice_servers: RTCIceServer[], pages: string[], problems: string[]}} ServerInfo
 */

/**
 * @typedef {{gateway: string, here: boolean, state: "serving"|"draining"|"lost", heard_s: number, url: string,
 *   version: string, started_at: number|null, calls: number, max_calls: number|null, busy: number|null, dials: boolean,
 *   problems: string[]}} GatewayInfo
 */
/**
 * @typedef {{agent_id: string, gateway: string, instances: number, active: number, capacity: number, draining: number,
 *   held_back: number, silent: number, overloaded: number, busy: number|null, versions: string[]}} AgentHome
 */
/**
 * @typedef {{gateway: string, clustered: boolean, problem: string, gateways: GatewayInfo[], agents: AgentHome[],
 *   configured: string[]}} ClusterInfo
 */
/**
 * A call under way at any gateway, with times in Unix time in seconds.
 * @typedef {{gateway: string, call_id: string, agent_id: string, instance_id: string|null, kind: string, phase: string,
 *   from_number: string|null, to_number: string|null, placed_at: number, answered_at: number|null, held: boolean,
 *   muted: boolean}} CallElsewhere
 */
/** @typedef {{calls: CallElsewhere[], total: number, whole: boolean}} ClusterCallList */

/** The gateway refused a request, or could not be reached (`status` is 0). */
export class ApiError extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** @param {any} call @returns {CallRecord} */
export function received(call) {
  return { ...call, heard_at: performance.now() };
}

export class Api {
  constructor() {
    /** @type {string|null} */
    this.key = null;
    /** @type {string[]} where the gateways are, with a slash behind each; the page's own is the first */
    this.bases = [new URL(".", document.baseURI).href];
    /** the one that is asked now */
    this.base = this.bases[0];
    /** @type {Promise<boolean>|null} */
    this.moving = null;
    /** @type {() => void} called when another gateway is asked from now on */
    this.onmoved = () => {};
    /** @type {() => void} called when the gateway does not accept the key any more */
    this.onrefused = () => {};
    try {
      this.key = sessionStorage.getItem(KEY);
    } catch {
      // Without storage the page asks for the key again after a reload.
    }
  }

  /** @param {string|null} key */
  remember(key) {
    this.key = key;
    try {
      if (key) sessionStorage.setItem(KEY, key);
      else sessionStorage.removeItem(KEY);
    } catch {
      // Without storage the key is kept as long as the page is open.
    }
  }

  /** @returns {Promise<ServerInfo>} */
  async info() {
    const info = await this.#json("GET", "api/info");
    const others = info.pages.map((page) => `${page}/`).filter((page) => page !== this.bases[0]);
    if (others.length) this.bases = [this.bases[0], ...others];
    return info;
  }

  /**
   * Ask another gateway from now on, if the one that was asked is gone and another one answers.
   * @returns {Promise<boolean>} whether there is one
   */
  moveOn() {
    this.moving ??= this.#findAnother().finally(() => (this.moving = null));
    return this.moving;
  }

  async #findAnother() {
    const others = this.bases.filter((base) => base !== this.base);
    if (!others.length) return false;
    const probe = async (/** @type {string} */ base, path = "readyz") => {
      const answer = await fetch(base + path, { cache: "no-store", signal: AbortSignal.timeout(PROBE_MS) });
      if (!answer.ok) throw new Error(`${base} answers ${answer.status}`);
      return base;
    };
    if (await probe(this.base, "healthz").catch(() => null)) return false; // it is slow, and not gone
    this.base = await Promise.any(others.map((base) => probe(base))).catch(() => this.base);
    const moved = others.includes(this.base);
    if (moved) this.onmoved();
    return moved;
  }

  /**
   * A page of calls, the latest first.
   * @param {{kind?: string, phase?: string, before?: string|null, limit?: number}} what
   * @returns {Promise<{calls: CallRecord[], next: string|null}>}
   */
  async calls({ kind, phase, before, limit = 30 }) {
    const query = new URLSearchParams({ limit: String(limit) });
    if (kind) query.set("kind", kind);
    if (phase) query.set("phase", phase);
    if (before) query.set("before", before);
    const page = await this.#json("GET", `api/calls?${query}`);
    return { calls: page.calls.map(received), next: page.next };
  }

  /**
   * @param {string} callId
   * @returns {Promise<{call: CallRecord, events: CallEvent[]}>}
   */
  async call(callId) {
    const detail = await this.#json("GET", `api/calls/${encodeURIComponent(callId)}`);
    return { call: received(detail.call), events: detail.events };
  }

  /** @param {string} callId @returns {Promise<CallRecord>} */
  async hangup(callId) {
    return received(await this.#json("POST", `api/calls/${encodeURIComponent(callId)}/hangup`));
  }

  /** @returns {Promise<ClusterInfo>} all gateways and agents */
  cluster() {
    return this.#json("GET", "api/cluster");
  }

  /** @param {number} limit @returns {Promise<ClusterCallList>} the calls under way at all gateways */
  clusterCalls(limit) {
    return this.#json("GET", `api/cluster/calls?limit=${limit}`);
  }

  /** @returns {Promise<import("./charts.js").Trends>} the last day of all gateways */
  trends() {
    return this.#json("GET", "api/cluster/trends");
  }

  /** @param {string} agentId @param {string} gateway where the instances are at home @param {boolean} on */
  async drain(agentId, gateway, on) {
    await this.#post(`api/agents/${encodeURIComponent(agentId)}/drain?gateway=${encodeURIComponent(gateway)}`, { on });
  }

  /** @param {string} gateway @param {boolean} on whether it takes no new calls */
  async drainGateway(gateway, on) {
    await this.#post(`api/drain?gateway=${encodeURIComponent(gateway)}`, { on });
  }

  /**
   * Do something with a call, wherever it is.
   * @param {string} callId @param {"hold"|"mute"|"transfer"|"hangup"} what @param {Object<string, any>} body
   */
  async order(callId, what, body) {
    await this.#post(`api/calls/${encodeURIComponent(callId)}/${what}`, body);
  }

  /** @param {{agent_id: string, to: string}} order @param {string|null} gateway null: this one */
  async dial(order, gateway) {
    await this.#post(gateway ? `api/calls?gateway=${encodeURIComponent(gateway)}` : "api/calls", order);
  }

  async #post(path, body) {
    await this.#fetch("POST", path, { body, patience: true });
  }

  /** @param {string} callId @returns {string} */
  recordingUrl(callId) {
    return `${this.base}api/calls/${encodeURIComponent(callId)}/recording`;
  }

  /**
   * The recording as a stream of bytes.
   * @param {string} callId @param {AbortSignal} signal
   * @returns {Promise<Response>}
   */
  async recording(callId, signal) {
    return this.#fetch("GET", `api/calls/${encodeURIComponent(callId)}/recording`, { signal });
  }

  /**
   * A token with which this page may call the agent.
   * @param {string} agentId
   * @returns {Promise<string>}
   */
  async token(agentId) {
    return (await this.#json("POST", "api/tokens", { body: { agent_id: agentId, ttl_s: TOKEN_S } })).token;
  }

  /**
   * @param {string} token
   * @param {Object<string, any>} offer
   * @returns {Promise<{sdp: string, type: RTCSdpType, pc_id: string, call_id?: string, resume_token?: string}>}
   */
  offer(token, offer) {
    return this.#json("POST", "api/offer", { body: offer, bearer: token });
  }

  /** @param {string} token @param {string} peerId @param {Object<string, any>[]} candidates */
  async candidates(token, peerId, candidates) {
    await this.#fetch("PATCH", "api/offer", { body: { pc_id: peerId, candidates }, bearer: token });
  }

  async #json(method, path, options = {}) {
    const response = await this.#fetch(method, path, { patience: true, ...options });
    return response.json();
  }

  /** @returns {Promise<Response>} */
  async #fetch(method, path, { body, bearer, signal, patience = false } = {}) {
    const headers = {};
    const secret = bearer ?? this.key;
    if (secret) headers.Authorization = `Bearer ${secret}`;
    if (body) headers["Content-Type"] = "application/json";
    // What is only asked for may be asked for elsewhere; whether an order was carried out is not known.
    const elsewhere = method === "GET" && this.bases.length > 1;
    const send = () => fetch(this.base + path, {
      method, headers, cache: "no-store", body: body ? JSON.stringify(body) : undefined,
      signal: signal ?? (patience ? AbortSignal.timeout(elsewhere ? SHORT_PATIENCE_MS : PATIENCE_MS) : undefined),
    });
    const asked = this.base;
    let response;
    try {
      response = await send().catch(async (error) => {
        if (signal?.aborted) throw error;
        const moved = this.base !== asked || (await this.moveOn());
        if (!moved || !elsewhere) throw error;
        return send();
      });
    } catch (error) {
      if (signal?.aborted && error.name === "AbortError") throw error;
      throw new ApiError(0, "The gateway does not answer. Is it running?");
    }
    if (response.ok) return response;
    const problem = await response.json().catch(() => null);
    if (response.status === 401 && !bearer) this.onrefused();
    const said = problem?.error ?? problem?.detail;
    throw new ApiError(response.status, typeof said === "string" ? said : `The gateway answered ${response.status}.`);
  }
}
