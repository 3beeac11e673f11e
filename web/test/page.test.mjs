import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { dialable, readMessage } from "../client/protocol.js";
import { quality, snapshot } from "../client/quality.js";
import { clock, connectionWords, detailWords, labWords, qualityWords, stateWords } from "../phone/words.js";

test("a telephone number is dialled without its spacing, a name as it is", () => {
  assert.equal(dialable(" +49 (30) 12-34 / 5.6 "), "+4930123456");
  assert.equal(dialable("echo "), "echo");
  assert.equal(dialable("sip:anna-lena@example.org"), "sip:anna-lena@example.org");
  assert.equal(dialable("*21#"), "*21#");
  assert.equal(dialable("  "), "");
  assert.equal(dialable("-"), "-");
});

test("a lab number may come with a description or without", () => {
  const welcome = readMessage(JSON.stringify({ type: "welcome", session: "s", version: 1, ice_servers: [{ urls: ["turn:x"], username: "u", credential: "c" }], lab: ["echo", { number: "tone", description: "a tone" }], trunk: true }));
  assert.ok(welcome?.type === "welcome");
  assert.deepEqual(welcome.lab.map(labWords), ["hear yourself", "a tone"]);
  assert.deepEqual(welcome.ice_servers, [{ urls: ["turn:x"], username: "u", credential: "c" }]);
});

test("every state has its words", () => {
  assert.equal(stateWords(null, ""), "Ready");
  assert.equal(stateWords({ name: "connecting" }, "echo"), "Calling echo…");
  assert.equal(stateWords({ name: "ended", answered_ms: 0, cause: { code: "busy", text: "The number is busy." } }, "x"), "The number is busy.");
  assert.equal(detailWords({ name: "ended", answered_ms: 65_000, cause: { code: "normal", text: "", sip: 200, q850: 16 } }, "1", "2"), "Talked 1:05 · SIP 200 · Q.850 16");
  assert.equal(detailWords({ name: "in_call", since: 0 }, "12#", "5"), "Sent 12# · Received 5");
  assert.equal(connectionWords({ name: "waiting", attempt: 0, until: 0 }), "The connection to the gateway was lost");
  assert.equal(connectionWords({ name: "waiting", attempt: 2, until: 0 }), "The gateway cannot be reached");
});

test("a clock shows hours only when there are any", () => {
  assert.deepEqual([0, 9_999, 61_000, 3_600_000, 36_061_000].map(clock), ["0:00", "0:09", "1:01", "1:00:00", "10:01:01"]);
});

/** @param {Record<string, number>} inbound */
function report(inbound) {
  return new Map(
    Object.entries({
      t: { type: "transport", selectedCandidatePairId: "p" },
      p: { type: "candidate-pair", currentRoundTripTime: 0.012 },
      c: { type: "codec", mimeType: "audio/opus", clockRate: 48000 },
      i: { type: "inbound-rtp", kind: "audio", codecId: "c", jitter: 0.004, ...inbound },
    }),
  );
}

test("quality is told of the last second, not of the whole call", () => {
  const before = snapshot(report({ packetsReceived: 1000, packetsLost: 500 }), 0);
  const after = snapshot(report({ packetsReceived: 1049, packetsLost: 501 }), 1000);
  const now = quality(before, after);
  assert.equal(now.loss, 0.02);
  assert.equal(now.word, "fair");
  assert.equal(qualityWords(now), "Fair · Opus · loss 2.0 % · jitter 4 ms · round trip 12 ms");
});

test("a late packet taken off the count of lost ones is no negative loss", () => {
  const before = snapshot(report({ packetsReceived: 100, packetsLost: 5 }), 0);
  const after = snapshot(report({ packetsReceived: 150, packetsLost: 2 }), 1000);
  assert.equal(quality(before, after).loss, 0);
});

test("before the first packet there is nothing to judge", () => {
  const now = quality(null, snapshot(new Map(), 0));
  assert.equal(now.loss, null);
  assert.equal(qualityWords(now), "Good");
});

test("the page has no inline script or style and no host but its own", async () => {
  const html = await readFile(new URL("../phone/index.html", import.meta.url), "utf8");
  assert.doesNotMatch(html, /\sstyle=|<style|\son[a-z]+=|https?:\/\//);
  assert.doesNotMatch(html, /<script(?![^>]*\ssrc=)/);
});

test("every file that a page loads is named in the README's list", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  for (const folder of ["phone", "client"]) {
    for (const name of await readdir(new URL(`../${folder}`, import.meta.url))) assert.ok(readme.includes(`${folder}/${name}`), `${folder}/${name}`);
  }
});
