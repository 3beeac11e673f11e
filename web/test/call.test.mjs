import assert from "node:assert/strict";
import { test } from "node:test";
import { stateWords } from "../phone/words.js";
import { FakeStream, settle, world } from "./fakes.mjs";

const cause = (/** @type {string} */ code, /** @type {string} */ text) => ({ code, text, sip: 486, q850: 17 });

test("the offer leaves at once, and the candidates after it", async () => {
  const w = world();
  await w.connected();
  const call = await w.called("echo");
  w.peer().candidate("candidate:later");
  w.peer().candidate("");
  w.peer().candidate(null);
  assert.deepEqual(
    w.socket().sent.map((m) => [m.type, m.call, m.sdp ?? m.candidate]),
    [
      ["call", call.id, "offer 1"],
      ["candidate", call.id, "candidate:early"],
      ["candidate", call.id, "candidate:later"],
      ["end_of_candidates", call.id, undefined],
    ],
  );
  assert.match(call.id, /^[A-Za-z0-9_-]{1,64}$/);
  assert.equal(call.state.name, "connecting");
});

test("the provisional answer is applied while the phone still rings, and only once", async () => {
  const w = world();
  await w.connected();
  const call = await w.called("late");
  w.socket().say({ type: "answer", call: call.id, sdp: "answer", provisional: true });
  w.socket().say({ type: "ringing", call: call.id });
  await settle();
  assert.deepEqual(w.peer().remote, [{ type: "answer", sdp: "answer" }]);
  assert.equal(call.state.name, "ringing");
  w.socket().say({ type: "answer", call: call.id, sdp: "answer", provisional: false });
  await settle();
  assert.equal(w.peer().remote.length, 1);
});

test("a call brings headers where there are any", async () => {
  const w = world();
  await w.connected();
  const call = w.client.call("100", { headers: { "X-Customer": "7" } });
  await settle();
  assert.deepEqual(w.socket().sent.find((message) => message.type === "call" && message.call === call.id).headers, { "X-Customer": "7" });
  const plain = await w.called("100");
  assert.ok(!("headers" in w.socket().sent.find((message) => message.type === "call" && message.call === plain.id)));
});

test("a call is given to a number or to another call, and may be given by the other side", async () => {
  const w = world();
  await w.connected();
  const call = await w.talking("100");
  const other = await w.called("200");
  /** @type {string[]} */
  const seen = [];
  call.addEventListener("transfer", (event) => seen.push(/** @type {CustomEvent} */ (event).detail.state));
  other.transfer("300");
  assert.notEqual(w.socket().sent.at(-1).type, "transfer", "only a call that is up");
  call.transfer("300");
  assert.deepEqual(w.socket().sent.at(-1), { type: "transfer", call: call.id, to: "300" });
  call.transfer(other);
  assert.deepEqual(w.socket().sent.at(-1), { type: "transfer", call: call.id, with: other.id });
  w.socket().say({ type: "transfer", call: call.id, state: "failed", to: null, name: null, text: "no" });
  assert.equal(call.peer, "100");
  w.socket().say({ type: "transfer", call: call.id, state: "done", to: "+4989", name: null, text: "" });
  assert.equal(call.peer, "+4989");
  w.socket().say({ type: "transfer", call: call.id, state: "done", to: "+4989", name: "Carol", text: "" });
  assert.equal(call.peer, "Carol");
  assert.deepEqual(seen, ["failed", "done", "done"]);
  assert.equal(call.state.name, "in_call");
});

test("a call is held by either side, and says so", async () => {
  const w = world();
  await w.connected();
  const call = await w.talking("tone");
  /** @type {unknown[]} */
  const seen = [];
  call.addEventListener("hold", () => seen.push(call.held));
  call.hold(true);
  assert.deepEqual(w.socket().sent.at(-1), { type: "hold", call: call.id, held: true });
  w.socket().say({ type: "hold", call: call.id, here: true, there: false });
  w.socket().say({ type: "hold", call: call.id, here: true, there: true });
  assert.deepEqual(seen, [
    { here: true, there: false },
    { here: true, there: true },
  ]);
  assert.equal(stateWords(call.state, "tone", call.held), "Both sides hold the call");
  assert.equal(stateWords(call.state, "tone", { here: false, there: true }), "The other side holds the call");
});

test("a call goes through its states, and says when", async () => {
  const w = world();
  await w.connected();
  const call = await w.called("early");
  /** @type {string[]} */
  const seen = [];
  call.addEventListener("state", () => seen.push(call.state.name));
  w.socket().say({ type: "answer", call: call.id, sdp: "answer", provisional: true });
  await w.clock.pass(10);
  w.peer().become("connected");
  for (const type of ["ringing", "early", "ringing", "accepted", "early"]) {
    w.socket().say({ type, call: call.id });
    await w.clock.pass(1000);
  }
  w.socket().say({ type: "hangup", call: call.id, cause: cause("normal", "The call has ended.") });
  assert.deepEqual(seen, ["ringing", "early", "in_call", "ended"]);
  assert.deepEqual(call.state, { name: "ended", cause: cause("normal", "The call has ended."), answered_ms: 2000 });
  assert.equal(call.marks.ringing, 1010);
  assert.equal(call.marks.accepted, 4010);
});

test("a refused call ends with the gateway's cause, and gives the microphone back", async () => {
  const w = world();
  await w.connected();
  const call = await w.called("busy");
  w.socket().say({ type: "hangup", call: call.id, cause: cause("busy", "The number is busy.") });
  assert.equal(call.cause?.text, "The number is busy.");
  assert.ok(w.peer().closed);
  assert.ok(w.streams[0]?.track.stopped);
});

test("hanging up while it rings is a cancel, and the gateway has the last word", async () => {
  const w = world();
  await w.connected();
  const call = await w.called("late");
  w.socket().say({ type: "ringing", call: call.id });
  call.hangup();
  call.hangup();
  assert.equal(call.cause?.code, "cancelled");
  assert.equal(w.socket().sent.filter((m) => m.type === "hangup").length, 1);
  w.socket().say({ type: "hangup", call: call.id, cause: { code: "cancelled", text: "Cancelled.", sip: 487, q850: 16 } });
  assert.equal(call.cause?.sip, 487);
});

test("hanging up before the microphone was granted sends nothing and lets it go", async () => {
  /** @type {(stream: FakeStream) => void} */
  let grant = () => {};
  const w = world({ microphone: () => new Promise((done) => (grant = done)) });
  await w.connected();
  const call = await w.called("echo");
  call.hangup();
  const stream = new FakeStream();
  grant(stream);
  await settle();
  assert.ok(stream.track.stopped);
  assert.deepEqual(w.socket().sent, []);
  assert.equal(call.cause?.code, "cancelled");
});

test("without a microphone the call ends in words that help", async () => {
  for (const [name, code] of [
    ["NotAllowedError", "microphone_denied"],
    ["NotFoundError", "microphone_missing"],
    ["NotReadableError", "microphone_busy"],
    ["InsecureContext", "microphone_insecure"],
    ["Unsupported", "unsupported"],
  ]) {
    const w = world({ microphone: async () => { throw new DOMException("no", name); } });
    await w.connected();
    const call = await w.called("echo");
    assert.equal(call.cause?.code, code);
    assert.deepEqual(w.socket().sent, []);
  }
});

test("a microphone that is gone gives way to the one there is", async () => {
  /** @type {any[]} */
  const asked = [];
  const w = world({
    microphone: async (/** @type {any} */ constraints) => {
      asked.push(constraints.audio);
      if (constraints.audio.deviceId) throw new DOMException("no", "OverconstrainedError");
      return new FakeStream();
    },
  });
  await w.connected();
  const call = w.client.call("echo", { audio: { deviceId: { exact: "old" }, echoCancellation: false } });
  await settle();
  assert.equal(call.state.name, "connecting");
  assert.deepEqual(asked[1], { echoCancellation: false });
});

test("digits go by RTP where the media path is up, each after the other", async () => {
  const w = world();
  await w.connected();
  const call = await w.talking("dtmf");
  assert.equal(call.sendDigits("1"), "rtp");
  assert.equal(call.sendDigits("2a"), "rtp");
  assert.equal(w.peer().sender.dtmf.toneBuffer, "12A");
  assert.equal(call.sendDigits("x"), null);
});

test("digits go by message where RTP cannot carry them", async () => {
  const w = world();
  await w.connected();
  const call = await w.talking("dtmf");
  w.peer().sender.dtmf.canInsertDTMF = false;
  assert.equal(call.sendDigits("5"), "message");
  assert.deepEqual(w.socket().sent.at(-1), { type: "dtmf", call: call.id, digits: "5", duration_ms: 160 });
});

test("digits from the phone are told and kept", async () => {
  const w = world();
  await w.connected();
  const call = await w.talking("dtmf");
  /** @type {any[]} */
  const heard = [];
  call.addEventListener("dtmf", (event) => heard.push(/** @type {CustomEvent} */ (event).detail));
  w.socket().say({ type: "dtmf", call: call.id, digit: "7", duration_ms: 120 });
  assert.deepEqual(heard, [{ digit: "7", duration_ms: 120 }]);
  assert.equal(call.receivedDigits, "7");
});

test("muting silences the microphone, and stays with a new one", async () => {
  const w = world();
  await w.connected();
  const call = await w.talking("echo");
  call.muted = true;
  assert.equal(w.streams[0]?.track.enabled, false);
  await call.useMicrophone({ deviceId: { exact: "other" } });
  assert.equal(w.streams[1]?.track.enabled, false);
  assert.equal(w.peer().sender.track, w.streams[1]?.track);
  assert.ok(w.streams[0]?.track.stopped);
});

test("a media path that never comes up ends the call on both sides", async () => {
  const w = world();
  await w.connected();
  const call = await w.called("echo");
  w.socket().say({ type: "answer", call: call.id, sdp: "answer", provisional: true });
  await w.clock.pass(15_000);
  assert.equal(call.cause?.code, "media_failed");
  assert.equal(w.socket().sent.at(-1).type, "hangup");
});

test("an answer that the browser cannot read ends the call", async () => {
  const w = world();
  await w.connected();
  const call = await w.called("echo");
  w.socket().say({ type: "answer", call: call.id, sdp: "nonsense", provisional: true });
  await settle();
  assert.equal(call.cause?.code, "media_failed");
  assert.match(call.cause?.text ?? "", /cannot parse/);
});

test("a broken media path restarts ICE, and gives up in the end", async () => {
  const w = world();
  await w.connected();
  const call = await w.talking("echo");
  w.peer().become("disconnected");
  await w.clock.pass(4000);
  const offer = w.socket().sent.at(-1);
  assert.deepEqual([offer.type, offer.sdp], ["offer", "offer 2 restart"]);
  w.socket().say({ type: "answer", call: call.id, sdp: "answer 2", provisional: false });
  await settle();
  assert.equal(w.peer().remote.length, 2);
  w.peer().become("connected");
  await w.clock.pass(60_000);
  assert.equal(call.state.name, "in_call");

  w.peer().become("failed");
  await w.clock.pass(60_000);
  assert.equal(call.cause?.code, "media_lost");
  assert.equal(w.socket().sent.at(-1).type, "hangup");
});

test("a path that mends itself in time is left alone", async () => {
  const w = world();
  await w.connected();
  const call = await w.talking("echo");
  w.peer().become("disconnected");
  await w.clock.pass(3000);
  w.peer().become("connected");
  await w.clock.pass(20_000);
  assert.equal(call.state.name, "in_call");
  assert.equal(w.socket().sent.some((m) => m.type === "offer"), false);
});

test("an offer that the gateway refuses ends the call; a later mistake does not", async () => {
  const w = world();
  await w.connected();
  const refused = await w.called("x".repeat(300));
  w.socket().say({ type: "error", call: refused.id, code: "bad_field", field: "to", text: "a number is 1 to 256 characters" });
  assert.equal(refused.cause?.code, "bad_field");
  assert.match(refused.cause?.text ?? "", /1 to 256 characters/);

  const call = await w.talking("echo");
  /** @type {string[]} */
  const notices = [];
  call.addEventListener("notice", (event) => notices.push(/** @type {CustomEvent} */ (event).detail));
  w.socket().say({ type: "error", call: call.id, code: "bad_field", field: "digits", text: "too many" });
  assert.equal(call.state.name, "in_call");
  assert.equal(notices.length, 1);
});

test("a candidate that the gateway cannot read does not end a call that it has not answered yet", async () => {
  const w = world();
  await w.connected();
  const call = await w.called("echo");
  w.socket().say({ type: "error", call: call.id, code: "bad_field", field: "candidate", text: "not a candidate" });
  assert.equal(call.state.name, "connecting");
  w.socket().say({ type: "error", call: call.id, code: "unknown_call", field: null, text: "no such call" });
  assert.equal(call.cause?.code, "unknown_call");
  assert.equal(w.socket().sent.at(-1).type, "candidate");
});

test("what keeps one side from hearing the other is told, and that nothing does any more", async () => {
  const w = world();
  await w.connected();
  const call = await w.talking("echo");
  /** @type {unknown[]} */
  const told = [];
  call.addEventListener("audio", (event) => told.push(/** @type {CustomEvent} */ (event).detail));
  w.socket().say({ type: "audio", call: call.id, trouble: "phone_sends_nothing", text: "No audio comes." });
  w.socket().say({ type: "audio", call: call.id, trouble: null, text: "Both sides send audio again." });
  assert.deepEqual(told, [
    { trouble: "phone_sends_nothing", text: "No audio comes." },
    { trouble: null, text: "Both sides send audio again." },
  ]);
  assert.equal(call.state.name, "in_call");
});
