/**
 * The client of the WebSocket /api/events. A connection that breaks is opened again, without end and with growing
 * pauses. The listener fetches what it missed when `onhello` is called.
 */

import { received } from "./api.js";

const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 8_000;
const HELLO_MS = 8_000;
const POLICY = 1008;

/** @typedef {"connecting"|"open"|"reconnecting"} LinkState */

export class Events {
  /** @type {WebSocket|null} */ #socket = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #timer;
  #pause = FIRST_PAUSE_MS;
  #wanted = false;
  /** @type {string[]} */ #calls = [];
  /** @type {WebSocket[]} connections that were replaced, the oldest first: each goes on until a later one is greeted */
  #replaced = [];

  /**
   * @param {{key: () => string|null, base: () => string, oncall: (call: import("./api.js").CallRecord) => void,
   *   onevent: (callId: string, event: import("./api.js").CallEvent) => void, onhello: () => void,
   *   onrefused: () => void, onstate: (state: LinkState) => void}} listener
   */
  constructor(listener) {
    this.listener = listener;
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
  }

  /** Do not wait for the next attempt. */
  hurry() {
    if (this.#wanted && !this.#socket) this.#open();
  }

  start() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.listener.onstate("connecting");
    this.#open();
  }

  stop() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#closeReplaced();
  }

  /**
   * Get the events of these conversations, and of no others. The gateway takes the choice at the
   * beginning of a connection, so a new connection replaces the old one.
   * @param {string[]} callIds
   */
  watch(callIds) {
    const calls = [...new Set(callIds)].sort();
    if (calls.join() === this.#calls.join()) return;
    this.#calls = calls;
    if (this.#socket) this.#open();
  }

  #open() {
    clearTimeout(this.#timer);
    if (this.#socket) this.#replaced.push(this.#socket);
    const address = new URL("api/events", this.listener.base());
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    this.#socket = socket;
    let greeted = false;
    const patience = setTimeout(() => greeted || socket.close(), HELLO_MS);
    socket.onopen = () =>
      socket.send(JSON.stringify({ type: "watch", key: this.listener.key(), calls: this.#calls }));
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === "hello") {
        greeted = true;
        this.#closeReplaced(socket);
        if (this.#socket !== socket) return;
        this.#pause = FIRST_PAUSE_MS;
        this.listener.onstate("open");
        this.listener.onhello();
      } else if (message.type === "call") {
        this.listener.oncall(received(message.call));
      } else if (message.type === "event") {
        this.listener.onevent(message.call_id, message);
      }
    };
    socket.onclose = ({ code }) => {
      clearTimeout(patience);
      if (this.#socket !== socket) {
        // another connection replaced it, or it was closed
        this.#replaced = this.#replaced.filter((one) => one !== socket);
        return;
      }
      this.#closeReplaced();
      this.#socket = null;
      if (code === POLICY && !greeted) this.listener.onrefused();
      this.listener.onstate("reconnecting");
      this.#timer = setTimeout(() => this.#open(), this.#pause * (0.75 + Math.random() / 2));
      this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
    };
  }

  /** @param {WebSocket} [socket] close those before it; without it, or if it is none of them, all of them */
  #closeReplaced(socket) {
    const found = socket ? this.#replaced.indexOf(socket) : -1;
    for (const one of this.#replaced.splice(0, found < 0 ? this.#replaced.length : found)) one.close();
  }
}
