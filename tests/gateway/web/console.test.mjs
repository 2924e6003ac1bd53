// The console's parts that know no page: run by test_console.py, or by `node --test` alone.

import assert from "node:assert/strict";
import { test } from "node:test";

const js = new URL("../../../piopiy_pipeline/gateway/web/js/", import.meta.url);
const { Conversation, LINE, PARTS, latencyOf, median, partsOf } = await import(new URL("conversation.js", js));
const { inWords, scaleOf } = await import(new URL("waterfall.js", js));
const { LineMeter, lineMs, sounding } = await import(new URL("line.js", js));
const { WavOutline, beganBefore } = await import(new URL("wav.js", js));
const { dayInWords } = await import(new URL("charts.js", js));
const { Events } = await import(new URL("events.js", js));
const { callIn, clock, durationOf, outcomeInWords, reasonInWords, whoToWhom } = await import(new URL("format.js", js));

const LATENCY = { silence_s: 0.2, stt_s: 0.05, turn_s: 0.5, llm_s: 0.1, tts_s: 0.07, playout_s: 0.011, total_s: 0.931 };
const SCRIPT = [
  ["bot_partial", { text: "Hello" }], ["bot_turn", { text: "Hello there.", interrupted: false }],
  ["user_partial", { text: "a table" }], ["user_turn", { text: "A table for four." }],
  ["tool", { number: 1, name: "book", arguments: { people: 4 } }], ["tool_result", { number: 1, name: "book", result: { booked: true } }],
  ["latency", LATENCY], ["bot_partial", { text: "It is" }], ["bot_turn", { text: "It is boo", interrupted: true }],
].map(([event, data], index) => ({ number: index + 1, at: index + 0.5, event, data }));

/** What a reader sees of each item. */
function seen(conversation) {
  return conversation.items.map((item) =>
    item.kind === "turn"
      ? [item.role, item.text, item.partial ? "partial" : "whole", item.interrupted ? "cut" : "", item.latency?.total ?? null]
      : item.kind === "tool" ? ["tool", item.name, item.done] : ["error", item.message],
  );
}
const WHOLE = [
  ["bot", "Hello there.", "whole", "", null], ["user", "A table for four.", "whole", "", null],
  ["tool", "book", true], ["bot", "It is boo", "whole", "cut", 931],
];

test("a turn takes the place of its partial words, a result belongs to its tool, a latency to its answer", () => {
  const conversation = new Conversation();
  for (const event of SCRIPT) assert.equal(conversation.add([event]), false);
  assert.deepEqual(seen(conversation), WHOLE);
});

test("partial words are shown as such, and replace each other", () => {
  const conversation = new Conversation();
  conversation.add([
    { number: 1, at: 1, event: "user_partial", data: { text: "a" } },
    { number: 2, at: 2, event: "user_partial", data: { text: "a table" } },
  ]);
  assert.deepEqual(seen(conversation), [["user", "a table", "partial", "", null]]);
});

test("events that come late, twice or in disorder make the same conversation", () => {
  const kept = SCRIPT.filter(({ event }) => !event.endsWith("_partial"));
  const conversation = new Conversation();
  conversation.add(SCRIPT.slice(6)); // told while the record was being fetched
  conversation.add(kept);
  conversation.add(SCRIPT);
  assert.deepEqual(seen(conversation), WHOLE);
});

test("what a listener says is told from a turn", () => {
  const conversation = new Conversation();
  conversation.add([
    { number: 1, at: 1, event: "bot_partial", data: { text: "We are" } },
    { number: 2, at: 2, event: "user_partial", data: { text: "mhm" } },
    { number: 3, at: 2.2, event: "user_backchannel", data: { text: "Mhm." } },
    { number: 4, at: 3, event: "bot_turn", data: { text: "We are open.", interrupted: false } },
    { number: 5, at: 4, event: "user_turn", data: { text: "Thank you." } },
  ]);
  assert.deepEqual(
    conversation.items.map((item) => [item.role, item.text, item.backchannel]),
    [["bot", "We are open.", false], ["user", "Mhm.", true], ["user", "Thank you.", false]],
  );
});

test("a hole in what is told is noticed", () => {
  const conversation = new Conversation();
  conversation.add(SCRIPT.slice(0, 2));
  assert.equal(conversation.add(SCRIPT.slice(3, 4)), true);
});

test("a latency before its first word is an answer that begins", () => {
  const conversation = new Conversation();
  conversation.add([{ number: 1, at: 4, event: "latency", data: LATENCY }]);
  assert.deepEqual(seen(conversation), [["bot", "", "partial", "", 931]]);
  conversation.end();
  assert.deepEqual(seen(conversation), [["bot", "", "whole", "", 931]]);
});

test("a turn that is told after the end of the call takes its place all the same", () => {
  const conversation = new Conversation();
  conversation.add(SCRIPT.slice(0, 1));
  conversation.end();
  conversation.add(SCRIPT.slice(1, 2));
  assert.deepEqual(seen(conversation), [["bot", "Hello there.", "whole", "", null]]);
});

test("what became of a transfer stands where it was told", () => {
  const conversation = new Conversation();
  conversation.add([
    ...SCRIPT.slice(0, 2),
    { number: 3, at: 2.5, event: "transfer", data: { request_id: "t", to: "200", warm: true, outcome: "busy", detail: "486" } },
  ]);
  const { kind, to, outcome, detail, at } = conversation.items[1];
  assert.deepEqual([kind, to, outcome, detail, at], ["transfer", "200", "busy", "486", 2.5]);
  assert.equal(outcomeInWords(outcome), "the line was busy");
});

test("a flow's steps and hand-offs stand where they happened", () => {
  const conversation = new Conversation();
  conversation.add([
    { number: 1, at: 0, event: "flow", data: { node: "welcome", before: "", function: "" } },
    { number: 2, at: 3, event: "flow", data: { node: "people", before: "welcome", function: "wants_to_book" } },
    { number: 3, at: 5, event: "hand_off", data: { agent: "billing", before: "", context: "keep" } },
    { number: 4, at: 9, event: "hand_off", data: { agent: "", before: "billing", context: "keep" } },
  ]);
  assert.deepEqual(
    conversation.items.map(({ speaker, words, at }) => [speaker, words, at]),
    [["Flow", "welcome", 0], ["Flow", "welcome → people (wants_to_book)", 3], ["Hand-off", "To billing", 5], ["Hand-off", "To the first agent", 9]],
  );
});

test("values that are collected stand where they were asked for and given", () => {
  const conversation = new Conversation();
  conversation.add([
    { number: 1, at: 1, event: "collection", data: { name: "phone_number", kind: "phone_number", outcome: "begun", attempts: 0, how: "" } },
    { number: 2, at: 9, event: "collection", data: { name: "phone_number", kind: "phone_number", outcome: "collected", attempts: 1, how: "keys", value: "+4930123456" } },
    { number: 3, at: 12, event: "collection", data: { name: "pin", kind: "digits", outcome: "collected", attempts: 0, how: "speech" } },
    { number: 4, at: 20, event: "collection", data: { name: "address", kind: "address", outcome: "collected", attempts: 0, how: "speech", value: { text: "23 Main Street" } } },
    { number: 5, at: 30, event: "collection", data: { name: "email", kind: "email", outcome: "refused", attempts: 1, how: "" } },
  ]);
  assert.deepEqual(
    conversation.items.map(({ speaker, words }) => [speaker, words]),
    [["phone number", "is asked for"], ["phone number", "+4930123456 (keys)"], ["pin", "[redacted] (speech)"], ["address", "23 Main Street (speech)"], ["email", "not collected: refused"]],
  );
});

test("an event that this page does not know changes nothing", () => {
  const conversation = new Conversation();
  conversation.add([{ number: 1, at: 0, event: "weather", data: {} }]);
  assert.deepEqual(seen(conversation), []);
});

test("the parts of a latency are all there, and sum to its total", () => {
  const latency = latencyOf(LATENCY);
  assert.deepEqual(Object.keys(latency.parts), PARTS.map(({ part }) => part));
  const sum = Object.values(latency.parts).reduce((a, b) => a + b, 0);
  assert.ok(Math.abs(sum - latency.total) < 0.001);
  assert.match(inWords(latency), /^Answered after 931 ms: Silence 200 ms, Speech to text 50 ms/);
  assert.equal(latencyOf({ llm_s: 0.2, tts_s: null }).total, 200);
});

test("our own line is one more part, and the gateway's total stays known", () => {
  const latency = latencyOf(LATENCY, 85.5);
  assert.deepEqual(partsOf([latencyOf(LATENCY), latency]), [...PARTS, LINE]);
  assert.deepEqual(partsOf([latencyOf(LATENCY)]), PARTS);
  assert.deepEqual([latency.parts.line, latency.total, latency.gateway], [85.5, 1016.5, 931]);
  assert.match(inWords(latency), /^Answered after 1,017 ms: .*, Your line 86 ms$/);
});

test("a line that is measured after its answer changes that answer in place, and is known when all is made anew", () => {
  const lines = new Map();
  const conversation = new Conversation((number) => lines.get(number) ?? null);
  conversation.add(SCRIPT);
  const answer = conversation.items[3];
  const before = answer.version;
  lines.set(7, 69);
  conversation.measured(7);
  conversation.measured(99); // of another call
  assert.equal(conversation.items[3], answer);
  assert.deepEqual([answer.latency.total, answer.version], [1000, before + 1]);
  conversation.end();
  conversation.add([{ number: 10, at: 9, event: "error", data: {} }]);
  assert.equal(conversation.items[3].latency.total, 1000);
});

/** As a browser's getStats has it: 20 ms to the gateway and back, `samples` that waited `delay` seconds in all. */
const STATS = (samples, delay) => [
  { id: "P1", type: "candidate-pair", nominated: true, state: "succeeded", currentRoundTripTime: 9 },
  { id: "P2", type: "candidate-pair", nominated: true, state: "succeeded", currentRoundTripTime: 0.02 },
  { id: "T", type: "transport", selectedCandidatePairId: "P2" },
  { id: "V", type: "inbound-rtp", kind: "video" },
  { id: "A", type: "inbound-rtp", kind: "audio", jitterBufferDelay: delay, jitterBufferEmittedCount: samples },
];

test("the line is the way there and back, and what this answer waited in the jitter buffer", () => {
  const [before, after] = [sounding(STATS(48_000, 48_000 * 0.2)), sounding(STATS(96_000, 48_000 * 0.2 + 48_000 * 0.06))];
  assert.equal(lineMs(before, after), 80);
  assert.equal(lineMs(after, after), 150, "nothing of the answer came: the call's average");
  assert.equal(lineMs(sounding([]), sounding([])), null, "a browser that tells nothing");
  assert.equal(sounding(STATS(0, 0).filter(({ id }) => id !== "T")).roundTripMs, 9_000, "without transport: Firefox");
});

test("an answer's line is measured once, however often the answer is told", async () => {
  let asked = 0;
  const told = [];
  const peer = { connectionState: "connected", getStats: async () => new Map(STATS(++asked * 48_000, asked * 48_000 * 0.05).map((one) => [one.id, one])) };
  const meter = new LineMeter((...what) => told.push(what));
  const first = meter.measure(peer, "call", 7);
  await meter.measure(peer, "call", 7);
  assert.equal(meter.of("call", 7), null);
  await first;
  assert.deepEqual([asked, told, meter.of("call", 7), meter.of("call", 8)], [2, [["call", 7]], 70, null]);
});

test("the common scale holds the longest answer and moves in steps", () => {
  const of = (...totals) => scaleOf(totals.map((total) => ({ total, parts: {} })));
  assert.deepEqual([of(), of(640), of(1010, 300), of(1600), of(9100)], [1000, 1000, 1250, 2000, 10000]);
  assert.deepEqual([median([]), median([3, 1, 2]), median([4, 1])], [0, 2, 2.5]);
});

/** A WAV of two sides at 1000 Hz: the caller speaks from 2 to 4 s, with a pause, the bot from 5 to 6. */
function wav() {
  const [rate, seconds] = [1000, 8];
  const view = new DataView(new ArrayBuffer(44 + rate * seconds * 4));
  const text = (at, letters) => [...letters].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF"); text(8, "WAVE"); text(12, "fmt "); text(36, "data");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 2, true); view.setUint32(24, rate, true);
  view.setUint16(34, 16, true); // the sizes are 0: the writer died before it knew them
  const loud = (at) => [(at >= 2 && at < 2.8) || (at >= 3.2 && at < 4), at >= 5 && at < 6];
  for (let frame = 0; frame < rate * seconds; frame += 1) {
    loud(frame / rate).forEach((on, side) => view.setInt16(44 + 4 * frame + 2 * side, on ? 16384 : 0, true));
  }
  return new Uint8Array(view.buffer);
}

test("a recording's outline is the same however its bytes arrive", () => {
  const file = wav();
  const outlines = [7, 1001, file.length].map((size) => {
    const outline = new WavOutline(file.length, 80);
    for (let at = 0; at < file.length; at += size) outline.push(file.subarray(at, at + size));
    return outline;
  });
  assert.equal(outlines[0].seconds, 8);
  assert.deepEqual([...outlines[0].peaks[1]].map((peak) => peak > 0.4), Array.from({ length: 80 }, (_, at) => at >= 50 && at < 60));
  for (const outline of outlines) assert.deepEqual(outline.peaks, outlines[0].peaks);
});

test("the beginning of a turn is found before its end, over a pause, and not before the turn before", () => {
  const outline = new WavOutline(wav().length, 800);
  outline.push(wav());
  assert.equal(beganBefore(outline.peaks[0], 8, 4.6, 0), 2);
  assert.ok(Math.abs(beganBefore(outline.peaks[0], 8, 4.6, 3) - 3.2) < 0.02);
  assert.equal(beganBefore(outline.peaks[1], 8, 4.6, 1), 1); // nothing was loud there
});

test("what is no PCM of 16 bits has no outline", () => {
  const outline = new WavOutline(100, 10);
  outline.push(new TextEncoder().encode("OggS, which is something else"));
  assert.equal(outline.unreadable, true);
});

test("calls are told in words", () => {
  assert.deepEqual([clock(5), clock(65.9), clock(3605)], ["0:05", "1:05", "1:00:05"]);
  assert.equal(reasonInWords("caller_hangup"), "the caller hung up");
  assert.equal(reasonInWords("something_new"), "something new");
  assert.equal(whoToWhom({ kind: "phone", from_number: null, to_number: null, agent_id: "desk" }), "withheld number → desk");
  assert.equal(durationOf({ duration_s: null, phase: "offering" }), null);
  assert.ok(durationOf({ duration_s: 3, phase: "live", heard_at: performance.now() - 2000 }) >= 5);
});

test("the day is said in words: how many calls, which failed and why, and how fast answers were", () => {
  const quiet = { bucket_s: 600, bounds_s: [0.5, 1, 2], gateways: ["a"], missing: [], counts: [] };
  assert.equal(dayInWords(quiet), "No calls yet since these gateways were started.");
  const bucket = { at: 600, placed: 1, most: 1, ended: { caller_hangup: 1 }, errors: 0, buckets: [0, 0, 0, 0], voice_to_voice: { answers: 0, p50_s: null, p95_s: null } };
  assert.match(dayInWords({ ...quiet, counts: [bucket] }), /^1 call since .*; none failed; no errors in conversations\.$/);
  const bad = { ...bucket, placed: 4, ended: { busy: 2, error: 1, caller_hangup: 1 }, errors: 1, buckets: [0, 4, 0, 0] };
  assert.match(dayInWords({ ...quiet, counts: [bucket, bad] }), /^5 calls since .*; 3 failed \(2 × every agent was busy, 1 × the bot failed\); 1 error in conversations; 4 answers: half within 750 ms, 95% within 975 ms\.$/);
});

test("an address names a call, or none when it was cut off within an escape", () => {
  assert.equal(callIn("#/call/a%2Fb"), "a/b");
  for (const hash of ["", "#/", "#/gateways", "#/call/", "#/call/%", "#/call/a%E2%82"]) assert.equal(callIn(hash), null, hash);
});

/** `Events` with connections that do only what a test has them do. */
function eventsWithoutANetwork(context) {
  const opened = [];
  class Connection {
    closed = false;
    constructor() {
      opened.push(this);
    }
    send() {}
    close() {
      if (!this.closed) this.closed = true, this.onclose({ code: 1000 });
    }
    greet() {
      this.onmessage({ data: '{"type": "hello"}' });
    }
  }
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const nothing = () => {};
  const page = { WebSocket: Connection, addEventListener: nothing, document: { hidden: false, addEventListener: nothing } };
  const before = Object.fromEntries(Object.keys(page).map((name) => [name, globalThis[name]]));
  Object.assign(globalThis, page);
  context.after(() => Object.assign(globalThis, before));
  const events = new Events({
    key: () => null, base: () => "http://gateway.example/", oncall: nothing, onevent: nothing, onhello: nothing,
    onrefused: nothing, onstate: nothing,
  });
  return { events, opened };
}

test("a connection goes on until a later one is greeted, also when one between them never was", (context) => {
  const { events, opened } = eventsWithoutANetwork(context);
  events.start();
  opened[0].greet();
  events.watch(["a"]);
  events.watch(["b"]);
  assert.deepEqual(opened.map((one) => one.closed), [false, false, false]);
  opened[2].greet();
  assert.deepEqual(opened.map((one) => one.closed), [true, true, false]);
});

test("a connection that is greeted late closes only those before it", (context) => {
  const { events, opened } = eventsWithoutANetwork(context);
  events.start();
  opened[0].greet();
  events.watch(["a"]);
  events.watch(["b"]);
  opened[1].greet();
  assert.deepEqual(opened.map((one) => one.closed), [true, false, false]);
  events.stop();
  assert.deepEqual(opened.map((one) => one.closed), [true, true, true]);
});
