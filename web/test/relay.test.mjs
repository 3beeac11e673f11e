import assert from "node:assert/strict";
import { test } from "node:test";
import { loadRelay, saveRelay } from "../phone/relay.js";
import { pathWords } from "../phone/words.js";
import { settle, WELCOME, world } from "./fakes.mjs";

const STUN = { urls: ["stun:gw.example:3478"] };
const turn = (/** @type {string} */ username) => ({ urls: ["turn:gw.example:3478?transport=udp", "turns:gw.example:443?transport=tcp"], username, credential: "c" });

/** @param {any[]} ice_servers */
async function welcomed(ice_servers) {
  const w = world();
  w.client.connect();
  w.socket().open();
  w.socket().say({ ...WELCOME, ice_servers });
  await settle();
  return w;
}

test("the gateway's servers are for the call's connection, and any way will do", async () => {
  const w = await welcomed([STUN, turn("1:alice")]);
  await w.called("echo");
  const { iceServers, iceTransportPolicy } = w.peer().configuration;
  assert.deepEqual(iceServers, [STUN, turn("1:alice")]);
  assert.equal(iceTransportPolicy, "all");
});

test("without any servers a call is made all the same", async () => {
  const w = await welcomed([]);
  const call = await w.called("echo");
  assert.deepEqual(w.peer().configuration.iceServers, []);
  assert.equal(w.socket().sent[0].type, "call");
  assert.equal(call.state.name, "connecting");
});

test("the relay can be forced, for every call or for one", async () => {
  const w = await welcomed([STUN, turn("1:alice")]);
  w.client.call("echo", { forceRelay: true });
  await settle();
  assert.equal(w.peer().configuration.iceTransportPolicy, "relay");
  w.client.forceRelay = true;
  await w.called("echo");
  assert.equal(w.peer().configuration.iceTransportPolicy, "relay");
  w.client.call("echo", { forceRelay: false });
  await settle();
  assert.equal(w.peer().configuration.iceTransportPolicy, "all");
  assert.equal(w.peers.length, 3);
});

test("the offer waits for no relay: its candidates follow as they are found", async () => {
  const w = await welcomed([STUN, turn("1:alice")]);
  w.client.forceRelay = true;
  const call = await w.called("echo");
  assert.equal(w.socket().sent[0].type, "call");
  w.peer().candidate("candidate:1 1 udp 1 192.0.2.1 50000 typ relay raddr 0.0.0.0 rport 0");
  assert.match(w.socket().sent.at(-1).candidate, /typ relay/);
  assert.equal(w.socket().sent.at(-1).call, call.id);
});

test("a call that has to go through a relay ends in words where there is none", async () => {
  for (const servers of [[], [STUN], [{ urls: "stun:turn.example" }]]) {
    const w = await welcomed(servers);
    w.client.forceRelay = true;
    const call = w.client.call("echo");
    let told = false;
    call.addEventListener("state", () => (told = call.ended));
    await settle();
    assert.equal(call.cause?.code, "no_relay");
    assert.ok(told, "whoever has placed it is told");
    assert.deepEqual([w.peers.length, w.streams.length, w.socket().sent.length], [0, 0, 0]);
  }
});

test("a call that comes in is taken through the relay too", async () => {
  const w = await welcomed([turn("1:alice")]);
  /** @type {import("../client/call.js").Call | undefined} */
  let call;
  w.client.addEventListener("incoming", (event) => (call = /** @type {CustomEvent} */ (event).detail));
  w.socket().say({ type: "incoming", call: "in-1", from: null, name: null, to: "100" });
  void call?.accept({ forceRelay: true });
  await settle();
  assert.equal(w.peer().configuration.iceTransportPolicy, "relay");
  assert.deepEqual(w.peer().configuration.iceServers, [turn("1:alice")]);
});

test("a sign-in brings credentials, and new ones come before they end", async () => {
  const w = await welcomed([STUN]);
  w.socket().say({ type: "authenticated", user: "alice", display_name: "Alice", numbers: [], ice_servers: [STUN, turn("1:alice")] });
  assert.deepEqual(w.client.iceServers, [STUN, turn("1:alice")]);
  w.socket().say({ type: "ice_servers", ice_servers: [STUN, turn("2:alice")] });
  await w.called("echo");
  assert.equal(w.peer().configuration.iceServers?.[1]?.username, "2:alice");
  w.socket().say({ type: "authenticated", user: "alice", display_name: "Alice", numbers: [] });
  assert.equal(w.client.iceServers.length, 2, "a gateway that tells no more has told all");
  w.socket().fail();
  assert.deepEqual(w.client.iceServers, []);
});

test("a call that looks for another way does so with the credentials of today", async () => {
  const w = await welcomed([STUN, turn("1:alice")]);
  w.client.forceRelay = true;
  await w.talking("echo");
  w.socket().say({ type: "ice_servers", ice_servers: [STUN, turn("2:alice")] });
  w.peer().become("failed");
  await settle();
  const { iceServers, iceTransportPolicy } = w.peer().configuration;
  assert.deepEqual(iceServers, [STUN, turn("2:alice")]);
  assert.equal(iceTransportPolicy, "relay");
  assert.equal(w.socket().sent.at(-1).type, "offer");
});

test("who has to sign in first is told so by the gateway, and not that it has no relay", async () => {
  const w = world();
  w.client.connect();
  w.socket().open();
  w.socket().say({ ...WELCOME, sign_in: true, ice_servers: [STUN] });
  w.client.forceRelay = true;
  const call = await w.called("echo");
  assert.equal(call.cause, null);
  assert.equal(w.socket().sent[0].type, "call");
});

test("a call tells in words which way it goes, as long as it is up", async () => {
  const w = await welcomed([]);
  const call = await w.talking("echo");
  assert.equal(pathWords(call.state, call.path), "");
  /** @type {unknown[]} */
  const seen = [];
  call.addEventListener("path", (event) => seen.push(/** @type {CustomEvent} */ (event).detail.via));
  w.socket().say({ type: "path", call: call.id, via: "udp", text: "By UDP." });
  assert.equal(pathWords(call.state, call.path), "By UDP.");
  w.socket().say({ type: "path", call: call.id, via: "a_newer_way", text: "By carrier pigeon." });
  assert.equal(pathWords(call.state, call.path), "By carrier pigeon.");
  assert.deepEqual(seen, ["udp", "a_newer_way"]);
  assert.equal(call.state.name, "in_call");
  call.hangup();
  assert.equal(pathWords(call.state, call.path), "");
  assert.equal(pathWords(null, null), "");
});

test("the choice of the relay is kept, and the page's address goes before it", () => {
  /** @type {Map<string, string>} */
  const kept = new Map();
  const storage = () => ({ getItem: (/** @type {string} */ key) => kept.get(key) ?? null, setItem: (/** @type {string} */ key, /** @type {string} */ value) => void kept.set(key, value) });
  const none = () => {
    throw new Error("no storage");
  };
  assert.equal(loadRelay("", storage), false);
  assert.equal(loadRelay("?relay=1", storage), true);
  assert.equal(kept.size, 0);
  saveRelay(true, storage);
  assert.equal(loadRelay("", storage), true);
  assert.equal(loadRelay("?relay=0", storage), false);
  assert.equal(loadRelay("?relay=maybe", storage), true);
  saveRelay(false, storage);
  assert.equal(loadRelay("", storage), false);
  saveRelay(true, none);
  assert.equal(loadRelay("", none), false);
});
