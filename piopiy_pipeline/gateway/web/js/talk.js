/**
 * The panel from which this page calls the bot: its button, microphone, meters and keypad.
 */

import { ApiError } from "./api.js";
import { BrowserCall } from "./call.js";
import { byId, el, say, setText } from "./dom.js";
import { RESUME_MS, fateOf, pause } from "./fate.js";
import { clock, durationOf, isTalking, reasonInWords } from "./format.js";
import { Loudness, MicrophoneProblem, listMicrophones, openMicrophone } from "./microphone.js";

/** @typedef {import("./api.js").CallRecord} CallRecord */
/** @typedef {"idle"|"microphone"|"connecting"|"ringing"|"live"|"interrupted"|"lost"|"ended"} TalkState */

const STATES = {
  idle: "Ready", microphone: "Waiting for the microphone…", connecting: "Connecting…", ringing: "Ringing…",
  live: "In a call", interrupted: "Connection interrupted, trying again…", ended: "Ended",
  lost: "The gateway is gone. Calling again as soon as it is back…",
};
/** How long to wait before a gateway that came back is asked once more to go on with a conversation. */
const RESUME_PAUSE_MS = 500;
const SILENT_HINT_S = 6;
const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];

export class Talk {
  /** @type {BrowserCall|null} */ #call = null;
  /** @type {CallRecord|null} */ #record = null;
  /** @type {TalkState} */ #state = "idle";
  /** @type {Set<string>} calls that were there before ours */ #others = new Set();
  /** @type {string|null} our last call, of whose end the gateway may tell after the connection is closed */ #before = null;
  /** @type {{you: Loudness|null, bot: Loudness|null}} */ #meters = { you: null, bot: null };
  #connected = false;
  #hungUp = false;
  #linked = true;
  #heardAt = 0;
  /** @type {import("./api.js").ServerInfo|null} */ #info = null;
  #reachable = true;

  /**
   * @param {import("./api.js").Api} api
   * @param {{onbegin: () => void, oncall: (callId: string) => void}} listener `onbegin` before a call
   *   is placed: events must be on their way by then; `oncall` once its id is known
   */
  constructor(api, listener) {
    this.api = api;
    this.listener = listener;
    this.audio = byId("bot-audio");
    this.agent = byId("agent");
    this.microphone = byId("microphone");
    byId("talk").addEventListener("click", () => void this.#begin());
    byId("hangup").addEventListener("click", () => this.#hangup());
    byId("mute").addEventListener("click", () => this.#toggleMute());
    byId("unblock").addEventListener("click", () => void this.#play());
    this.agent.addEventListener("change", () => this.#drawAgents());
    this.microphone.addEventListener("change", () => void this.#changeMicrophone());
    navigator.mediaDevices?.addEventListener("devicechange", () => void this.#drawMicrophones());
    this.#makeKeypad();
    document.addEventListener("keydown", (event) => this.#shortcut(event));
    // A page that is closed or put to sleep ends its call: the gateway sees the connection close.
    addEventListener("pagehide", () => this.#call?.close("the page was left"));
    void this.#drawMicrophones();
    this.#show("idle");
  }

  get peer() {
    return this.#call?.peer ?? null;
  }

  get remoteStream() {
    return this.#call?.remoteStream ?? null;
  }

  /** @returns {string|null} the call of this page that is under way */
  get callId() {
    return this.#call?.callId ?? null;
  }

  /** @param {import("./api.js").ServerInfo|null} info null: the gateway does not answer */
  inform(info) {
    this.#reachable = info !== null;
    if (info) this.#info = info;
    this.#drawAgents();
  }

  /** @param {CallRecord} call a call of which nothing was known before is perhaps ours */
  take(call) {
    if (!this.#call) {
      this.#others.add(call.call_id);
      if (call.call_id === this.#before && call.phase === "ended" && this.#state === "ended") this.#explain(call);
      return;
    }
    if (!this.#call.callId && call.kind === "browser" && call.agent_id === this.#call.agentId && !this.#others.has(call.call_id)) {
      this.#call.callId = call.call_id;
      this.listener.oncall(call.call_id);
    }
    this.#others.add(call.call_id);
    if (call.call_id !== this.#call.callId) return;
    this.#record = call;
    if (call.phase === "ended") this.#call.close();
    else this.#progress();
  }

  /** Update the timer. Called once a second. */
  tick() {
    const seconds = this.#record && this.#call && durationOf(this.#record);
    if (typeof seconds === "number") setText(byId("timer"), clock(seconds));
    this.#hintSilence();
    if (!this.#linked && this.#connected && this.#call && !this.#call.alive) this.#call.lose("the gateway is gone");
  }

  /** @param {boolean} linked whether events come from the gateway */
  link(linked) {
    this.#linked = linked;
  }

  async #begin() {
    if (this.#state !== "idle" && this.#state !== "ended") return;
    this.#hungUp = false;
    await this.#place(null);
  }

  /**
   * Call, and go on with the conversation of a call that was lost if there is a token of it.
   * @param {string|null} resumeToken
   * @returns {Promise<Error|null>} why the conversation does not go on; null: it does, or the page says what is wrong
   */
  async #place(resumeToken) {
    say(byId("talk-problem"), "");
    say(byId("mic-problem"), "");
    this.#record = null;
    this.#connected = false;
    this.#show("microphone");
    this.listener.onbegin();
    let microphone;
    try {
      microphone = await openMicrophone(this.microphone.value);
    } catch (error) {
      if (!(error instanceof MicrophoneProblem)) throw error;
      byId("mic-problem").dataset.cause = error.cause;
      say(byId("mic-problem"), error.message);
      this.#show("idle");
      return null;
    }
    void this.#drawMicrophones(microphone);
    this.#listen("you", microphone);
    const call = new BrowserCall({
      api: this.api, agentId: this.agent.value, microphone, resumeToken, iceServers: this.#info?.ice_servers ?? [],
      onstate: (state, why) => call === this.#call && this.#peerChanged(state, why),
      onspeech: (stream) => {
        this.audio.srcObject = stream;
        this.#listen("bot", stream);
        void this.#play();
      },
    });
    this.#call = call;
    this.#watchMicrophone(microphone);
    this.#drawMute(false);
    try {
      await call.start();
      if (call.callId) this.listener.oncall(call.callId);
    } catch (error) {
      if (call !== this.#call) return null; // the call was hung up meanwhile
      if (resumeToken) {
        this.#leave();
        call.close();
        return error;
      }
      say(byId("talk-problem"), error.message);
      call.close(error.message);
    }
    return null;
  }

  #hangup() {
    this.#hungUp = true;
    if (this.#state === "lost") this.#show("ended", "Ended: you hung up");
    this.#call?.close("you hung up");
  }

  /** End this page's call, if there is one. @param {string} why */
  end(why) {
    this.#call?.close(why);
  }

  /** @param {import("./call.js").PeerState} state @param {string} [why] */
  #peerChanged(state, why) {
    if (state === "connecting") this.#show("connecting");
    else if (state === "connected") {
      this.#connected = true;
      this.#progress();
    } else if (state === "interrupted") this.#show("interrupted");
    else this.#ended(why ?? "");
  }

  /** Show the state of the call, from the peer connection and from the gateway's record. */
  #progress() {
    if (!this.#call || (this.#state === "interrupted" && this.#call.peer.connectionState !== "connected")) return;
    if (this.#record && isTalking(this.#record.phase) && this.#connected) {
      if (this.#state !== "live") this.#heardAt = performance.now();
      this.#show("live");
      this.tick();
    } else this.#show(this.#connected ? "ringing" : "connecting");
  }

  /** Let go of the call, whatever became of it. */
  #leave() {
    this.#before = this.#call?.callId ?? null;
    this.#call = null;
    this.audio.srcObject = null;
    this.#meters.you?.close();
    this.#meters.bot?.close();
    this.#meters = { you: null, bot: null };
  }

  /** @param {string} why */
  #ended(why) {
    const call = this.#call;
    this.#leave();
    this.#show("ended", why ? `Ended: ${why}` : "Ended");
    if (this.#record?.phase === "ended") this.#explain(this.#record);
    else if (call?.lost && call.callId && this.#connected && !this.#hungUp) void this.#resume(call, why);
  }

  /**
   * Call again if the gateway was lost with the call, and go on with the conversation if it was kept.
   * @param {BrowserCall} lost @param {string} why
   */
  async #resume(lost, why) {
    const wanted = () => !this.#hungUp && this.#call === null && (this.#state === "ended" || this.#state === "lost");
    const ongone = () => this.#show("lost");
    const fate = await fateOf(this.api, lost.callId, { wanted, ongone });
    const until = performance.now() + RESUME_MS;
    while (fate === "gateway_lost" && wanted() && performance.now() < until) {
      const error = await this.#place(lost.resumeToken);
      if (!error || this.#hungUp) return;
      if (!(error instanceof ApiError)) throw error;
      this.#show("lost");
      if (error.status === 410) {
        await this.#place(null); // what was said is gone: the bot begins anew
        return;
      }
      await pause(RESUME_PAUSE_MS); // its agents are not there yet
    }
    if (this.#state === "lost") this.#show("ended", `Ended: ${why}`);
  }

  /** @param {CallRecord} record of our call, that has ended */
  #explain(record) {
    if (this.#hungUp) return;
    // The gateway counts a caller whose connection was lost as one who hung up, but the user did not.
    const lost = record.reason === "caller_hangup";
    setText(byId("state"), `Ended: ${lost ? "the connection was lost" : reasonInWords(record.reason)}`);
    if (record.detail && record.detail !== reasonInWords(record.reason)) say(byId("talk-problem"), record.detail);
  }

  /** @param {TalkState} state @param {string} [text] */
  #show(state, text) {
    this.#state = state;
    const busy = state !== "idle" && state !== "ended";
    const focused = document.activeElement;
    byId("state").dataset.state = state;
    setText(byId("state"), text ?? STATES[state]);
    byId("talk").hidden = busy && state !== "microphone";
    byId("hangup").hidden = !busy || state === "microphone";
    byId("meters").hidden = !this.#call;
    byId("in-call").hidden = state !== "live" && state !== "interrupted";
    if (byId("in-call").hidden) this.#openKeypad(false);
    byId("timer").hidden = state !== "live" && state !== "interrupted";
    if (!busy) for (const id of ["hint", "unblock"]) byId(id).hidden = true;
    this.agent.disabled = busy;
    if (focused === byId("talk") && !byId("hangup").hidden) byId("hangup").focus();
    if (focused === byId("hangup") && byId("hangup").hidden) byId("talk").focus();
    this.#drawAgents();
  }

  // ------------------------------------------------------------------ playback

  async #play() {
    try {
      await this.audio.play();
      byId("unblock").hidden = true;
    } catch (error) {
      if (error.name === "NotAllowedError") byId("unblock").hidden = false;
      else if (error.name !== "AbortError") say(byId("talk-problem"), `The bot cannot be heard: ${error.message}`);
    }
  }

  /** @param {"you"|"bot"} who @param {MediaStream} stream */
  #listen(who, stream) {
    const running = this.#meters.you ?? this.#meters.bot;
    this.#meters[who]?.close();
    this.#meters[who] = new Loudness(stream);
    if (!running) requestAnimationFrame(() => this.#drawMeters());
  }

  #drawMeters() {
    const { you, bot } = this.#meters;
    if (!you && !bot) return;
    for (const [meter, id] of /** @type {const} */ ([[you, "level"], [bot, "bot-level"]])) {
      const level = meter?.read() ?? 0;
      if (meter === you && level > 0.02) this.#heardAt = performance.now();
      byId(id).style.setProperty("--level", level.toFixed(3));
      byId(id).setAttribute("aria-valuenow", String(Math.round(level * 100)));
    }
    requestAnimationFrame(() => this.#drawMeters());
  }

  #hintSilence() {
    const muted = byId("mute").getAttribute("aria-pressed") === "true";
    const silent = this.#state === "live" && !muted && performance.now() - this.#heardAt > SILENT_HINT_S * 1000;
    say(byId("hint"), silent ? "Nothing comes from this microphone. Is it switched off, or is it another one?" : "");
  }

  // ------------------------------------------------------------------ microphone

  /** @param {MediaStream} [current] the one that is open */
  async #drawMicrophones(current) {
    const microphones = await listMicrophones();
    const chosen = current?.getAudioTracks()[0]?.getSettings().deviceId ?? this.microphone.value;
    this.microphone.replaceChildren(...microphones.map(({ id, name }) => el("option", { value: id, selected: id === chosen }, name)));
    byId("microphone-choice").hidden = microphones.length < 1;
  }

  async #changeMicrophone() {
    const call = this.#call;
    if (!call) return;
    try {
      const microphone = await openMicrophone(this.microphone.value);
      if (call !== this.#call) microphone.getTracks().forEach((track) => track.stop());
      else {
        await call.useMicrophone(microphone);
        this.#listen("you", microphone);
        this.#watchMicrophone(microphone);
        say(byId("mic-problem"), "");
      }
    } catch (error) {
      if (!(error instanceof MicrophoneProblem)) throw error;
      say(byId("mic-problem"), error.message);
    }
  }

  /** @param {MediaStream} microphone */
  #watchMicrophone(microphone) {
    microphone.getAudioTracks()[0].addEventListener("ended", () => {
      say(byId("mic-problem"), "The microphone is gone. Connect it again, or choose another one: the call goes on.");
    });
  }

  #toggleMute() {
    this.#drawMute(byId("mute").getAttribute("aria-pressed") !== "true");
  }

  /** @param {boolean} muted */
  #drawMute(muted) {
    this.#call?.mute(muted);
    this.#heardAt = performance.now();
    byId("mute").setAttribute("aria-pressed", String(muted));
    setText(byId("mute").firstChild, muted ? "Muted " : "Mute ");
    byId("level").classList.toggle("muted", muted);
  }

  // ------------------------------------------------------------------ agents

  #drawAgents() {
    const agents = this.#info?.agents ?? [];
    const connected = agents.filter((agent) => agent.instances + agent.elsewhere > 0);
    const chosen = this.agent.value;
    const shown = connected.map((agent) => agent.agent_id);
    if ([...this.agent.options].map((option) => option.value).join("\n") !== shown.join("\n")) {
      this.agent.replaceChildren(...shown.map((id) => el("option", { value: id, selected: id === chosen }, id)));
    }
    byId("agent-choice").hidden = connected.length < 2;
    const free = this.#state === "idle" || this.#state === "ended";
    const called = connected.find((agent) => agent.agent_id === this.agent.value);
    const silent = called !== undefined && !called.elsewhere && called.silent >= called.instances;
    byId("talk").disabled = !free || !called || silent || !this.#reachable;
    const place = byId("no-agent");
    place.hidden = !free || !this.#reachable || this.#info === null || (called !== undefined && !silent);
    const shows = place.hidden ? "" : silent ? `${called.agent_id} ${called.instances}` : "no agent";
    if (place.dataset.shows === shows) return;
    place.dataset.shows = shows;
    place.replaceChildren(...(silent ? whoIsSilent(called) : howToConnect(agents[0]?.agent_id)));
  }

  // ------------------------------------------------------------------ keys

  #makeKeypad() {
    const keypad = byId("keypad");
    for (const key of KEYS) keypad.append(el("button", { type: "button", "data-key": key, onclick: () => this.#press(key) }, key));
    byId("keypad-toggle").addEventListener("click", () => this.#openKeypad(keypad.hidden));
  }

  /** @param {boolean} open */
  #openKeypad(open) {
    byId("keypad").hidden = !open;
    byId("keypad-toggle").setAttribute("aria-expanded", String(open));
    if (!open) byId("keypad-sent").value = "";
  }

  /** @param {string} key */
  #press(key) {
    if (this.#call?.press(key)) byId("keypad-sent").value = (byId("keypad-sent").value + key).slice(-24);
  }

  /** @param {KeyboardEvent} event */
  #shortcut(event) {
    const typing = event.target instanceof HTMLElement && event.target.closest("input, select, textarea, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.key.toLowerCase() === "m" && !byId("in-call").hidden) this.#toggleMute();
    else if (!byId("keypad").hidden && KEYS.includes(event.key)) this.#press(event.key);
  }
}

/** @param {import("./api.js").AgentSummary} agent one of which nothing is heard @returns {HTMLElement[]} */
function whoIsSilent(agent) {
  const who = agent.instances === 1 ? "is silent" : `is silent, in all its ${agent.instances} instances`;
  return [
    el("p", {}, el("b", {}, `Agent ${agent.agent_id} ${who}.`)),
    el("p", {}, "It is connected and nothing is heard of it: it hangs, is cut off, or its code blocks. Its log says which."),
    el("p", { class: "muted" }, "The page notices by itself when it is heard again."),
  ];
}

/** @param {string|undefined} agentId one that may connect @returns {HTMLElement[]} */
function howToConnect(agentId) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const command = `AGENT_TOKEN=… piopiy start BOT.py --url ${scheme}://${location.host} --agent-id ${agentId ?? "ID"}`;
  return [
    el("p", {}, el("b", {}, "No agent is connected.")),
    el("p", {}, "On your own machine, this runs a gateway and a bot together:"),
    el("code", { class: "command" }, "piopiy dev BOT.py"),
    el("p", {}, "This connects a bot to this gateway:"),
    el("code", { class: "command" }, command),
    el("p", { class: "muted" }, "The page notices by itself when one is there."),
  ];
}
