// One call: an RTCPeerConnection, the state it is in, and what both say to each other.

import { causeOf, openMicrophone, stop, words } from "./microphone.js";
import { DTMF_DIGITS } from "./protocol.js";
import { advance, end, localCause } from "./state.js";
import { quality, snapshot } from "./quality.js";

/** @typedef {import("./protocol.js").Cause} Cause */
/** @typedef {import("./protocol.js").CallMessage} CallMessage */
/** @typedef {import("./protocol.js").ClientMessage} ClientMessage */
/** @typedef {import("./protocol.js").ErrorMessage} ErrorMessage */
/** @typedef {import("./protocol.js").Incoming} Incoming */
/** @typedef {import("./state.js").CallState} CallState */
/** @typedef {import("./quality.js").Quality} Quality */
/** @typedef {import("./quality.js").Snapshot} Snapshot */

/**
 * What a call needs of its surroundings; tests bring their own.
 * @typedef {object} Surroundings
 * @property {(message: ClientMessage) => boolean} send false when there is no connection
 * @property {(configuration: RTCConfiguration) => RTCPeerConnection} peerConnection
 * @property {(constraints: MediaStreamConstraints) => Promise<MediaStream>} getUserMedia
 * @property {() => RTCIceServer[]} iceServers the gateway's, with credentials that are good now
 * @property {() => boolean} mustSignIn the gateway is for users, and nobody is signed in yet
 * @property {() => number} now milliseconds
 * @property {(run: () => void, ms: number) => unknown} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/**
 * @typedef {object} CallOptions
 * @property {MediaTrackConstraints} [audio] for the microphone
 * @property {RTCIceServer[]} [iceServers] in place of the gateway's own
 * @property {boolean} [forceRelay] the media goes through a relay (TURN), even where it would get through without
 * @property {Record<string, string>} [headers] for the telephone, where the trunk takes them
 */

/**
 * Moments of a call, in `performance.now()` milliseconds.
 * @typedef {Partial<Record<"started" | "microphone" | "offer_sent" | "answer_received" | "answer_applied" | "media_connected" | "ringing" | "early" | "accepted" | "ended", number>>} Marks
 */

/** How long a pressed key sounds, and the pause after it, in milliseconds. */
const DIGIT_MS = 160;
const DIGIT_GAP_MS = 80;
/** How long the media path may take to come up, and to come back after a restart. */
const MEDIA_UP_MS = 15_000;
/** How long a broken path may mend itself before ICE is restarted. */
const MEND_MS = 4_000;
const MAX_ICE_RESTARTS = 3;
/** Fields that an offer does not have. */
const OTHER_FIELDS = new Set(["candidate", "mid", "digits", "duration_ms", "with"]);

/** @param {RTCIceServer[]} servers */
function hasRelay(servers) {
  return servers.some(({ urls }) => [urls].flat().some((url) => /^turns?:/i.test(url)));
}

/**
 * A call. Its events, each a `CustomEvent`:
 * * `state`: `detail` is the new `CallState`;
 * * `track`: `detail` is the remote `MediaStream`, to be given to an `<audio>` element;
 * * `audio`: `detail` is `{ trouble, text }`, what keeps one side from hearing the other, or null when nothing does any more;
 * * `path`: `detail` is `{ via, text }`, which way the media goes from now on, as `path` has it;
 * * `hold`: `detail` is `{ here, there }`, who holds whom now;
 * * `transfer`: `detail` is `{ state, text, to, name }`, how far a transfer of this call is; with `done` it is with somebody else now;
 * * `dtmf`: `detail` is `{ digit, duration_ms }`, a key that the phone pressed;
 * * `notice`: `detail` is a sentence for people: something went wrong, the call goes on.
 */
export class Call extends EventTarget {
  /** @type {CallState} */
  #state = { name: "preparing" };
  /** @type {RTCPeerConnection | null} */
  #pc = null;
  /** @type {MediaStream | null} */
  #microphone = null;
  /** @type {MediaStream | null} */
  #remote = null;
  /** @type {RTCRtpSender | null} */
  #sender = null;
  /** @type {ClientMessage[]} candidates found before the offer was sent */
  #waiting = [];
  #offered = false;
  #muted = false;
  #held = { here: false, there: false };
  /** @type {{ via: string, text: string } | null} */
  #path = null;
  /** @type {string | null} whom it is with, since somebody has transferred it */
  #party = null;
  #restarts = 0;
  /** @type {unknown} */
  #mediaTimer = null;
  /** @type {Promise<void>} descriptions are applied one after the other */
  #descriptions = Promise.resolve();
  /** @type {Snapshot | null} */
  #snapshot = null;
  #surroundings;
  #options;

  /**
   * @param {string} id
   * @param {string} to
   * @param {CallOptions} options
   * @param {Surroundings} surroundings
   * @param {Incoming | null} incoming what the gateway said of it, where a telephone calls
   */
  constructor(id, to, options, surroundings, incoming = null) {
    super();
    /** The name of the call in the protocol. */
    this.id = id;
    /** Whom it calls; the number that was called, where a telephone calls. */
    this.to = to;
    /** Who calls, where a telephone does: a number, and a name, as far as they are told; and whether the number is his, where somebody looked. */
    this.caller = incoming && { number: incoming.from, name: incoming.name, verification: incoming.verification };
    /** Headers of a telephone's call that the gateway lets through. */
    this.headers = incoming?.headers ?? {};
    if (incoming) this.#state = { name: "incoming" };
    /** @type {Marks} */
    this.marks = { started: surroundings.now() };
    /** Digits the phone has pressed. */
    this.receivedDigits = "";
    this.#options = options;
    this.#surroundings = surroundings;
  }

  get state() {
    return this.#state;
  }

  /** @returns {boolean} */
  get ended() {
    return this.#state.name === "ended";
  }

  /** Why it ended, once it has. */
  get cause() {
    return this.#state.name === "ended" ? this.#state.cause : null;
  }

  /** What the microphone gives, while the call lasts. */
  get microphone() {
    return this.#microphone;
  }

  /** What the phone sends, once there is something. */
  get remoteStream() {
    return this.#remote;
  }

  /** For those who want to look closer. */
  get peerConnection() {
    return this.#pc;
  }

  get muted() {
    return this.#muted;
  }

  /** Who holds whom: `here` is this side holding the telephone. */
  get held() {
    return this.#held;
  }

  /**
   * Which way its media goes, once that is known; a `path` event says that it is another. `via` is `udp`, `ice_tcp`,
   * `turn_udp`, `turn_tcp` or `turn_tls`, `text` the same for people.
   */
  get path() {
    return this.#path;
  }

  /**
   * Puts the telephone on hold, or takes it back; a `hold` event says that it is so.
   * @param {boolean} held
   */
  hold(held) {
    if (this.#state.name === "in_call") this.#send({ type: "hold", call: this.id, held });
  }

  /**
   * Gives the telephone to somebody else: to a number, or to the telephone of another call. What becomes of it, `transfer`
   * events say; where it works, this call ends with the cause `transferred`.
   * @param {string | Call} to
   */
  transfer(to) {
    if (this.#state.name !== "in_call") return;
    if (typeof to === "string") this.#send({ type: "transfer", call: this.id, to });
    else this.#send({ type: "transfer", call: this.id, with: to.id });
  }

  /** @param {boolean} muted */
  set muted(muted) {
    this.#muted = muted;
    for (const track of this.#microphone?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  /** The other side, in a word. */
  get peer() {
    if (this.#party !== null) return this.#party;
    return this.caller === null ? this.to : (this.caller.name ?? this.caller.number ?? "unknown number");
  }

  /**
   * Takes a call that comes in.
   * @param {CallOptions} [options]
   */
  async accept(options = {}) {
    if (this.#state.name !== "incoming") return;
    this.#options = { ...this.#options, ...options };
    this.#move({ name: "preparing" });
    await this.start();
  }

  /**
   * Refuses a call that comes in.
   * @param {"declined" | "busy"} [reason] `busy` leaves the user's other devices ringing
   */
  reject(reason = "declined") {
    if (!this.caller || this.#offered || this.ended) return;
    this.#refuse(reason, localCause("rejected"));
  }

  /** Asks for the microphone and sends the offer. Errors end the call with a cause. */
  async start() {
    // Whoever has placed the call listens by then.
    await null;
    if (this.ended) return;
    // Without a relay there would be no way at all, and nothing to say so. Who is not signed in is told that instead, by the gateway.
    if (this.#options.forceRelay && !hasRelay(this.#iceServers()) && !this.#surroundings.mustSignIn()) return this.#abandon(localCause("no_relay"));
    try {
      this.#microphone = await openMicrophone(this.#surroundings.getUserMedia, this.#options.audio ?? {});
    } catch (error) {
      return this.#abandon(causeOf(error));
    }
    if (this.ended) return stop(this.#microphone);
    this.marks.microphone = this.#surroundings.now();
    this.muted = this.#muted;
    try {
      await this.#offer();
    } catch (error) {
      this.#abandon(causeOf(error));
    }
  }

  /** Ends the call; cancels it while it rings. */
  hangup() {
    if (this.ended) return;
    if (this.caller && !this.#offered) return this.reject();
    this.#abandon(localCause(this.#state.name === "in_call" ? "normal" : "cancelled"));
  }

  /**
   * Presses keys. They travel as RTP telephone-events (RFC 4733) where the media path can carry
   * them, else as a message.
   * @param {string} digits `0`-`9`, `A`-`D`, `*`, `#`
   * @returns {"rtp" | "message" | null} how they went; `null` when they could not
   */
  sendDigits(digits) {
    const tones = digits.toUpperCase();
    if (!DTMF_DIGITS.test(tones) || !this.#offered || this.ended) return null;
    const dtmf = this.#sender?.dtmf;
    if (dtmf?.canInsertDTMF && this.#pc?.connectionState === "connected") {
      // insertDTMF replaces what is still to be played.
      dtmf.insertDTMF(dtmf.toneBuffer + tones, DIGIT_MS, DIGIT_GAP_MS);
      return "rtp";
    }
    return this.#send({ type: "dtmf", call: this.id, digits: tones, duration_ms: DIGIT_MS }) ? "message" : null;
  }

  /**
   * Takes another microphone, in the midst of the call.
   * @param {MediaTrackConstraints} audio
   */
  async useMicrophone(audio) {
    if (this.ended || !this.#sender) return;
    const stream = await openMicrophone(this.#surroundings.getUserMedia, audio);
    const old = this.#microphone;
    if (this.ended) return stop(stream);
    this.#microphone = stream;
    this.muted = this.#muted;
    await this.#sender.replaceTrack(stream.getAudioTracks()[0] ?? null);
    stop(old);
    this.#changed();
  }

  /**
   * How the call sounds now; the fractions are since the last time this was asked.
   * @returns {Promise<Quality | null>}
   */
  async quality() {
    if (!this.#pc || this.ended) return null;
    const report = await this.#pc.getStats();
    const now = snapshot(/** @type {any} */ (report), this.#surroundings.now());
    const before = this.#snapshot;
    this.#snapshot = now;
    return quality(before, now);
  }

  /**
   * A message of the gateway about this call.
   * @param {CallMessage} message
   */
  handleMessage(message) {
    const now = this.#surroundings.now();
    switch (message.type) {
      case "answer":
        return this.#handleAnswer(message.sdp);
      case "dtmf":
        this.receivedDigits += message.digit;
        return this.#emit("dtmf", { digit: message.digit, duration_ms: message.duration_ms });
      case "hold":
        this.#held = { here: message.here, there: message.there };
        return this.#emit("hold", this.#held);
      case "transfer":
        if (message.state === "done") this.#party = message.name ?? message.to ?? "unknown number";
        return this.#emit("transfer", { state: message.state, text: message.text, to: message.to, name: message.name });
      case "audio":
        return this.#emit("audio", { trouble: message.trouble, text: message.text });
      case "path":
        this.#path = { via: message.via, text: message.text };
        return this.#emit("path", this.#path);
      case "hangup":
        return this.#finish(message.cause);
      default:
        this.marks[message.type] ??= now;
        return this.#move(advance(this.#state, message, now));
    }
  }

  /**
   * The gateway could not take a message of this call. Before it has answered the offer, that was
   * the offer, unless the field at fault is one of another message.
   * @param {ErrorMessage} error
   */
  handleError(error) {
    const unknown = error.code === "unknown_call";
    const ofTheOffer = this.marks.answer_received === undefined && !OTHER_FIELDS.has(error.field ?? "");
    if (!unknown && !ofTheOffer) return this.#emit("notice", `The gateway could not take a message: ${error.text}.`);
    const cause = { code: error.code, text: `The gateway could not take the call: ${error.text}.` };
    if (unknown) this.#finish(cause);
    else if (this.caller) this.#refuse("busy", cause);
    else this.#abandon(cause);
  }

  /** The connection to the gateway is gone, and the call with it. */
  handleConnectionLost() {
    this.#finish(localCause("connection_lost"));
  }

  #iceServers() {
    return this.#options.iceServers ?? this.#surroundings.iceServers();
  }

  async #offer() {
    const iceServers = this.#iceServers();
    const iceTransportPolicy = this.#options.forceRelay ? "relay" : "all";
    const pc = this.#surroundings.peerConnection({ iceServers, iceTransportPolicy, bundlePolicy: "max-bundle" });
    this.#pc = pc;
    pc.onicecandidate = ({ candidate }) => this.#handleCandidate(candidate);
    pc.onconnectionstatechange = () => this.#handleConnectionState(pc.connectionState);
    pc.ontrack = ({ track, streams }) => {
      this.#remote = streams[0] ?? new MediaStream([track]);
      this.#emit("track", this.#remote);
    };
    const microphone = /** @type {MediaStream} */ (this.#microphone);
    const track = microphone.getAudioTracks()[0];
    if (!track) return this.#abandon(localCause("microphone_missing"));
    this.#sender = pc.addTrack(track, microphone);
    const offer = await pc.createOffer();
    await pc.setLocalDescription(offer);
    if (this.ended) return;
    // The offer leaves before any candidate is known; they follow as they are found.
    const sdp = offer.sdp ?? "";
    const sent = this.caller
      ? this.#send({ type: "accept", call: this.id, sdp })
      : this.#send({ type: "call", call: this.id, to: this.to, sdp, ...this.#headers() });
    if (!sent) {
      return this.#finish(localCause("not_connected"));
    }
    this.marks.offer_sent = this.#surroundings.now();
    this.#offered = true;
    this.#waiting.splice(0).forEach((message) => this.#send(message));
    this.#move({ name: "connecting" });
  }

  #headers() {
    const { headers } = this.#options;
    return headers && Object.keys(headers).length > 0 ? { headers } : {};
  }

  /** @param {RTCIceCandidate | null} candidate */
  #handleCandidate(candidate) {
    /** @type {ClientMessage} */
    const message = candidate?.candidate
      ? { type: "candidate", call: this.id, candidate: candidate.candidate, mid: candidate.sdpMid ?? "0" }
      : { type: "end_of_candidates", call: this.id };
    // An empty candidate ends one generation; the null one after it says the same again.
    if (candidate !== null && !candidate.candidate) return;
    if (this.#offered) this.#send(message);
    else this.#waiting.push(message);
  }

  /** @param {string} sdp */
  #handleAnswer(sdp) {
    this.marks.answer_received ??= this.#surroundings.now();
    this.#inTurn(async (pc) => {
      // The SDP of an offer's answer never changes: the final one after the provisional one is no news.
      if (pc.signalingState !== "have-local-offer") return;
      // `answer`, not `pranswer`: the media path comes up at once, and while the phone rings the
      // gateway simply has nothing to send yet.
      await pc.setRemoteDescription({ type: "answer", sdp });
      this.marks.answer_applied ??= this.#surroundings.now();
      if (this.marks.media_connected === undefined) this.#expectMedia(MEDIA_UP_MS, () => this.#abandon(localCause("media_failed")));
    });
  }

  /** @param {RTCPeerConnectionState} state */
  #handleConnectionState(state) {
    if (this.ended) return;
    if (state === "connected") {
      this.marks.media_connected ??= this.#surroundings.now();
      this.#clearMediaTimer();
      this.#restarts = 0;
    } else if (state === "failed") {
      if (this.marks.media_connected === undefined) this.#abandon(localCause("media_failed"));
      else this.#restartIce();
    } else if (state === "disconnected") {
      this.#expectMedia(MEND_MS, () => this.#restartIce());
    }
  }

  #restartIce() {
    if (this.#restarts === MAX_ICE_RESTARTS) return this.#abandon(localCause("media_lost"));
    this.#restarts += 1;
    this.#expectMedia(MEDIA_UP_MS, () => this.#restartIce());
    this.#inTurn(async (pc) => {
      // Credentials may have ended since the call began. While the gateway is being reconnected to there are no others.
      const iceServers = this.#iceServers();
      if (iceServers.length > 0) pc.setConfiguration({ ...pc.getConfiguration(), iceServers });
      const offer = await pc.createOffer({ iceRestart: true });
      await pc.setLocalDescription(offer);
      this.#send({ type: "offer", call: this.id, sdp: offer.sdp ?? "" });
    });
  }

  /**
   * @param {number} ms
   * @param {() => void} otherwise
   */
  #expectMedia(ms, otherwise) {
    this.#clearMediaTimer();
    this.#mediaTimer = this.#surroundings.setTimeout(otherwise, ms);
  }

  #clearMediaTimer() {
    this.#surroundings.clearTimeout(this.#mediaTimer);
    this.#mediaTimer = null;
  }

  /** @param {(pc: RTCPeerConnection) => Promise<void>} step */
  #inTurn(step) {
    this.#descriptions = this.#descriptions.then(async () => {
      if (this.ended || !this.#pc) return;
      try {
        await step(this.#pc);
      } catch (error) {
        // Closing the connection makes the step fail: that is no news.
        if (!this.ended) this.#abandon(localCause("media_failed", words(error)));
      }
    });
  }

  /**
   * Ends the call from this side.
   * @param {Cause} cause
   */
  #abandon(cause) {
    if (this.ended) return;
    // What this device cannot take still rings on the others.
    if (this.caller && !this.#offered) return this.#refuse("busy", cause);
    if (this.#offered) this.#send({ type: "hangup", call: this.id });
    this.#finish(cause);
  }

  /**
   * Refuses a call that comes in.
   * @param {"declined" | "busy"} reason
   * @param {Cause} cause
   */
  #refuse(reason, cause) {
    this.#send({ type: "reject", call: this.id, reason });
    this.#finish(cause);
  }

  /** @param {Cause} cause */
  #finish(cause) {
    const first = !this.ended;
    const now = this.#surroundings.now();
    this.marks.ended ??= now;
    if (first) {
      this.#clearMediaTimer();
      stop(this.#microphone);
      if (this.#pc) {
        this.#pc.onicecandidate = this.#pc.onconnectionstatechange = this.#pc.ontrack = null;
        this.#pc.close();
      }
    }
    this.#move(end(this.#state, cause, now));
  }

  /** @param {CallState} state */
  #move(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.#changed();
  }

  #changed() {
    this.#emit("state", this.#state);
  }

  /** @param {ClientMessage} message */
  #send(message) {
    return this.#surroundings.send(message);
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
