// A gateway's socket, a clock and an RTCPeerConnection that do as they are told.

import { Client } from "../client/client.js";

/** Time that passes when it is told to. */
export class Clock {
  now = 1000;
  /** @type {{ at: number, run: () => void }[]} */
  #timers = [];

  setTimeout = (/** @type {() => void} */ run, /** @type {number} */ ms) => {
    const timer = { at: this.now + ms, run };
    this.#timers.push(timer);
    return timer;
  };

  clearTimeout = (/** @type {any} */ timer) => {
    this.#timers = this.#timers.filter((t) => t !== timer);
  };

  /** @param {number} ms */
  async pass(ms) {
    const until = this.now + ms;
    for (;;) {
      await settle();
      const next = this.#timers.filter((t) => t.at <= until).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((t) => t !== next);
      this.now = next.at;
      next.run();
    }
    this.now = until;
    await settle();
  }
}

/** Lets every promise that can go on do so. */
export const settle = () => new Promise((done) => setImmediate(done));

export class FakeSocket {
  readyState = 0;
  /** @type {any[]} */
  sent = [];
  /** @type {null | (() => void)} */
  onopen = null;
  /** @type {null | ((event: { data: unknown }) => void)} */
  onmessage = null;
  /** @type {null | (() => void)} */
  onclose = null;
  /** @type {number | undefined} */
  closed;

  open() {
    this.readyState = 1;
    this.onopen?.();
  }

  /** @param {string} text */
  send(text) {
    this.sent.push(JSON.parse(text));
  }

  /** @param {unknown} message */
  say(message) {
    this.onmessage?.({ data: typeof message === "string" ? message : JSON.stringify(message) });
  }

  fail() {
    this.readyState = 3;
    this.onclose?.();
  }

  /** @param {number} [code] */
  close(code) {
    this.readyState = 3;
    this.closed = code;
  }
}

export class FakeTrack {
  enabled = true;
  stopped = false;
  stop() {
    this.stopped = true;
  }
}

export class FakeStream {
  track = new FakeTrack();
  getTracks() {
    return [this.track];
  }
  getAudioTracks() {
    return [this.track];
  }
}

export class FakePeerConnection {
  signalingState = "stable";
  connectionState = "new";
  closed = false;
  offers = 0;
  /** @type {any[]} */
  remote = [];
  /** @type {any} */
  onicecandidate = null;
  /** @type {any} */
  onconnectionstatechange = null;
  /** @type {any} */
  ontrack = null;
  sender = {
    track: /** @type {any} */ (null),
    async replaceTrack(/** @type {any} */ track) {
      this.track = track;
    },
    dtmf: {
      canInsertDTMF: true,
      toneBuffer: "",
      insertDTMF(/** @type {string} */ tones) {
        this.toneBuffer = tones;
      },
    },
  };
  /** @param {RTCConfiguration} configuration */
  constructor(configuration) {
    this.configuration = configuration;
  }
  /** @param {any} track */
  addTrack(track) {
    this.sender.track = track;
    return this.sender;
  }
  getConfiguration() {
    return this.configuration;
  }
  /** @param {RTCConfiguration} configuration */
  setConfiguration(configuration) {
    this.configuration = configuration;
  }
  async createOffer(/** @type {{ iceRestart?: boolean }} */ { iceRestart = false } = {}) {
    this.offers += 1;
    return { type: "offer", sdp: `offer ${this.offers}${iceRestart ? " restart" : ""}` };
  }
  async setLocalDescription() {
    this.signalingState = "have-local-offer";
    if (this.offers === 1) this.candidate("candidate:early");
  }
  /** @param {any} description */
  async setRemoteDescription(description) {
    if (description.sdp === "nonsense") throw new Error("cannot parse");
    this.remote.push(description);
    this.signalingState = "stable";
  }
  /** @param {string | null} text */
  candidate(text) {
    this.onicecandidate?.({ candidate: text === null ? null : { candidate: text, sdpMid: "0" } });
  }
  /** @param {string} state */
  become(state) {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }
  close() {
    this.closed = true;
  }
}

export const WELCOME = { type: "welcome", session: "s1", version: 1, ice_servers: [], lab: [{ number: "echo", description: "hear yourself" }], trunk: false, sign_in: false };

/** A client with fakes all around. */
export function world({ credentials = /** @type {{ user: string, password: string } | undefined} */ (undefined), microphone = /** @type {any} */ (null) } = {}) {
  const clock = new Clock();
  /** @type {FakeSocket[]} */
  const sockets = [];
  /** @type {FakePeerConnection[]} */
  const peers = [];
  /** @type {FakeStream[]} */
  const streams = [];
  const client = new Client({
    url: "http://gateway.example/v1/signaling",
    ...(credentials ? { credentials } : {}),
    surroundings: {
      webSocket: () => {
        const socket = new FakeSocket();
        sockets.push(socket);
        return /** @type {any} */ (socket);
      },
      peerConnection: (configuration) => {
        const peer = new FakePeerConnection(configuration);
        peers.push(peer);
        return /** @type {any} */ (peer);
      },
      getUserMedia:
        microphone ??
        (async () => {
          const stream = new FakeStream();
          streams.push(stream);
          return /** @type {any} */ (stream);
        }),
      now: () => clock.now,
      random: () => 0.5,
      setTimeout: clock.setTimeout,
      clearTimeout: clock.clearTimeout,
    },
  });
  const last = (/** @type {any[]} */ list) => list[list.length - 1];
  return {
    client,
    clock,
    sockets,
    peers,
    streams,
    socket: () => /** @type {FakeSocket} */ (last(sockets)),
    peer: () => /** @type {FakePeerConnection} */ (last(peers)),
    /** Connected and welcomed. */
    async connected() {
      client.connect();
      last(sockets).open();
      last(sockets).say(WELCOME);
      await settle();
    },
    /** Calls, up to the offer. @param {string} to */
    async called(to) {
      const call = client.call(to);
      await settle();
      return call;
    },
    /** Calls, up to the conversation. @param {string} to */
    async talking(to) {
      const call = client.call(to);
      await settle();
      last(sockets).say({ type: "answer", call: call.id, sdp: "answer", provisional: true });
      await settle();
      last(peers).become("connected");
      last(sockets).say({ type: "accepted", call: call.id });
      return call;
    },
  };
}
