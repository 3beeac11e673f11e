// Records what a page hears: the samples that its remote <audio> element is given.

import { Buffer } from "node:buffer";

/** The rate of every recording, in samples a second. */
export const RATE = 48_000;

/**
 * Starts recording; waits for the remote stream, which comes with the answer.
 * @param {import("playwright-core").Page} page
 * @param {number} patience_ms
 */
export async function start(page, patience_ms) {
  await page.evaluate(startInPage, { rate: RATE, patience_ms });
}

/**
 * Stops recording and gives what was heard.
 * @param {import("playwright-core").Page} page
 * @returns {Promise<{ samples: Float32Array, started_at: number }>} `started_at` in the page's `performance.now()`
 */
export async function stop(page) {
  const { data, started_at } = await page.evaluate(stopInPage);
  const bytes = Buffer.from(data, "base64");
  const samples = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  return { samples, started_at };
}

/* Runs in the page. */
async function startInPage({ rate, patience_ms }) {
  if (globalThis.switchhookCapture) throw new Error("already recording");
  const audio = document.getElementById("remote");
  for (const until = performance.now() + patience_ms; !audio.srcObject; ) {
    if (performance.now() > until) throw new Error("no remote audio to record");
    await new Promise((done) => setTimeout(done, 10));
  }
  // Not an AudioWorklet: its script would have to come from the page's own origin.
  const [track] = audio.srcObject.getAudioTracks();
  const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 500 }).readable.getReader();
  const capture = { reader, blocks: [], started_at: performance.now(), stopped: false, fault: null };
  capture.finished = (async () => {
    while (!capture.stopped) {
      const { value, done } = await reader.read();
      if (done) break;
      const block = new Float32Array(value.numberOfFrames);
      value.copyTo(block, { planeIndex: 0, format: "f32-planar" });
      capture.blocks.push(atRate(block, value.sampleRate));
      value.close();
    }
  })();
  let last = 0;
  /** A decoded G.711 stream comes at 8000 samples a second: lines are drawn between them. */
  function atRate(block, given) {
    const times = rate / given;
    if (times === 1 || block.length === 0) return block;
    if (!Number.isInteger(times)) {
      capture.fault = `the browser gave ${given} samples a second`;
      return block;
    }
    const more = new Float32Array(block.length * times);
    block.forEach((sample, i) => {
      for (let part = 1; part <= times; part += 1) more[i * times + part - 1] = last + ((sample - last) * part) / times;
      last = sample;
    });
    return more;
  }
  globalThis.switchhookCapture = capture;
}

/* Runs in the page. */
async function stopInPage() {
  const capture = globalThis.switchhookCapture;
  if (!capture) throw new Error("not recording");
  delete globalThis.switchhookCapture;
  capture.stopped = true;
  await capture.reader.cancel();
  await capture.finished;
  if (capture.fault) throw new Error(capture.fault);
  const url = await new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(new Blob(capture.blocks, { type: "application/octet-stream" }));
  });
  return { data: url.slice(url.indexOf(",") + 1), started_at: capture.started_at };
}

/**
 * A WAV file (16 bit, mono), for a person to listen to.
 * @param {Float32Array} samples
 */
export function wav(samples) {
  const bytes = Buffer.alloc(44 + samples.length * 2);
  bytes.write("RIFF", 0);
  bytes.writeUInt32LE(36 + samples.length * 2, 4);
  bytes.write("WAVEfmt ", 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(1, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(RATE, 24);
  bytes.writeUInt32LE(RATE * 2, 28);
  bytes.writeUInt16LE(2, 32);
  bytes.writeUInt16LE(16, 34);
  bytes.write("data", 36);
  bytes.writeUInt32LE(samples.length * 2, 40);
  samples.forEach((sample, i) => bytes.writeInt16LE(Math.round(Math.max(-1, Math.min(1, sample)) * 32767), 44 + i * 2));
  return bytes;
}
