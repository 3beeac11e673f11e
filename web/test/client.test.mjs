import assert from "node:assert/strict";
import { test } from "node:test";
import { backOff } from "../client/client.js";
import { world, WELCOME } from "./fakes.mjs";

test("it is connected once the gateway has said welcome", async () => {
  const w = world({ credentials: { user: "alice", password: "secret" } });
  w.client.connect();
  assert.equal(w.client.url, "ws://gateway.example/v1/signaling");
  w.socket().open();
  assert.deepEqual(w.socket().sent, [{ type: "authenticate", user: "alice", password: "secret" }]);
  assert.equal(w.client.connection.name, "connecting");
  w.socket().say(WELCOME);
  assert.equal(w.client.welcome?.lab[0]?.number, "echo");
});

test("a gateway that says nothing is given up, and tried again", async () => {
  const w = world();
  w.client.connect();
  w.socket().open();
  await w.clock.pass(10_000);
  assert.equal(w.client.connection.name, "waiting");
  await w.clock.pass(15_000);
  assert.ok(w.sockets.length > 1);
});

test("a lost connection ends the calls in words, and comes back", async () => {
  const w = world();
  await w.connected();
  const call = await w.talking("echo");
  w.socket().fail();
  assert.equal(call.cause?.code, "connection_lost");
  assert.ok(w.peer().closed);
  assert.equal(w.client.connection.name, "waiting");
  await w.clock.pass(500);
  w.socket().open();
  w.socket().say(WELCOME);
  assert.equal(w.client.connection.name, "open");
  assert.equal(w.sockets.length, 2);
});

test("attempts grow apart, up to a bound, and never come all at once", () => {
  const waits = [1, 2, 3, 4, 5, 6, 7, 50].map((attempt) => backOff(attempt, 1));
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  assert.equal(backOff(3, 0), 1000);
});

test("attempts that fail wait longer each time", async () => {
  const w = world();
  w.client.connect();
  /** @type {number[]} */
  const waits = [];
  for (let i = 0; i < 4; i += 1) {
    w.socket().fail();
    const { connection } = w.client;
    assert.equal(connection.name, "waiting");
    waits.push(connection.name === "waiting" ? connection.until - w.clock.now : 0);
    await w.clock.pass(waits[i] ?? 0);
  }
  assert.deepEqual(waits, [750, 1500, 3000, 6000]);
});

test("connect tries at once while it waits", async () => {
  const w = world();
  w.client.connect();
  w.socket().fail();
  w.client.connect();
  assert.equal(w.sockets.length, 2);
  await w.clock.pass(5000);
  assert.equal(w.sockets.length, 2);
});

test("close hangs up, leaves, and does not come back", async () => {
  const w = world();
  await w.connected();
  const call = await w.talking("echo");
  w.client.close();
  assert.equal(w.socket().sent.at(-1).type, "hangup");
  assert.equal(call.cause?.code, "normal");
  assert.equal(w.socket().closed, 1000);
  await w.clock.pass(60_000);
  assert.equal(w.sockets.length, 1);
});

test("messages it cannot read do no harm", async () => {
  const w = world();
  await w.connected();
  const call = await w.talking("echo");
  /** @type {string[]} */
  const notices = [];
  w.client.addEventListener("notice", (event) => notices.push(/** @type {CustomEvent} */ (event).detail));
  for (const bad of ["{", "[]", '"x"', '{"type":1}', '{"type":"hangup","call":"x"}', '{"type":"answer","call":3}']) w.socket().say(bad);
  assert.equal(notices.length, 6);
  w.socket().say({ type: "from_a_newer_gateway", call: call.id });
  w.socket().say({ type: "hangup", call: "someone-elses", cause: { code: "busy", text: "Busy." } });
  assert.equal(notices.length, 6);
  assert.equal(call.state.name, "in_call");
});

test("a call without a connection ends in words", async () => {
  const w = world();
  const call = await w.called("echo");
  assert.equal(call.cause?.code, "not_connected");
});

test("the other users are known, and whether they are there", async () => {
  const w = world({ credentials: { user: "alice", password: "secret" } });
  await w.connected();
  let told = 0;
  w.client.addEventListener("people", () => (told += 1));
  w.socket().say({ type: "authenticated", user: "alice", display_name: "Alice", numbers: [] });
  const person = (/** @type {string} */ user, /** @type {string} */ presence) => ({ user, display_name: user, presence });
  w.socket().say({ type: "presence", people: [person("carol", "offline"), person("bob", "online")] });
  w.socket().say({ type: "presence", people: [person("alice", "online")] });
  w.socket().say({ type: "presence", people: [person("carol", "in_call")] });
  w.socket().say({ type: "presence", people: [person("carol", "asleep")] });
  assert.deepEqual(w.client.people, [person("bob", "online"), person("carol", "in_call")]);
  w.socket().fail();
  assert.deepEqual(w.client.people, []);
  assert.equal(told, 4);
});
