import assert from "node:assert/strict";
import { test } from "node:test";
import { analyse } from "../analysis.mjs";

const RATE = 48_000;

/** Parts one after the other: each `{ ms, tones: [[hz, amplitude]] }`. */
function sound(...parts) {
  const lengths = parts.map(({ ms }) => Math.round((RATE * ms) / 1000));
  const samples = new Float32Array(lengths.reduce((a, b) => a + b, 0));
  let at = 0;
  parts.forEach(({ tones = [] }, i) => {
    for (let n = 0; n < lengths[i]; n += 1) {
      for (const [hz, amplitude] of tones) samples[at + n] += amplitude * Math.sin((2 * Math.PI * hz * n) / RATE);
    }
    at += lengths[i];
  });
  return samples;
}

const near = (actual, expected, tolerance) => assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not ${expected} ± ${tolerance}`);

/** A small generator, so that noise is the same each time. */
function noise(samples, amplitude) {
  let state = 1;
  return samples.map((sample) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return sample + amplitude * (state / 2 ** 31 - 1);
  });
}

test("a full-scale sine is 3 dB below full scale", () => {
  const figures = analyse(sound({ ms: 1000, tones: [[1004, 1]] }), RATE, { frequencies: [1004, 2000] });
  near(figures.rms_dbfs, -3.01, 0.02);
  near(figures.dominant_hz, 1004, 0.5);
  near(figures.dominant_dbfs, -3.01, 0.1);
  near(figures.frequencies["1004"], -3.01, 0.05);
  assert.ok(figures.frequencies["2000"] < -60);
  assert.equal(figures.silent_ms, 0);
});

test("the strongest frequency is found in noise", () => {
  const figures = analyse(noise(sound({ ms: 500, tones: [[440, 0.1], [3000, 0.03]] }), 0.05), RATE);
  near(figures.dominant_hz, 440, 1);
  near(figures.dominant_dbfs, -23, 0.5);
});

test("silence has no frequency and no keys", () => {
  const figures = analyse(new Float32Array(RATE), RATE);
  assert.equal(figures.dominant_hz, null);
  assert.equal(figures.first_sound_ms, null);
  assert.equal(figures.silent_ms, 1000);
  assert.deepEqual(figures.dtmf, []);
});

test("gaps between sounds are counted, the silence around them is not", () => {
  const tone = { ms: 200, tones: [[1000, 0.3]] };
  const figures = analyse(sound({ ms: 300 }, tone, { ms: 100 }, tone, { ms: 60 }, tone, { ms: 400 }), RATE);
  assert.equal(figures.first_sound_ms, 300);
  assert.deepEqual(figures.gaps, { count: 2, longest_ms: 100 });
});

test("every key is heard once, with its length", () => {
  const rows = [697, 770, 852, 941];
  const columns = [1209, 1336, 1477, 1633];
  const keys = ["123A", "456B", "789C", "*0#D"];
  const parts = keys.flatMap((line, r) => [...line].flatMap((_, c) => [{ ms: 100, tones: [[rows[r], 0.1], [columns[c], 0.15]] }, { ms: 60 }]));
  const { dtmf } = analyse(noise(sound({ ms: 50 }, ...parts), 0.005), RATE);
  assert.equal(dtmf.map(({ digit }) => digit).join(""), keys.join(""));
  for (const { duration_ms } of dtmf) near(duration_ms, 100, 25);
});

test("a key pressed twice is heard twice", () => {
  const five = { ms: 100, tones: [[770, 0.1], [1336, 0.1]] };
  const { dtmf } = analyse(sound({ ms: 50 }, five, { ms: 50 }, five, { ms: 50 }), RATE);
  assert.equal(dtmf.map(({ digit }) => digit).join(""), "55");
});

test("speech-like sound and single tones are no keys", () => {
  const vowel = [150, 300, 450, 600, 770, 1200, 1336, 2400].map((hz) => [hz, 0.08]);
  const { dtmf } = analyse(noise(sound({ ms: 500, tones: vowel }, { ms: 500, tones: [[1004, 0.3]] }, { ms: 300, tones: [[697, 0.3]] }), 0.02), RATE);
  assert.deepEqual(dtmf, []);
});

test("windows show how the level changes", () => {
  const { windows } = analyse(sound({ ms: 200 }, { ms: 200, tones: [[500, 0.5]] }), RATE, { window_ms: 100, frequencies: [500] });
  assert.deepEqual(windows.map(({ at_ms }) => at_ms), [0, 100, 200, 300]);
  assert.ok(windows[0].rms_dbfs < -100 && windows[3].frequencies["500"] > -10);
});
