// A stand-in for the gateway, for the page's own tests: it serves the page and speaks
// `switchhook.v1`, while an RTCPeerConnection in another page plays the telephone.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const WEB = fileURLToPath(new URL("../../web", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml" };

export class MockGateway {
  /** Messages received, in order. */
  received = [];
  /** Called with each message and a function that sends one back. */
  onMessage = (_message, _send) => {};
  welcome = { type: "welcome", session: "mock", version: 1, ice_servers: [], lab: LAB, trunk: false };
  #sockets = new Set();
  #server = createServer((request, response) => void serve(request, response));

  constructor() {
    this.#server.on("upgrade", (request, socket) => this.#upgrade(request, socket));
  }

  /** @returns {Promise<string>} the page's address */
  async listen(port = 0) {
    await new Promise((done) => this.#server.listen(port, "127.0.0.1", done));
    return `http://127.0.0.1:${this.#server.address().port}/`;
  }

  /** Sends to every session. */
  send(message) {
    for (const socket of this.#sockets) socket.write(frame(JSON.stringify(message)));
  }

  /** Cuts every session off, as a crash would. */
  drop() {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close() {
    this.drop();
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  #upgrade(request, socket) {
    const { "sec-websocket-key": key, "sec-websocket-protocol": protocols = "" } = request.headers;
    if (request.url !== "/v1/signaling" || !protocols.split(/,\s*/).includes("switchhook.v1")) return socket.destroy();
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: switchhook.v1\r\n\r\n`);
    this.#sockets.add(socket);
    const send = (message) => socket.write(frame(JSON.stringify(message)));
    let buffer = Buffer.alloc(0);
    socket.on("data", (bytes) => {
      buffer = takeFrames(Buffer.concat([buffer, bytes]), (text) => {
        const message = JSON.parse(text);
        this.received.push(message);
        this.onMessage(message, send);
      }, () => socket.end());
    });
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    send(this.welcome);
  }
}

const LAB = [
  { number: "echo", description: "hear yourself" },
  { number: "tone", description: "a steady 1004 Hz tone" },
  { number: "dtmf", description: "reads your keys back as tones" },
  { number: "early", description: "sound first, an answer after five seconds" },
  { number: "late", description: "rings for ten seconds, then answers" },
  { number: "busy", description: "is always busy" },
  { number: "reject", description: "declines the call" },
  { number: "noanswer", description: "rings, and nobody answers" },
  { number: "hangup", description: "answers, and hangs up after five seconds" },
];

async function serve(request, response) {
  const [asked] = request.url.split("?");
  const path = asked === "/" ? "/phone/index.html" : normalize(asked);
  try {
    if (!/^\/(phone|client)\//.test(path)) throw new Error("not ours");
    const body = await readFile(join(WEB, path));
    response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream", "x-content-type-options": "nosniff" });
    response.end(body);
  } catch {
    response.writeHead(404).end("not found");
  }
}

/** A text frame of a server (RFC 6455 §5.2): unmasked. */
function frame(text) {
  const payload = Buffer.from(text);
  const head = payload.length < 126 ? Buffer.from([0x81, payload.length]) : Buffer.from([0x81, 126, payload.length >> 8, payload.length & 255]);
  return Buffer.concat([head, payload]);
}

/** Takes the whole frames off the front; gives what is left. */
function takeFrames(buffer, onText, onClose) {
  while (buffer.length >= 6) {
    const opcode = buffer[0] & 15;
    let length = buffer[1] & 127;
    let at = 2;
    if (length === 126) {
      length = buffer.readUInt16BE(2);
      at = 4;
    }
    if (buffer.length < at + 4 + length) break;
    const mask = buffer.subarray(at, at + 4);
    const payload = Buffer.from(buffer.subarray(at + 4, at + 4 + length).map((byte, i) => byte ^ mask[i % 4]));
    buffer = buffer.subarray(at + 4 + length);
    if (opcode === 1) onText(payload.toString());
    else if (opcode === 8) onClose();
  }
  return buffer;
}

/**
 * The telephone: answers an offer from a page of its own. `plays` is `echo`, a list of frequencies
 * to sound together, or nothing.
 * @param {import("playwright-core").Page} page
 */
export function answer(page, sdp, plays) {
  return page.evaluate(answerInPage, { sdp, plays });
}

/* Runs in the page. */
async function answerInPage({ sdp, plays }) {
  const pc = new RTCPeerConnection();
  globalThis.telephone = pc;
  globalThis.tonesHeard = [];
  const context = new AudioContext({ sampleRate: 48000 });
  const out = context.createMediaStreamDestination();
  await pc.setRemoteDescription({ type: "offer", sdp });
  const [transceiver] = pc.getTransceivers();
  transceiver.direction = "sendrecv";
  if (plays === "echo") {
    const stream = new MediaStream([transceiver.receiver.track]);
    // A remote track is played only where an element takes it.
    const element = new Audio();
    element.srcObject = stream;
    element.muted = true;
    void element.play();
    context.createMediaStreamSource(stream).connect(out);
  } else {
    for (const hz of plays ?? []) {
      const oscillator = context.createOscillator();
      const gain = context.createGain();
      oscillator.frequency.value = hz;
      gain.gain.value = 0.2;
      oscillator.connect(gain).connect(out);
      oscillator.start();
    }
  }
  await transceiver.sender.replaceTrack(out.stream.getAudioTracks()[0]);
  await pc.setLocalDescription(await pc.createAnswer());
  while (pc.iceGatheringState !== "complete") await new Promise((done) => setTimeout(done, 5));
  return pc.localDescription.sdp;
}
