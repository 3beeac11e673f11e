import assert from "node:assert/strict";
import { test } from "node:test";
import { detailWords, stateWords, userWords, verificationWords } from "../phone/words.js";
import { settle, world } from "./fakes.mjs";

/** @typedef {import("../client/call.js").Call} Call */

const CREDENTIALS = { user: "alice", password: "secret" };
const AUTHENTICATED = { type: "authenticated", user: "alice", display_name: "Alice", numbers: ["100"] };

/** A client that is called. @param {Parameters<typeof world>[0]} [options] */
async function called(options) {
  const w = world(options);
  /** @type {Call[]} */
  const calls = [];
  w.client.addEventListener("incoming", (event) => calls.push(/** @type {CustomEvent<Call>} */ (event).detail));
  await w.connected();
  w.socket().say({ type: "incoming", call: "in-1", from: "+4930", name: "Bob", to: "100", headers: { "X-Queue": "sales" } });
  const [call] = calls;
  assert.deepEqual(call?.headers, { "X-Queue": "sales" });
  assert.ok(call && calls.length === 1);
  const sent = () => w.socket().sent.map((m) => (m.reason ? [m.type, m.call, m.reason] : [m.type, m.call]));
  return { ...w, call, sent };
}

test("it signs in on every connection, and says who it is", async () => {
  const w = world({ credentials: CREDENTIALS });
  /** @type {(string | undefined)[]} */
  const users = [];
  w.client.addEventListener("user", () => users.push(w.client.user?.user));
  await w.connected();
  w.socket().say(AUTHENTICATED);
  assert.equal(w.client.user?.display_name, "Alice");
  w.socket().fail();
  assert.equal(w.client.user, null);
  await w.clock.pass(500);
  w.socket().open();
  assert.deepEqual(w.socket().sent, [{ type: "authenticate", ...CREDENTIALS }]);
  assert.deepEqual(users, ["alice", undefined]);
});

test("a refused sign-in is told once, and not tried again by itself", async () => {
  const w = world();
  /** @type {string[]} */
  const notices = [];
  w.client.addEventListener("notice", (event) => notices.push(/** @type {CustomEvent<string>} */ (event).detail));
  await w.connected();
  w.client.signIn(CREDENTIALS);
  w.socket().say({ type: "error", call: null, code: "unauthorized", field: null, text: "the user name or the password is wrong" });
  assert.deepEqual(notices, ["Not signed in: the user name or the password is wrong."]);
  w.socket().fail();
  await w.clock.pass(500);
  w.socket().open();
  assert.deepEqual(w.socket().sent, []);
});

test("a sign-in that the gateway cannot look at yet is tried again", async () => {
  const w = world({ credentials: CREDENTIALS });
  /** @type {string[]} */
  const notices = [];
  w.client.addEventListener("notice", (event) => notices.push(/** @type {CustomEvent<string>} */ (event).detail));
  await w.connected();
  const tried = () => w.socket().sent.filter((m) => m.type === "authenticate").length;
  const before = tried();
  w.socket().say({ type: "error", call: null, code: "unavailable", field: null, text: "there are no keys yet" });
  assert.deepEqual(notices, ["Not signed in yet: there are no keys yet."]);
  await w.clock.pass(9_999);
  assert.equal(tried(), before);
  await w.clock.pass(1);
  assert.equal(tried(), before + 1);
  w.socket().say(AUTHENTICATED);
  assert.equal(w.client.user?.user, "alice");
  await w.clock.pass(60_000);
  assert.equal(tried(), before + 1);
});

test("a call that comes in waits, and is accepted with an offer", async () => {
  const w = await called();
  assert.equal(w.call.state.name, "incoming");
  assert.equal(w.call.peer, "Bob");
  assert.deepEqual(w.sent(), []);
  const accepting = w.call.accept();
  assert.equal(/** @type {string} */ (w.call.state.name), "preparing");
  await accepting;
  assert.deepEqual(w.socket().sent[0], { type: "accept", call: "in-1", sdp: "offer 1" });
  w.socket().say({ type: "answer", call: "in-1", sdp: "answer", provisional: false });
  w.socket().say({ type: "accepted", call: "in-1" });
  await settle();
  assert.equal(w.call.state.name, "in_call");
  assert.deepEqual(w.peer().remote, [{ type: "answer", sdp: "answer" }]);
  w.call.hangup();
  assert.deepEqual(w.sent().at(-1), ["hangup", "in-1"]);
});

test("a call that comes in can be declined, by hanging up too, and once", async () => {
  const w = await called();
  w.call.hangup();
  w.call.reject();
  assert.deepEqual(w.sent(), [["reject", "in-1", "declined"]]);
  assert.equal(w.call.cause?.code, "rejected");
});

test("a call that is answered elsewhere stops ringing here", async () => {
  const w = await called();
  w.socket().say({ type: "hangup", call: "in-1", cause: { code: "answered_elsewhere", text: "The call was answered elsewhere.", sip: null, q850: 26 } });
  assert.equal(w.call.cause?.code, "answered_elsewhere");
  assert.deepEqual(w.sent(), []);
});

test("without a microphone the other devices ring on", async () => {
  const microphone = async () => {
    throw new DOMException("no", "NotAllowedError");
  };
  const w = await called({ microphone });
  await w.call.accept();
  assert.equal(w.call.cause?.code, "microphone_denied");
  assert.deepEqual(w.sent(), [["reject", "in-1", "busy"]]);
});

test("an offer that the gateway cannot take leaves the other devices ringing", async () => {
  const w = await called();
  await w.call.accept();
  w.socket().say({ type: "error", call: "in-1", code: "bad_field", field: "sdp", text: "no audio" });
  assert.deepEqual(w.sent().at(-1), ["reject", "in-1", "busy"]);
  assert.equal(w.call.cause?.code, "bad_field");
});

test("whether the number is the caller's is told, where somebody looked", async () => {
  const w = world();
  /** @type {Call[]} */
  const calls = [];
  w.client.addEventListener("incoming", (event) => calls.push(/** @type {CustomEvent<Call>} */ (event).detail));
  await w.connected();
  const verifications = [{ result: "verified", attestation: "A" }, { result: "absent" }, { result: "verified", attestation: "Z" }, { result: "new" }, undefined];
  for (const [i, verification] of verifications.entries()) {
    w.socket().say({ type: "incoming", call: `in-${i}`, from: "+1202", name: null, to: "100", verification });
  }
  assert.deepEqual(calls.map((call) => call.caller?.verification), [
    { result: "verified", attestation: "A" },
    { result: "absent", attestation: null },
    { result: "verified", attestation: null },
    null,
    null,
  ]);
  assert.equal(verificationWords({ result: "verified", attestation: "A" }), "Number verified (A)");
  assert.equal(verificationWords({ result: "verified", attestation: null }), "Number verified");
  // Nobody says that the number is the caller's.
  assert.equal(verificationWords({ result: "verified", attestation: "C" }), "Number not verified (C)");
  assert.equal(verificationWords({ result: "failed", attestation: null }), "Number not verified");
  assert.equal(verificationWords({ result: "absent", attestation: null }), "Number not verified");
  const caller = { number: "+1202", name: "Bob", verification: /** @type {const} */ ({ result: "verified", attestation: "A" }) };
  assert.equal(detailWords({ name: "incoming" }, "", "", caller), "+1202 · Number verified (A)");
  assert.equal(detailWords({ name: "in_call", since: 0 }, "", "", caller), "");
});

test("who calls is told in words", () => {
  const incoming = /** @type {const} */ ({ name: "incoming" });
  assert.equal(stateWords(incoming, "Bob"), "Bob is calling");
  assert.equal(detailWords(incoming, "", "", { number: "+4930", name: "Bob" }), "+4930");
  assert.equal(detailWords(incoming, "", "", { number: "+4930", name: null }), "");
  assert.equal(userWords({ type: "authenticated", user: "alice", display_name: "Alice", numbers: ["100", "+4930"], ice_servers: [] }), "Signed in as Alice (100, +4930)");
});
