// Sound in the page: level meters both ways, and the tone that says it rings.

/** The quietest level that a meter shows, in dB below full scale. */
export const FLOOR_DB = -60;

/** The European ringing tone (ITU-T E.180): 425 Hz, one second in five. */
const RINGBACK = { hz: 425, on_s: 1, cycle_s: 5, gain: 0.06 };

export class Sound {
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {Map<string, { stream: MediaStream, source: MediaStreamAudioSourceNode, analyser: AnalyserNode, samples: Float32Array<ArrayBuffer> }>} */
  #meters = new Map();
  /** @type {{ oscillator: OscillatorNode, gain: GainNode } | null} */
  #ringback = null;

  /** To be called on a click or a key, else browsers keep it silent. */
  wake() {
    this.#context ??= new AudioContext();
    if (this.#context.state === "suspended") void this.#context.resume();
  }

  /**
   * Measures a stream under a name; `null` stops it.
   * @param {string} name
   * @param {MediaStream | null} stream
   */
  meter(name, stream) {
    const old = this.#meters.get(name);
    if (old?.stream === stream) return;
    old?.source.disconnect();
    this.#meters.delete(name);
    if (!stream || !this.#context || stream.getAudioTracks().length === 0) return;
    const source = this.#context.createMediaStreamSource(stream);
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = 1024;
    source.connect(analyser);
    this.#meters.set(name, { stream, source, analyser, samples: new Float32Array(analyser.fftSize) });
  }

  /**
   * The level now, in dB below full scale (RMS); `FLOOR_DB` for silence.
   * @param {string} name
   */
  level(name) {
    const meter = this.#meters.get(name);
    if (!meter) return FLOOR_DB;
    meter.analyser.getFloatTimeDomainData(meter.samples);
    let sum = 0;
    for (const sample of meter.samples) sum += sample * sample;
    const db = 10 * Math.log10(sum / meter.samples.length + 1e-12);
    return Math.max(FLOOR_DB, Math.min(0, db));
  }

  /** @param {boolean} ringing */
  ring(ringing) {
    if (!ringing) {
      this.#ringback?.oscillator.stop();
      this.#ringback?.gain.disconnect();
      this.#ringback = null;
    } else if (!this.#ringback && this.#context) {
      this.#ringback = startRingback(this.#context);
    }
  }

  /**
   * Where the ringing tone is heard.
   * @param {string} speaker a device id; `""` is the standard one
   */
  async useSpeaker(speaker) {
    const context = /** @type {(AudioContext & { setSinkId?: (id: string) => Promise<void> }) | null} */ (this.#context);
    await context?.setSinkId?.(speaker);
  }
}

/** @param {AudioContext} context */
function startRingback(context) {
  const oscillator = context.createOscillator();
  const gain = context.createGain();
  oscillator.frequency.value = RINGBACK.hz;
  gain.gain.value = 0;
  // Ten minutes of cadence: no call rings longer.
  for (let start = context.currentTime; start < context.currentTime + 600; start += RINGBACK.cycle_s) {
    gain.gain.setTargetAtTime(RINGBACK.gain, start, 0.01);
    gain.gain.setTargetAtTime(0, start + RINGBACK.on_s, 0.01);
  }
  oscillator.connect(gain).connect(context.destination);
  oscillator.start();
  return { oscillator, gain };
}
