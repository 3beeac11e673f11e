// What is heard, in figures. Pure: samples in, figures out.
//
// Levels are RMS in dB below full scale: a full-scale square wave is 0 dBFS, a full-scale sine -3.01.

const FLOOR_DB = -120;
const DTMF_ROWS = [697, 770, 852, 941];
const DTMF_COLUMNS = [1209, 1336, 1477, 1633];
const DTMF_KEYS = ["123A", "456B", "789C", "*0#D"];

/** Below this a window counts as silence. */
export const SILENCE_DBFS = -60;

/**
 * @param {Float32Array} samples
 * @param {number} rate samples a second
 * @param {{ frequencies?: number[], window_ms?: number }} [options]
 */
export function analyse(samples, rate, { frequencies = [], window_ms } = {}) {
  const step = Math.max(1, Math.round((rate * 20) / 1000));
  const levels = windows(samples, step).map((w) => dbfs(power(w)));
  return {
    duration_ms: round((samples.length / rate) * 1000, 1),
    rms_dbfs: dbfs(power(samples)),
    peak_dbfs: dbfs(peak(samples) ** 2),
    silent_ms: levels.filter((db) => db < SILENCE_DBFS).length * 20,
    first_sound_ms: firstSound(levels),
    gaps: gaps(levels),
    ...dominant(samples, rate),
    frequencies: energies(samples, rate, frequencies),
    ...(window_ms ? { windows: overTime(samples, rate, window_ms, frequencies) } : {}),
    dtmf: dtmf(samples, rate),
  };
}

/** The power of one frequency (Goertzel, Hann window), as mean square of that component. */
export function goertzel(samples, rate, hz) {
  const n = samples.length;
  const omega = (2 * Math.PI * hz) / rate;
  const coefficient = 2 * Math.cos(omega);
  let [s1, s2, weights] = [0, 0, 0];
  for (let i = 0; i < n; i += 1) {
    const weight = 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / n);
    weights += weight;
    const s = samples[i] * weight + coefficient * s1 - s2;
    s2 = s1;
    s1 = s;
  }
  const amplitude2 = (4 * (s1 * s1 + s2 * s2 - coefficient * s1 * s2)) / (weights * weights || 1);
  return amplitude2 / 2;
}

/** The strongest frequency: averaged spectra, peak found between bins. */
export function dominant(samples, rate) {
  const size = Math.min(8192, 2 ** Math.floor(Math.log2(Math.max(2, samples.length))));
  if (samples.length < 256) return { dominant_hz: null, dominant_dbfs: FLOOR_DB };
  const spectrum = new Float64Array(size / 2);
  for (let at = 0; at + size <= samples.length; at += size / 2) addSpectrum(spectrum, samples.subarray(at, at + size));
  const lowest = Math.ceil((50 * size) / rate);
  let best = lowest;
  for (let i = lowest; i < spectrum.length - 1; i += 1) if (spectrum[i] > spectrum[best]) best = i;
  const [a, b, c] = [spectrum[best - 1], spectrum[best], spectrum[best + 1]].map((p) => Math.log(p + 1e-30));
  const shift = a - 2 * b + c === 0 ? 0 : (0.5 * (a - c)) / (a - 2 * b + c);
  const hz = ((best + shift) * rate) / size;
  const level = dbfs(mean(windows(samples, size).map((block) => goertzel(block, rate, hz))));
  return level < SILENCE_DBFS - 30 ? { dominant_hz: null, dominant_dbfs: level } : { dominant_hz: round(hz, 1), dominant_dbfs: level };
}

/** Keys heard, each with its time. */
export function dtmf(samples, rate) {
  const hop = Math.round(rate / 100);
  const size = hop * 2;
  const found = [];
  let current = null;
  for (let at = 0; at + size <= samples.length; at += hop) {
    const digit = dtmfDigit(samples.subarray(at, at + size), rate);
    const ms = (at / rate) * 1000;
    if (current && digit === current.digit) current.end_ms = ms + 20;
    else if (digit) {
      if (current) found.push(current);
      current = { digit, at_ms: ms, end_ms: ms + 20 };
    } else if (current && ms > current.end_ms + 20) {
      found.push(current);
      current = null;
    }
  }
  if (current) found.push(current);
  return found
    .map(({ digit, at_ms, end_ms }) => ({ digit, at_ms: round(at_ms, 1), duration_ms: round(end_ms - at_ms, 1) }))
    .filter(({ duration_ms }) => duration_ms >= 30);
}

function dtmfDigit(window, rate) {
  const total = power(window);
  if (dbfs(total) < -45) return null;
  const rows = DTMF_ROWS.map((hz) => goertzel(window, rate, hz));
  const columns = DTMF_COLUMNS.map((hz) => goertzel(window, rate, hz));
  const row = rows.indexOf(Math.max(...rows));
  const column = columns.indexOf(Math.max(...columns));
  const twist = Math.abs(10 * Math.log10(rows[row] / columns[column]));
  if (twist > 8 || rows[row] + columns[column] < 0.6 * total) return null;
  const clear = (list, best) => list.every((p, i) => i === best || p < list[best] / 4);
  return clear(rows, row) && clear(columns, column) ? DTMF_KEYS[row][column] : null;
}

/** @returns {Record<string, number>} the level of each frequency */
function energies(samples, rate, frequencies) {
  return Object.fromEntries(frequencies.map((hz) => [String(hz), dbfs(goertzel(samples, rate, hz))]));
}

function overTime(samples, rate, window_ms, frequencies) {
  const size = Math.round((rate * window_ms) / 1000);
  return windows(samples, size).map((window, i) => ({
    at_ms: i * window_ms,
    rms_dbfs: dbfs(power(window)),
    frequencies: energies(window, rate, frequencies),
  }));
}

function firstSound(levels) {
  const first = levels.findIndex((db) => db >= SILENCE_DBFS);
  return first < 0 ? null : first * 20;
}

/** Silences between sounds: how many, and the longest. */
function gaps(levels) {
  const loud = levels.map((db) => db >= SILENCE_DBFS);
  let [count, longest, run, heard] = [0, 0, 0, false];
  for (const sound of loud) {
    if (!sound) run += 1;
    else {
      if (heard && run > 0) {
        count += 1;
        longest = Math.max(longest, run);
      }
      heard = true;
      run = 0;
    }
  }
  return { count, longest_ms: longest * 20 };
}

function windows(samples, size) {
  const list = [];
  for (let at = 0; at + size <= samples.length; at += size) list.push(samples.subarray(at, at + size));
  return list;
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / (values.length || 1);
}

function power(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return samples.length ? sum / samples.length : 0;
}

function peak(samples) {
  let most = 0;
  for (const sample of samples) most = Math.max(most, Math.abs(sample));
  return most;
}

function dbfs(meanSquare) {
  return round(Math.max(FLOOR_DB, 10 * Math.log10(meanSquare + 1e-15)), 2);
}

function round(value, digits) {
  return Number(value.toFixed(digits));
}

/** Adds the power spectrum of one Hann-windowed block. */
function addSpectrum(spectrum, block) {
  const n = block.length;
  const re = new Float64Array(n);
  const im = new Float64Array(n);
  for (let i = 0; i < n; i += 1) re[i] = block[i] * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / n));
  transform(re, im);
  for (let i = 0; i < spectrum.length; i += 1) spectrum[i] += re[i] ** 2 + im[i] ** 2;
}

/** In-place radix-2 Fourier transform; the length is a power of two. */
function transform(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i += 1) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    const angle = (-2 * Math.PI) / size;
    for (let k = 0; k < size / 2; k += 1) {
      const [c, s] = [Math.cos(angle * k), Math.sin(angle * k)];
      for (let a = k; a < n; a += size) {
        const b = a + size / 2;
        const [tr, ti] = [re[b] * c - im[b] * s, re[b] * s + im[b] * c];
        [re[b], im[b]] = [re[a] - tr, im[a] - ti];
        re[a] += tr;
        im[a] += ti;
      }
    }
  }
}
