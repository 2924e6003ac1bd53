/**
 * The console as a whole: it asks for the API key if one is needed, connects the parts, and follows the address,
 * which has the id of the selected call (#/call/ID).
 */

import { Api, ApiError } from "./api.js";
import { CallList } from "./calls.js";
import { CallView } from "./callview.js";
import { confirmed } from "./dialogs.js";
import { byId, el, say, setText } from "./dom.js";
import { Events } from "./events.js";
import { Fleet } from "./fleet.js";
import { callIn, whoToWhom } from "./format.js";
import { LineMeter } from "./line.js";
import { Talk } from "./talk.js";

const INFO_MS = 4_000;
const LINK = { connecting: "connecting", open: "live", reconnecting: "reconnecting…" };

const api = new Api();
/** @type {Map<string, import("./api.js").CallRecord>} calls of which the gateway told since the page is open */
const told = new Map();
const fleet = new Fleet(api);
const list = new CallList(api, complain);
const line = new LineMeter((callId, number) => view.measured(callId, number));
const view = new CallView(api, {
  onhangup: (call) => void hangup(call), ownCall: () => talk.callId, lineOf: (callId, number) => line.of(callId, number),
});
const talk = new Talk(api, {
  onbegin: () => watch(),
  oncall: (callId) => {
    location.hash = `#/call/${encodeURIComponent(callId)}`;
    watch();
  },
});
const events = new Events({
  key: () => api.key,
  base: () => api.base,
  oncall: (call) => {
    told.set(call.call_id, call);
    if (told.size > 500) told.delete(told.keys().next().value);
    list.take(call);
    talk.take(call);
    view.take(call);
  },
  onevent: (callId, event) => {
    if (event.event === "latency" && callId === talk.callId && talk.peer) void line.measure(talk.peer, callId, event.number);
    view.hear(callId, event);
  },
  onhello: () => {
    void list.refresh();
    void view.refresh();
  },
  onrefused: () => void inform(),
  onstate: (state) => {
    byId("link").dataset.state = state;
    setText(byId("link"), LINK[state]);
    talk.link(state === "open");
    if (state === "reconnecting") void inform();
  },
});

let opened = false;
let attempted = false;

/** Ask the gateway for its version, whether our key is good, and which agents are connected. */
async function inform() {
  try {
    const info = await api.info();
    const moved = api.base === api.bases[0] ? [] : [`The gateway of this page is gone: it goes on with ${new URL(api.base).host}.`];
    say(byId("notice"), [...moved, ...info.problems].join(" "));
    byId("forget-key").hidden = info.console !== "key" || !info.authorized;
    if (!info.authorized) lock(api.key || attempted ? "This key was not accepted. Is it one of the gateway's api_keys?" : "");
    else {
      talk.inform(info);
      unlock();
    }
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) lock("This key was not accepted. Is it one of the gateway's api_keys?");
    else complain(error);
    if (error.status === 0) talk.inform(null);
  }
}

/** @param {string} problem with the key; empty: it is asked for the first time */
function lock(problem) {
  opened = false;
  events.stop();
  talk.end("the key is not accepted any more");
  fleet.close();
  for (const id of ["console", "fleet", "link", "to-fleet", "to-console"]) byId(id).hidden = true;
  byId("key-form").hidden = false;
  say(byId("key-problem"), problem);
  byId("key").setAttribute("aria-invalid", String(Boolean(problem)));
  if (api.key) api.remember(null);
  if (document.activeElement !== byId("key")) byId("key").focus();
}

function unlock() {
  if (opened) return;
  opened = true;
  attempted = false;
  byId("key-form").hidden = true;
  byId("key").value = "";
  byId("link").hidden = false;
  route();
  events.start();
}

/** @param {Error} error */
function complain(error) {
  if (!(error instanceof ApiError)) throw error;
  if (error.status === 401) return; // the form for the key shows it
  say(byId("notice"), error.status === 0 ? "The gateway does not answer. It may have been stopped; this page goes on as soon as it is back." : error.message);
}

/** Ask for the events of the selected call and of this page's own call. */
function watch() {
  events.watch([view.callId, talk.callId].filter((id) => id !== null));
}

/** Show what is in the address: all gateways, or a call with this id. */
function route() {
  const all = location.hash === "#/gateways";
  const followed = document.activeElement === byId("to-fleet") || document.activeElement === byId("to-console");
  const [shown, other] = all ? ["fleet", "console"] : ["console", "fleet"];
  byId(shown).hidden = false;
  byId(other).hidden = true;
  byId("to-fleet").hidden = all;
  byId("to-console").hidden = !all;
  if (followed) byId(all ? "to-console" : "to-fleet").focus(); // the link that was followed is hidden now
  document.querySelector(".jump").toggleAttribute("hidden", all);
  if (all) {
    byId("to-console").setAttribute("href", view.callId ? `#/call/${encodeURIComponent(view.callId)}` : "#/");
    fleet.open();
    return; // the call that was selected stays so, and goes on
  }
  fleet.close();
  const callId = callIn(location.hash);
  const changed = callId !== view.callId;
  list.select(callId);
  view.open(callId, callId ? told.get(callId) : undefined);
  watch();
  if (changed && callId && matchMedia("(max-width: 899px)").matches) byId("conversation").scrollIntoView({ block: "start" });
}

/** @param {import("./api.js").CallRecord} call */
async function hangup(call) {
  if (!(await confirmed(`Hang up the call ${whoToWhom(call)}?`, "Hang up"))) return;
  try {
    const ended = await api.hangup(call.call_id);
    list.take(ended);
    view.take(ended);
  } catch (error) {
    if (error.status === 409) void view.refresh(); // it ended by itself meanwhile
    else complain(error);
  }
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempted = true;
  api.remember(byId("key").value.trim());
  void inform();
});
byId("forget-key").addEventListener("click", () => {
  attempted = false;
  api.remember(null);
  void inform();
});
for (const button of document.querySelectorAll("[data-jump]")) {
  button.addEventListener("click", () => byId(button.dataset.jump).scrollIntoView({ block: "start" }));
}
byId("welcome").append(
  el("p", { class: "welcome-line" }, "Press ", el("b", {}, "Talk"), " and speak with the bot, or choose a call from the list."),
  el("p", { class: "muted" }, "What both sides say appears here while it is said, with the time each answer took and where that time went."),
);
api.onmoved = () => events.hurry();
api.onrefused = () => lock("This key is not accepted any more.");
addEventListener("hashchange", () => opened && route());
setInterval(() => {
  list.tick();
  view.tick();
  talk.tick();
}, 1000);
setInterval(() => {
  if (!document.hidden && byId("key-form").hidden) void inform();
}, INFO_MS);
// For tests and for debugging: the peer connection of this page's own call.
Object.defineProperty(window, "piopiy", {
  value: Object.freeze({
    get peer() {
      return talk.peer;
    },
    get remoteStream() {
      return talk.remoteStream;
    },
  }),
});
void inform();
