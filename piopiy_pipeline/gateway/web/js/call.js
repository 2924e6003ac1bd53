/**
 * One call of this page: its peer connection, from the offer to the end. It uses the protocol of Pipecat's
 * clients with a small-WebRTC server: an offer by POST, each new candidate by PATCH, and a data channel.
 */

import { ApiError } from "./api.js";

const PING_MS = 1_000;
/** How long to wait for the network to come back by itself before ICE is restarted. */
const RESTART_AFTER_MS = 1_500;
/** How long after the loss of the connection the call is given up. */
const GIVE_UP_MS = 15_000;
/** Without an answer to its pings for this long, nothing of the call's gateway lives. */
const SILENT_MS = 2_500;

/** @typedef {"connecting"|"connected"|"interrupted"|"closed"} PeerState */

export class BrowserCall {
  /** @type {string|null} */ #peerId = null;
  /** @type {RTCIceCandidate[]} */ #found = [];
  #token = "";
  #closed = false;
  #heardAt = 0;
  /** Whether an offer waits for its answer. Candidates are sent after the answer. */
  #offering = false;
  #sending = Promise.resolve();
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #restart;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #giveUp;
  /** @type {ReturnType<typeof setInterval>|undefined} */ #ping;

  /**
   * @param {{api: import("./api.js").Api, agentId: string, microphone: MediaStream, resumeToken: string|null,
   *   iceServers: RTCIceServer[], onstate: (state: PeerState, why?: string) => void,
   *   onspeech: (stream: MediaStream) => void}} options
   */
  constructor({ api, agentId, microphone, resumeToken, iceServers, onstate, onspeech }) {
    this.api = api;
    this.agentId = agentId;
    this.onstate = onstate;
    /** @type {string|null} the call's id, once the gateway has told it */
    this.callId = null;
    /** @type {string|null} before the answer that of a call that was lost, then the one of this call */
    this.resumeToken = resumeToken;
    /** Whether the call is over because nothing was heard from the gateway any more. */
    this.lost = false;
    this.remoteStream = new MediaStream();
    this.peer = new RTCPeerConnection({ iceServers });
    this.channel = this.peer.createDataChannel("chat", { ordered: true });
    const [track] = microphone.getAudioTracks();
    this.sender = this.peer.addTransceiver(track, { direction: "sendrecv", streams: [microphone] }).sender;

    this.peer.onicecandidate = ({ candidate }) => candidate && this.#tell(candidate);
    this.peer.onconnectionstatechange = () => this.#changed();
    this.peer.ontrack = ({ track: speech }) => {
      this.remoteStream.addTrack(speech);
      onspeech(this.remoteStream);
    };
    this.channel.onopen = () => {
      this.#ping = setInterval(() => this.#say(`ping: ${Date.now()}`), PING_MS);
    };
    this.channel.onclose = () => this.lose("the gateway ended the connection");
    this.channel.onmessage = ({ data }) => this.#heard(data);
  }

  /**
   * Begin the call. Returns when the gateway has answered the offer, before the connection is made.
   * @throws {ApiError}
   */
  async start() {
    this.onstate("connecting");
    this.#token = await this.api.token(this.agentId);
    await this.#offer(this.resumeToken ? { resume_token: this.resumeToken } : {});
  }

  /** Whether something was heard from the gateway in the last seconds. */
  get alive() {
    return performance.now() - this.#heardAt < SILENT_MS;
  }

  /**
   * End the call, because nothing is heard from the gateway any more.
   * @param {string} why
   */
  lose(why) {
    this.lost ||= !this.#closed;
    this.close(why);
  }

  /** @param {boolean} muted */
  mute(muted) {
    if (this.sender.track) this.sender.track.enabled = !muted;
  }

  /** @param {MediaStream} microphone */
  async useMicrophone(microphone) {
    const [track] = microphone.getAudioTracks();
    const before = this.sender.track;
    track.enabled = before?.enabled ?? true;
    await this.sender.replaceTrack(track);
    before?.stop();
    if (this.#closed) track.stop(); // the call ended while the microphone was changed
  }

  /** @param {string} digits @returns {boolean} whether they went out */
  press(digits) {
    return this.#say(JSON.stringify({ type: "dtmf", digits }));
  }

  /**
   * End the call. The gateway sees that the connection is closed. May be called more than once.
   * @param {string} [why]
   */
  close(why = "") {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#restart);
    clearTimeout(this.#giveUp);
    clearInterval(this.#ping);
    this.channel.onclose = null;
    this.sender.track?.stop();
    this.peer.close();
    this.onstate("closed", why);
  }

  /**
   * @param {{pc_id?: string, resume_token?: string}} more `pc_id` for new candidates of the same connection (an ICE
   *   restart): with `resume_token` too, a gateway that does not know the connection answers 410
   */
  async #offer(more) {
    await this.peer.setLocalDescription(await this.peer.createOffer({ iceRestart: Boolean(more.pc_id) }));
    if (this.#closed) return;
    const { sdp, type } = this.peer.localDescription;
    this.#offering = true;
    let answer;
    try {
      answer = await this.api.offer(this.#token, { sdp, type, ...more });
    } finally {
      this.#offering = false;
    }
    if (this.#closed) return;
    this.#peerId = answer.pc_id;
    this.callId ??= answer.call_id ?? null;
    this.resumeToken = answer.resume_token ?? this.resumeToken;
    await this.peer.setRemoteDescription({ sdp: answer.sdp, type: answer.type });
    this.#flush();
  }

  /** @param {RTCIceCandidate} candidate */
  #tell(candidate) {
    this.#found.push(candidate);
    this.#flush();
  }

  /** Send the candidates found so far in one request. Those found meanwhile go with the next request. */
  #flush() {
    if (!this.#peerId || this.#offering) return; // they are sent when the answer has come
    this.#sending = this.#sending.then(async () => {
      const found = this.#found.splice(0);
      if (!found.length || this.#closed) return;
      const candidates = found.map((one) => ({
        candidate: one.candidate, sdp_mid: one.sdpMid, sdp_mline_index: one.sdpMLineIndex,
      }));
      try {
        await this.api.candidates(this.#token, this.#peerId, candidates);
      } catch (error) {
        // The offer has the first candidates already: the connection may succeed without these.
        if (!(error instanceof ApiError)) throw error;
        console.warn("candidates were not taken:", error.message);
      }
    });
  }

  #changed() {
    if (this.#closed) return;
    switch (this.peer.connectionState) {
      case "connected":
        clearTimeout(this.#restart);
        clearTimeout(this.#giveUp);
        this.#giveUp = undefined;
        this.#heardAt = performance.now(); // its pings are still to be answered
        this.onstate("connected");
        break;
      case "disconnected":
        this.#interrupted(RESTART_AFTER_MS);
        break;
      case "failed":
        this.#interrupted(0);
        break;
      case "closed":
        this.lose("the connection was closed");
        break;
      default:
        break; // start() has already reported "new" and "connecting"
    }
  }

  /** @param {number} restartAfterMs */
  #interrupted(restartAfterMs) {
    this.onstate("interrupted");
    this.#giveUp ??= setTimeout(() => this.lose("the connection was lost"), GIVE_UP_MS);
    clearTimeout(this.#restart);
    this.#restart = setTimeout(() => this.#again(), restartAfterMs);
  }

  async #again() {
    if (this.#closed || !this.#peerId || this.peer.connectionState === "connected") return;
    if (this.#offering) {
      this.#restart = setTimeout(() => this.#again(), RESTART_AFTER_MS); // the offer before is not answered yet
      return;
    }
    try {
      await this.#offer({ pc_id: this.#peerId, ...(this.resumeToken && { resume_token: this.resumeToken }) });
    } catch (error) {
      if (this.#closed) return;
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 0 || error.status >= 500) this.#restart = setTimeout(() => this.#again(), RESTART_AFTER_MS);
      else this.lose(error.message);
    }
  }

  /** @param {any} data */
  #heard(data) {
    this.#heardAt = performance.now();
    if (typeof data !== "string") return;
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return; // the answer to a ping, or a message for another client
    }
    if (message?.type === "signalling" && message.message?.type === "peerLeft") this.lose(""); // so says also what is left of a gateway
  }

  /** @param {string} text @returns {boolean} */
  #say(text) {
    if (this.channel.readyState !== "open") return false;
    this.channel.send(text);
    return true;
  }
}
