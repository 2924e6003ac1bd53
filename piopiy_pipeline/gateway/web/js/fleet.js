/**
 * The page of all gateways: which are there, the agents at home at each, the calls under way everywhere, and the day.
 * It asks one gateway, which answers for all. A gateway that is alone is shown in the same way.
 */

import { ApiError } from "./api.js";
import { charts, counted, dayInWords, numbers } from "./charts.js";
import { confirmed, transferTarget } from "./dialogs.js";
import { byId, el, say, setText } from "./dom.js";
import { clock, exactly, isTalking, phaseInWords, whoToWhom } from "./format.js";
import { Ordered, busyWhile } from "./orders.js";
import { Rows } from "./rows.js";

/** @typedef {import("./api.js").GatewayInfo} GatewayInfo */
/** @typedef {import("./api.js").AgentHome} AgentHome */
/** @typedef {import("./api.js").CallElsewhere} CallElsewhere */

const ASK_MS = 2_000;
const DAY_MS = 30_000;
const SHOWN = 200;

/**
 * A cell of a table. It says what it is, because a phone shows rows as cards, and no browser has to take those for a table.
 * @param {string} label what the head of the table says, which a phone does not show @param {...any} what
 */
const cell = (label, ...what) => el("td", { role: "cell", "data-label": label }, ...what);

export class Fleet {
  #open = false;
  #asking = false;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #timer;
  #dayAt = -Infinity;
  /** @type {number|null} when the last answer came, by the clock of the wall */ #at = null;
  /** @type {import("./api.js").ClusterInfo|null} */ #info = null;

  /** @param {import("./api.js").Api} api */
  constructor(api) {
    this.api = api;
    this.gateways = new Rows(byId("gateways"), (one) => this.#gatewayRow(one), (/** @type {GatewayInfo} */ one) => one.gateway);
    this.agents = new Rows(byId("agents"), (one) => this.#agentRow(one), (/** @type {AgentHome} */ one) => `${one.agent_id}\n${one.gateway}`);
    this.calls = new Rows(byId("fleet-calls"), (one) => this.#callRow(one), (/** @type {CallElsewhere} */ one) => one.call_id);
    byId("dial").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#dial();
    });
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  /** Show the page, and keep it up to date until it is closed. */
  open() {
    if (this.#open) return;
    this.#open = true;
    if (!this.#at) say(byId("fleet-state"), "Asking the gateways…");
    this.#hurry();
  }

  close() {
    this.#open = false;
    clearTimeout(this.#timer);
  }

  #hurry() {
    if (!this.#open || this.#asking) return;
    clearTimeout(this.#timer);
    void this.#ask();
  }

  async #ask() {
    this.#asking = true;
    try {
      const [info, calls] = await Promise.all([this.api.cluster(), this.api.clusterCalls(SHOWN)]);
      this.#at = Date.now();
      this.#show(info, calls);
      if (performance.now() - this.#dayAt > DAY_MS) {
        this.#dayAt = performance.now();
        this.#showDay(await this.api.trends());
      }
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const when = this.#at ? ` What is below is as it was at ${new Date(this.#at).toLocaleTimeString()}.` : "";
      byId("fleet").toggleAttribute("data-stale", true);
      say(byId("fleet-problem"), `${error.message}${when}`);
    } finally {
      this.#asking = false;
      if (this.#open) this.#timer = setTimeout(() => document.hidden || this.#hurry(), ASK_MS);
    }
  }

  /** @param {import("./api.js").ClusterInfo} info @param {import("./api.js").ClusterCallList} list */
  #show(info, list) {
    this.#info = info;
    byId("fleet").toggleAttribute("data-stale", false);
    say(byId("fleet-problem"), info.problem && `${info.problem}. Only this gateway is shown as it is now.`);
    const lost = info.gateways.filter((one) => one.state === "lost").length;
    const there = info.gateways.length - lost;
    const agents = new Set(info.agents.map((one) => one.agent_id)).size;
    say(byId("fleet-state"), `${counted(there, "gateway")}${lost ? `, ${lost} gone` : ""}, ${counted(agents, "agent")}, ${counted(list.total, "call")} under way.`);
    this.gateways.show(info.gateways);
    this.agents.show(info.agents);
    const idle = info.configured.filter((id) => !info.agents.some((one) => one.agent_id === id));
    const names = idle.slice(0, 5).join(", ") + (idle.length > 5 ? ` and ${idle.length - 5} more` : "");
    say(byId("agents-empty"), !idle.length ? "" : `No instance is connected anywhere of: ${names}.`);
    byId("agents-table").hidden = !info.agents.length;
    this.calls.show(list.calls);
    byId("fleet-calls-table").hidden = !list.calls.length;
    const rest = list.total - list.calls.length;
    say(byId("fleet-calls-empty"), !list.whole ? "Waiting for what other gateways tell of their calls…" : rest > 0 ? `And ${counted(rest, "older call")}.` : list.total ? "" : "No calls are under way.");
    this.#offerDial(info);
  }

  /** @param {import("./charts.js").Trends} trends */
  #showDay(trends) {
    say(byId("day-words"), dayInWords(trends));
    say(byId("day-missing"), trends.missing.length ? `Without ${trends.missing.join(", ")}: no answer.` : "");
    byId("charts").replaceChildren(...charts(trends));
    const details = byId("day-numbers");
    details.hidden = !trends.counts.length;
    details.querySelector("table")?.remove();
    details.append(numbers(trends));
  }

  // ------------------------------------------------------------------ what is done

  /**
   * Have something done, and say what became of it.
   * @param {() => Promise<any>} act @param {string} done
   * @param {() => void} [show] shows what it has changed, before the gateways tell it
   */
  async #do(act, done, show) {
    say(byId("fleet-refused"), "");
    try {
      await act();
      say(byId("fleet-done"), done);
      show?.();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(byId("fleet-done"), "");
      say(byId("fleet-refused"), error.message);
    }
    this.#hurry();
  }

  /** @param {GatewayInfo} first */
  #gatewayRow(first) {
    let [gateway, heard] = [first, first];
    const ordered = new Ordered();
    const order = (/** @type {Object<string, any>} */ changes) => {
      ordered.note(changes);
      update(heard);
    };
    const [state, calls, busy, version, since, problems] = ["State", "Calls", "Processor", "Version", "Since", "Problems"].map((label) => cell(label));
    const button = el("button", { type: "button", "data-testid": "drain-gateway", onclick: () => void busyWhile(button, () => this.#drainGateway(gateway, order)) });
    const node = el(
      "tr", { role: "row", "data-testid": "gateway-row", "data-gateway": first.gateway },
      el("th", { role: "rowheader", scope: "row" }, first.gateway, first.here ? el("span", { class: "chip here" }, "this one") : null),
      state, calls, busy, version, since, problems, el("td", { role: "cell", class: "acts" }, button),
    );
    const update = (/** @type {GatewayInfo} */ told) => {
      heard = told;
      const now = (gateway = ordered.over(told));
      const lost = now.state === "lost";
      node.dataset.state = now.state;
      setText(state, lost ? `gone: not heard for ${Math.round(now.heard_s)} s` : now.state);
      state.toggleAttribute("data-warn", now.state === "draining");
      setText(calls, lost ? "–" : now.max_calls === null ? String(now.calls) : `${now.calls} of ${now.max_calls}`);
      setText(busy, now.busy === null || lost ? "–" : `${Math.round(100 * now.busy)}%`);
      setText(version, now.version || "–");
      setText(since, now.started_at === null ? "–" : exactly(new Date(1000 * now.started_at).toISOString()));
      const troubles = now.problems.join(" ");
      setText(problems, lost ? "–" : troubles || "none");
      problems.toggleAttribute("data-warn", Boolean(troubles));
      button.hidden = lost;
      const draining = now.state === "draining";
      setText(button, draining ? "Take calls again" : "Drain");
      button.setAttribute("aria-label", `${draining ? "Let" : "Drain"} gateway ${now.gateway}${draining ? " take calls again" : ""}`);
    };
    return { node, update };
  }

  /** @param {GatewayInfo} gateway @param {(changes: Object<string, any>) => void} order shows what is changed */
  async #drainGateway({ gateway, state, calls }, order) {
    const on = state !== "draining";
    if (on && !(await confirmed(`Drain gateway ${gateway}? It will take no new calls, and its agents find another home. ${counted(calls, "call")} in progress will go on.`, "Drain"))) return;
    await this.#do(() => this.api.drainGateway(gateway, on), on ? `Gateway ${gateway} takes no new calls.` : `Gateway ${gateway} takes calls again.`, () => order({ state: on ? "draining" : "serving" }));
  }

  /** @param {AgentHome} first */
  #agentRow(first) {
    let [home, heard] = [first, first];
    const ordered = new Ordered();
    const order = (/** @type {Object<string, any>} */ changes) => {
      ordered.note(changes);
      update(heard);
    };
    const [instances, calls, busy, state, version] = ["Instances", "Calls", "Busy", "State", "Version"].map((label) => cell(label));
    const button = el("button", { type: "button", "data-testid": "drain", onclick: () => void busyWhile(button, () => this.#drain(home, order)) });
    const node = el(
      "tr", { role: "row", "data-testid": "agent-row", "data-agent": first.agent_id, "data-gateway": first.gateway },
      el("th", { role: "rowheader", scope: "row" }, first.agent_id), cell("At home at", first.gateway), instances, calls, busy, state, version, el("td", { role: "cell", class: "acts" }, button),
    );
    const update = (/** @type {AgentHome} */ told) => {
      heard = told;
      const now = (home = ordered.over(told));
      setText(instances, String(now.instances));
      setText(calls, `${now.active} of ${now.capacity}`);
      setText(busy, now.busy === null ? "–" : `${Math.round(100 * now.busy)}%`);
      const words = agentInWords(now);
      setText(state, words);
      state.toggleAttribute("data-warn", words !== "takes calls");
      setText(version, now.versions.join(", ") || "–");
      const drained = now.held_back > 0;
      setText(button, drained ? "Take calls again" : "Drain");
      button.setAttribute("aria-label", `${drained ? "Let" : "Drain"} ${now.agent_id} at ${now.gateway}${drained ? " take calls again" : ""}`);
    };
    return { node, update };
  }

  /** @param {AgentHome} home @param {(changes: Object<string, any>) => void} order shows what is changed */
  async #drain(home, order) {
    const on = home.held_back === 0;
    const who = `${home.agent_id} at ${home.gateway}`;
    if (on && !(await confirmed(`Drain ${who}? ${counted(home.instances, "instance")} will take no new calls. ${counted(home.active, "call")} in progress will go on.`, "Drain"))) return;
    await this.#do(() => this.api.drain(home.agent_id, home.gateway, on), on ? `${who} takes no new calls.` : `${who} takes calls again.`, () => order({
      held_back: on ? home.instances : 0, draining: on ? home.instances : Math.max(0, home.draining - home.held_back),
    }));
  }

  /** @param {CallElsewhere} first */
  #callRow(first) {
    let [call, heard] = [first, first];
    const ordered = new Ordered();
    const order = (/** @type {Object<string, any>} */ changes) => {
      ordered.note(changes);
      update(heard);
    };
    const who = whoToWhom(/** @type {any} */ (first));
    const [state, length] = [cell("State"), cell("Length")];
    const button = (name, act, more = {}) => {
      const made = el("button", { type: "button", "data-testid": `fleet-${name}`, onclick: () => void busyWhile(made, act), ...more });
      return made;
    };
    const hold = button("hold", () => this.#switch(call, "hold", !call.held, order));
    const mute = button("mute", () => this.#switch(call, "mute", !call.muted, order));
    const transfer = button("transfer", () => this.#transfer(call));
    const hangup = button("hangup", () => this.#hangup(call, order), { class: "danger" });
    const labels = /** @type {const} */ ([[hold, "Hold"], [mute, "Mute"], [transfer, "Transfer"], [hangup, "Hang up"]]);
    for (const [one, text] of labels) {
      setText(one, text);
      one.setAttribute("aria-label", `${text}: ${who}`);
    }
    const node = el(
      "tr", { role: "row", "data-testid": "fleet-call", "data-call-id": first.call_id },
      el("th", { role: "rowheader", scope: "row" }, el("a", { href: `#/call/${encodeURIComponent(first.call_id)}` }, who)),
      cell("Agent", first.agent_id), cell("Gateway", first.gateway), cell("Kind", first.kind), state, length,
      el("td", { role: "cell", class: "acts" }, hold, mute, transfer, hangup),
    );
    const update = (/** @type {CallElsewhere} */ told) => {
      heard = told;
      const now = (call = ordered.over(told));
      setText(state, [phaseInWords(now.phase), now.held && "on hold", now.muted && "muted"].filter(Boolean).join(", "));
      node.dataset.phase = now.phase;
      setText(length, now.answered_at !== null && isTalking(now.phase) ? clock(Date.now() / 1000 - now.answered_at) : "–");
      for (const [one, on] of /** @type {const} */ ([[hold, now.held], [mute, now.muted]])) one.setAttribute("aria-pressed", String(on));
      for (const one of [hold, mute, transfer]) one.disabled = now.phase !== "live";
      hangup.disabled = now.phase === "ended";
    };
    return { node, update };
  }

  /**
   * @param {CallElsewhere} call @param {"hold"|"mute"} what @param {boolean} on
   * @param {(changes: Object<string, any>) => void} order shows what is changed
   */
  async #switch(call, what, on, order) {
    const who = whoToWhom(/** @type {any} */ (call));
    const done = { hold: on ? "is on hold" : "goes on", mute: on ? "is muted" : "is heard again" }[what];
    await this.#do(() => this.api.order(call.call_id, what, { on }), `${who} ${done}.`, () => order({ [what === "hold" ? "held" : "muted"]: on }));
  }

  /** @param {CallElsewhere} call */
  async #transfer(call) {
    const who = whoToWhom(/** @type {any} */ (call));
    const target = await transferTarget(who);
    if (target) await this.#do(() => this.api.order(call.call_id, "transfer", target), `${who} is being transferred to ${target.to}. The call's page says what becomes of it.`);
  }

  /** @param {CallElsewhere} call @param {(changes: Object<string, any>) => void} order shows what is changed */
  async #hangup(call, order) {
    const who = whoToWhom(/** @type {any} */ (call));
    if (await confirmed(`Hang up the call ${who} at ${call.gateway}?`, "Hang up")) await this.#do(() => this.api.order(call.call_id, "hangup", {}), `${who} was hung up.`, () => order({ phase: "ended" }));
  }

  // ------------------------------------------------------------------ calls that go out

  /** @param {import("./api.js").ClusterInfo} info */
  #offerDial(info) {
    const ways = info.gateways.filter((one) => one.dials && one.state === "serving").map((one) => one.gateway);
    fill(byId("dial-gateway"), ways);
    fill(byId("dial-agent"), [...new Set(info.agents.map((one) => one.agent_id))]);
    byId("dial").hidden = !ways.length || !info.agents.length;
    say(byId("dial-none"), ways.length ? "" : "Nobody can be called from here: no gateway has telephones (a sip section with a trunk).");
  }

  async #dial() {
    const [agent_id, to, gateway] = ["dial-agent", "dial-to", "dial-gateway"].map((id) => byId(id).value.trim());
    const here = gateway === this.#info?.gateway ? null : gateway;
    await this.#do(() => this.api.dial({ agent_id, to }, here), `${agent_id} calls ${to} from ${gateway}.`);
  }
}

/** @param {any} select @param {string[]} values */
function fill(select, values) {
  if ([...select.options].map((option) => option.value).join("\n") === values.join("\n")) return;
  const chosen = select.value;
  select.replaceChildren(...values.map((value) => el("option", { value, selected: value === chosen }, value)));
}

/** @param {AgentHome} now @returns {string} */
function agentInWords(now) {
  const all = (number) => (number === now.instances ? "" : `${number} of ${now.instances} `);
  const said = [];
  if (now.silent) said.push(`${all(now.silent)}silent`);
  if (now.draining) said.push(`${all(now.draining)}draining`);
  if (now.overloaded) said.push(`${all(now.overloaded)}overloaded`);
  return said.join(", ") || "takes calls";
}
