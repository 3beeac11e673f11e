// The phone page in a real browser, against a stand-in for the gateway and the telephone.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import readline from "node:readline";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { Browser } from "../browser.mjs";
import { wav } from "../capture.mjs";
import { answer, MockGateway } from "../mock-gateway.mjs";

// Both browsers are on this machine: names of `.local` would have to be resolved between them.
const FLAGS = ["--disable-features=WebRtcHideLocalIpsWithMdns"];
const busy = { code: "busy", text: "The number is busy.", sip: 486, q850: 17 };
const normal = { code: "normal", text: "The call has ended.", sip: null, q850: 16 };

describe("the phone page", () => {
  const browser = new Browser();
  const { commands } = browser;
  let telephones;
  let gateway;
  let url;

  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), "switchhook-page-"));
    const tone = Float32Array.from({ length: 48_000 }, (_, n) => 0.3 * Math.sin((2 * Math.PI * 700 * n) / 48_000));
    await writeFile(join(folder, "700.wav"), wav(tone));
    await commands.launch({ args: FLAGS, fake_audio_file: join(folder, "700.wav") });
    telephones = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", ...FLAGS],
    });
  });

  after(async () => {
    await browser.close();
    await telephones.close();
  });

  beforeEach(async () => {
    gateway = new MockGateway();
    url = await gateway.listen();
  });

  afterEach(async () => {
    await commands.close_page({}).catch(() => {});
    await gateway.close();
  });

  /** A telephone behind the mock: rings, and answers when told. */
  async function telephone(plays) {
    const page = await telephones.newPage();
    await page.goto(url);
    let answered = Promise.resolve();
    const sent = { accept: () => {} };
    gateway.onMessage = (message, send) => {
      const { call } = message;
      if (message.type === "call") {
        sent.accept = () => send({ type: "accepted", call });
        answered = answer(page, message.sdp, plays).then((sdp) => {
          send({ type: "answer", call, sdp, provisional: true });
          send({ type: "ringing", call });
        });
      } else if (message.type === "candidate") {
        const candidate = { candidate: message.candidate, sdpMid: message.mid };
        void answered.then(() => page.evaluate((c) => globalThis.telephone.addIceCandidate(c), candidate));
      } else if (message.type === "hangup") {
        send({ type: "hangup", call, cause: normal });
      }
    };
    return sent;
  }

  /** The path once the page shows that text in that field. */
  async function shown(field, text) {
    for (const until = Date.now() + 5000; ; ) {
      const state = await commands.state({});
      if (state[field] === text) return { path: state.path, path_text: state.path_text };
      assert.ok(Date.now() < until, `the page shows ${JSON.stringify(state[field])}`);
      await new Promise((done) => setTimeout(done, 20));
    }
  }

  test("a call rings, is answered, is heard, and ends in words", async () => {
    const phone = await telephone([1004]);
    await commands.open({ url });
    await commands.dial({ number: "tone" });
    const ringing = await commands.wait_for_state({ state: "ringing" });
    assert.equal(ringing.text, "Ringing…");
    await commands.wait_for_mark({ mark: "media_connected" });
    phone.accept();
    const talking = await commands.wait_for_state({ state: "in_call" });
    assert.ok(talking.marks.offer_sent < talking.marks.answer_received);
    assert.ok(talking.marks.media_connected < talking.marks.accepted, "the media path is up before the answer");
    const heard = await commands.listen({ ms: 1000, frequencies: [1004, 1500] });
    assert.ok(Math.abs(heard.dominant_hz - 1004) < 2, `heard ${heard.dominant_hz} Hz`);
    assert.ok(heard.frequencies["1004"] > -25 && heard.frequencies["1500"] < -55, JSON.stringify(heard.frequencies));
    const { levels, quality } = await commands.state({});
    assert.ok(levels.in > -25 && levels.out > -30, JSON.stringify(levels));
    assert.match(quality, /Opus · loss 0\.0 %/);
    await commands.hangup({});
    const ended = await commands.wait_for_state({ state: "ended" });
    assert.equal(ended.text, "The call has ended.");
    assert.match(ended.detail, /^Talked 0:0\d/);
    assert.deepEqual(commands.log({}).errors, []);
  });

  test("what the microphone hears comes back from an echo, and not when muted", async () => {
    const phone = await telephone("echo");
    await commands.open({ url });
    await commands.lab({ number: "echo" });
    await commands.wait_for_mark({ mark: "media_connected" });
    phone.accept();
    await commands.wait_for_state({ state: "in_call" });
    await new Promise((done) => setTimeout(done, 500));
    const heard = await commands.listen({ ms: 1000 });
    assert.ok(Math.abs(heard.dominant_hz - 700) < 3, `heard ${heard.dominant_hz} Hz`);
    await commands.mute({});
    await new Promise((done) => setTimeout(done, 700));
    const muted = await commands.listen({ ms: 600 });
    assert.ok(muted.rms_dbfs < -60, `heard ${muted.rms_dbfs} dBFS`);
    assert.equal((await commands.state({})).muted, true);
  });

  test("a refusal is told in words, and the same number can be called again", async () => {
    gateway.onMessage = ({ type, call }, send) => type === "call" && send({ type: "hangup", call, cause: busy });
    await commands.open({ url });
    for (let i = 0; i < 2; i += 1) {
      await commands.dial({ number: "busy" });
      const ended = await commands.wait_for_state({ state: "ended" });
      assert.deepEqual([ended.text, ended.detail, ended.cause], ["The number is busy.", "SIP 486 · Q.850 17", busy]);
    }
  });

  test("the page says which way a call goes while it is up", async () => {
    const phone = await telephone([]);
    await commands.open({ url });
    await commands.dial({ number: "tone" });
    const { welcome } = await commands.wait_for_mark({ mark: "media_connected" });
    assert.deepEqual(welcome.ice_servers, []);
    phone.accept();
    await commands.wait_for_state({ state: "in_call" });
    const { call } = gateway.received.find((message) => message.type === "call");
    const text = "The call goes straight to the gateway, by UDP.";
    gateway.send({ type: "path", call, via: "udp", text });
    assert.deepEqual(await shown("path_text", text), { path: "udp", path_text: text });
    await commands.hangup({});
    await commands.wait_for_state({ state: "ended" });
    assert.equal((await commands.state({})).path_text, "");
  });

  test("a page can be told to use the relay alone: by its box, which is kept, or by its address", async () => {
    // Nobody listens there, and the offer leaves all the same.
    const ice_servers = [{ urls: ["stun:127.0.0.1:9"] }, { urls: ["turn:127.0.0.1:9?transport=udp", "turns:127.0.0.1:9?transport=tcp"], username: "1:a", credential: "c" }];
    gateway.welcome = { ...gateway.welcome, ice_servers };
    const configuration = "switchhook.call.peerConnection.getConfiguration()";
    const forced = async () => {
      await commands.dial({ number: "tone" });
      const { marks } = await commands.wait_for_mark({ mark: "offer_sent" });
      assert.ok(marks.offer_sent - marks.started < 2000, "at once");
      const { value } = await commands.eval({ expression: configuration });
      assert.equal(value.iceServers[1].urls.length, 2);
      await commands.hangup({});
      return value.iceTransportPolicy;
    };
    await commands.open({ url });
    assert.equal(await forced(), "all");
    await commands.eval({ expression: "document.querySelector('#relay').click()" });
    assert.equal(await forced(), "relay");
    await commands.reload({});
    await commands.wait_for_connection({});
    assert.equal((await commands.eval({ expression: "document.querySelector('#relay').checked" })).value, true);
    assert.equal(await forced(), "relay");
    await commands.close_page({});
    await commands.open({ url: `${url}?relay=0` });
    assert.equal(await forced(), "all");
    await commands.close_page({});
    await commands.open({ url: `${url}?relay=1` });
    assert.equal(await forced(), "relay");
    gateway.welcome = { ...gateway.welcome, ice_servers: [] };
    await commands.reload({});
    await commands.wait_for_connection({});
    await commands.dial({ number: "tone" });
    const ended = await commands.wait_for_state({ state: "ended" });
    assert.equal(ended.cause.code, "no_relay");
    assert.match(ended.text, /offers none/);
  });

  test("the keyboard alone can dial, press keys, mute and hang up", async () => {
    const phone = await telephone([]);
    await commands.open({ url });
    const type = async (...keys) => {
      for (const key of keys) await commands.keyboard({ key });
    };
    await type("1", "2", "#", "Enter");
    await commands.wait_for_mark({ mark: "media_connected" });
    phone.accept();
    await commands.wait_for_state({ state: "in_call" });
    await type("7", "*");
    assert.equal((await commands.state({})).detail, "Sent 7*");
    await type("Shift+Tab", "Shift+Tab", "Shift+Tab", "Space");
    assert.equal((await commands.state({})).muted, true);
    await type("Tab", "Tab", "Tab", "Enter");
    assert.equal((await commands.wait_for_state({ state: "ended" })).to, "12#");
  });

  test("keys type the number before a call, and go to the gateway where RTP cannot carry them", async () => {
    gateway.onMessage = ({ type, call }, send) => type === "call" && send({ type: "early", call });
    await commands.open({ url });
    await commands.press({ keys: "49*0", gap_ms: 0 });
    assert.equal((await commands.eval({ expression: "document.getElementById('number').value" })).value, "49*0");
    await commands.dial({ number: "early" });
    await commands.wait_for_state({ state: "early" });
    await commands.press({ keys: "5" });
    assert.equal((await commands.state({})).detail, "Sent 5");
    assert.deepEqual(gateway.received.filter(({ type }) => type === "dtmf").map(({ digits }) => digits), ["5"]);
  });

  test("a lost gateway ends the call in words and is found again", async () => {
    gateway.onMessage = ({ type, call }, send) => type === "call" && send({ type: "ringing", call });
    await commands.open({ url });
    await commands.dial({ number: "late" });
    await commands.wait_for_state({ state: "ringing" });
    gateway.drop();
    const ended = await commands.wait_for_state({ state: "ended" });
    assert.equal(ended.text, "The connection to the gateway was lost.");
    await commands.wait_for_connection({});
  });

  test("closing the page in a call tells the gateway", async () => {
    gateway.onMessage = ({ type, call }, send) => type === "call" && send({ type: "ringing", call });
    await commands.open({ url });
    await commands.dial({ number: "late" });
    await commands.wait_for_state({ state: "ringing" });
    await commands.reload({});
    await commands.wait_for_connection({});
    assert.equal(gateway.received.at(-1).type, "hangup");
  });

  test("nothing is cut off at 320 pixels", async () => {
    await commands.open({ url, viewport: { width: 320, height: 640 } });
    const { value } = await commands.eval({ expression: "document.documentElement.scrollWidth" });
    assert.equal(value, 320);
  });
});

test("the driver answers every line, good or bad, and ends with its input", async () => {
  const driver = spawn(process.execPath, [fileURLToPath(new URL("../driver.mjs", import.meta.url))], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((done) => driver.once("exit", done));
  const replies = readline.createInterface({ input: driver.stdout })[Symbol.asyncIterator]();
  const ask = async (line) => {
    driver.stdin.write(`${line}\n`);
    return JSON.parse((await replies.next()).value);
  };
  assert.equal((await ask("{")).ok, false);
  assert.match((await ask('{"id":1,"command":"constructor"}')).error, /no command/);
  assert.deepEqual(await ask('{"id":2,"command":"open","url":"http://127.0.0.1:1/"}'), { id: 2, ok: false, error: "launch the browser first" });
  const launched = await ask('{"id":3,"command":"launch"}');
  assert.ok(launched.ok && /^\d+\./.test(launched.version), JSON.stringify(launched));
  assert.deepEqual(await ask('{"id":4,"command":"kill"}'), { id: 4, ok: true });
  driver.stdin.end();
  assert.equal(await ended, 0);
});
