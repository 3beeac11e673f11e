// The session with the gateway: one WebSocket, kept up, and the calls on it.

import { Call } from "./call.js";
import { ProtocolError, readMessage, SUBPROTOCOL } from "./protocol.js";

/** @typedef {import("./protocol.js").ClientMessage} ClientMessage */
/** @typedef {import("./protocol.js").Welcome} Welcome */
/** @typedef {import("./protocol.js").Authenticated} Authenticated */
/** @typedef {import("./protocol.js").Incoming} Incoming */
/** @typedef {import("./protocol.js").Person} Person */
/** @typedef {import("./call.js").CallOptions} CallOptions */

/**
 * One variant a state.
 * * `idle`: not asked to connect.
 * * `connecting`: on the way, up to the welcome.
 * * `open`: the gateway has said welcome.
 * * `waiting`: it could not be reached, or was lost; the next attempt is at `until`
 *   (`performance.now()` milliseconds).
 * @typedef {(
 *   | { name: "idle" }
 *   | { name: "connecting", attempt: number }
 *   | { name: "open", welcome: Welcome }
 *   | { name: "waiting", attempt: number, until: number }
 * )} Connection
 */

/** A name and its password, or a signed token. @typedef {{ user: string, password: string } | { token: string }} Credentials */

/**
 * @typedef {object} ClientOptions
 * @property {string | URL} url `ws:` or `wss:`; an `http:` address is turned into one
 * @property {Credentials} [credentials] who signs in
 * @property {boolean} [forceRelay] calls go through the gateway's relay (TURN), even where they would get through without
 * @property {Partial<Surroundings>} [surroundings] for tests
 */

/**
 * @typedef {object} Surroundings
 * @property {(url: string, protocol: string) => WebSocket} webSocket
 * @property {(configuration: RTCConfiguration) => RTCPeerConnection} peerConnection
 * @property {(constraints: MediaStreamConstraints) => Promise<MediaStream>} getUserMedia
 * @property {() => number} now milliseconds
 * @property {() => number} random 0 to 1
 * @property {(run: () => void, ms: number) => unknown} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/** How long the gateway may take from the socket's opening to its welcome. */
const WELCOME_MS = 10_000;
/** The first wait before trying again; it doubles up to the longest. */
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
/** How long after a sign-in that the gateway could not look at another follows. */
const SIGN_IN_AGAIN_MS = 10_000;
/** How long a call that we ended still hears the gateway's word on it. */
const LAST_WORD_MS = 5_000;

/**
 * How long to wait before attempt `attempt` (1 is the first after a loss), in milliseconds. The
 * random part keeps many pages from coming back all at once.
 * @param {number} attempt
 * @param {number} random 0 to 1
 */
export function backOff(attempt, random) {
  const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(attempt - 1, 10));
  return Math.round(longest * (0.5 + random / 2));
}

/**
 * A session. Its events, each a `CustomEvent`:
 * * `connection`: `detail` is the new `Connection`;
 * * `user`: `detail` is who is signed in now, an `Authenticated`, or null for nobody;
 * * `people`: `detail` is a list of `Person`s, the other users and whether they are there, as `people` has it;
 * * `incoming`: `detail` is a `Call` that waits for `accept` or `reject`;
 * * `notice`: `detail` is a sentence for people about something that went wrong.
 */
export class Client extends EventTarget {
  /** @type {Connection} */
  #connection = { name: "idle" };
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Map<string, Call>} */
  #calls = new Map();
  /** @type {unknown} */
  #timer = null;
  #attempt = 0;
  #placed = 0;
  /** @type {Credentials | null} */
  #credentials;
  /** @type {Authenticated | null} */
  #user = null;
  /** @type {Map<string, Person>} */
  #people = new Map();
  /** @type {RTCIceServer[]} */
  #iceServers = [];
  #surroundings;

  /** @param {ClientOptions} options */
  constructor(options) {
    super();
    const url = new URL(options.url);
    url.protocol = url.protocol.replace(/^http/, "ws");
    this.url = url.href;
    this.#credentials = options.credentials ?? null;
    /** Whether calls that begin from now on go through the gateway's relay, where their own options do not say. */
    this.forceRelay = options.forceRelay ?? false;
    this.#surroundings = { ...BROWSER, ...options.surroundings };
  }

  get connection() {
    return this.#connection;
  }

  /** What the gateway said first, while there is a connection. */
  get welcome() {
    return this.#connection.name === "open" ? this.#connection.welcome : null;
  }

  /** The gateway's STUN and TURN servers, with credentials that are good now; none without a connection. */
  get iceServers() {
    return this.#iceServers;
  }

  /** Who is signed in, while there is a connection. */
  get user() {
    return this.#user;
  }

  /** The other users, as far as this one is told of them, by what they are called. */
  get people() {
    const others = [...this.#people.values()].filter((person) => person.user !== this.#user?.user);
    return others.sort((one, other) => one.display_name.localeCompare(other.display_name));
  }

  /**
   * Signs in now, and again after each loss of the connection. A `user` event says that it worked, a `notice` that it
   * did not.
   * @param {Credentials} credentials
   */
  signIn(credentials) {
    this.#credentials = credentials;
    if (this.#connection.name === "open") this.#authenticate();
    else this.connect();
  }

  /** Ends every call, and goes on as nobody. */
  signOut() {
    this.#credentials = null;
    this.close();
    this.connect();
  }

  /** Connects, and stays connected until `close`. Called while it waits, it tries at once. */
  connect() {
    if (this.#connection.name === "connecting" || this.#connection.name === "open") return;
    this.#clearTimer();
    this.#open();
  }

  /** Ends every call and the session. */
  close() {
    this.#clearTimer();
    for (const call of this.#calls.values()) call.hangup();
    this.#dropSocket(1000);
    this.#attempt = 0;
    this.#move({ name: "idle" });
  }

  /**
   * Places a call; what becomes of it is told by its events.
   * @param {string} to a lab number, a telephone number or a SIP URI
   * @param {CallOptions} [options]
   */
  call(to, options = {}) {
    const call = this.#newCall(this.#newId(), to, options);
    void call.start();
    return call;
  }

  /**
   * @param {string} id
   * @param {string} to
   * @param {CallOptions} options
   * @param {Incoming | null} incoming
   */
  #newCall(id, to, options, incoming = null) {
    const s = this.#surroundings;
    const forceRelay = options.forceRelay ?? this.forceRelay;
    const call = new Call(id, to, { ...options, forceRelay }, {
      send: (message) => this.#send(message),
      peerConnection: s.peerConnection,
      getUserMedia: s.getUserMedia,
      iceServers: () => this.#iceServers,
      mustSignIn: () => this.#user === null && this.welcome?.sign_in === true,
      now: s.now,
      setTimeout: s.setTimeout,
      clearTimeout: s.clearTimeout,
    }, incoming);
    this.#calls.set(id, call);
    call.addEventListener("state", () => {
      if (call.ended) s.setTimeout(() => this.#calls.delete(id), LAST_WORD_MS);
    });
    return call;
  }

  #open() {
    this.#attempt += 1;
    this.#move({ name: "connecting", attempt: this.#attempt });
    /** @type {WebSocket} */
    let socket;
    try {
      socket = this.#surroundings.webSocket(this.url, SUBPROTOCOL);
    } catch (error) {
      this.#notice(`The address of the gateway is no good: ${error instanceof Error ? error.message : error}`);
      return this.#lost();
    }
    this.#socket = socket;
    this.#timer = this.#surroundings.setTimeout(() => this.#lost(), WELCOME_MS);
    socket.onopen = () => this.#authenticate();
    socket.onmessage = (event) => this.#handleText(event.data);
    // An error is always followed by a close.
    socket.onclose = () => this.#lost();
  }

  /** The socket is of no use any more: calls end, and the next attempt is set. */
  #lost() {
    this.#clearTimer();
    this.#dropSocket(4000);
    for (const call of this.#calls.values()) if (!call.ended) call.handleConnectionLost();
    if (this.#connection.name === "open") this.#attempt = 0;
    const wait = backOff(this.#attempt + 1, this.#surroundings.random());
    this.#move({ name: "waiting", attempt: this.#attempt, until: this.#surroundings.now() + wait });
    this.#timer = this.#surroundings.setTimeout(() => this.#open(), wait);
  }

  /** @param {number} code */
  #dropSocket(code) {
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
    this.#iceServers = [];
    this.#setUser(null);
  }

  #authenticate() {
    if (this.#credentials) this.#send({ type: "authenticate", ...this.#credentials });
  }

  /** @param {Authenticated | null} user */
  #setUser(user) {
    if (user === this.#user) return;
    this.#user = user;
    if (user === null) this.#people.clear();
    this.dispatchEvent(new CustomEvent("user", { detail: user }));
    if (user === null) this.dispatchEvent(new CustomEvent("people", { detail: [] }));
  }

  /** @param {unknown} text */
  #handleText(text) {
    let message;
    try {
      message = readMessage(text);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return this.#notice(`A message could not be understood: ${error.message}.`);
    }
    if (message === null) return;
    if (message.type === "welcome") return this.#handleWelcome(message);
    if (message.type === "authenticated") return this.#handleAuthenticated(message);
    if (message.type === "ice_servers") return this.#setIceServers(message.ice_servers);
    if (message.type === "presence") return this.#handlePresence(message.people);
    if (message.type === "incoming") return this.#handleIncoming(message);
    const call = message.call === null ? undefined : this.#calls.get(message.call);
    if (message.type === "error") {
      if (call && !call.ended) call.handleError(message);
      else if (message.code === "unauthorized" && message.call === null) this.#handleRefusal(message.text);
      else if (message.code === "unavailable" && message.call === null) this.#signInLater(message.text);
      else if (!call) this.#notice(`The gateway could not take a message: ${message.text}.`);
    } else if (call && (!call.ended || message.type === "hangup")) {
      call.handleMessage(message);
    }
  }

  /** @param {Authenticated} user */
  #handleAuthenticated(user) {
    // Before a sign-in the gateway may tell of less; one that tells nothing now has told all before.
    if (user.ice_servers.length > 0) this.#setIceServers(user.ice_servers);
    this.#setUser(user);
  }

  /** @param {RTCIceServer[]} servers for what is gathered from now on */
  #setIceServers(servers) {
    this.#iceServers = servers;
  }

  /** @param {Person[]} people */
  #handlePresence(people) {
    for (const person of people) this.#people.set(person.user, person);
    this.dispatchEvent(new CustomEvent("people", { detail: this.people }));
  }

  /** @param {Incoming} incoming */
  #handleIncoming(incoming) {
    const call = this.#newCall(incoming.call, incoming.to, {}, incoming);
    this.dispatchEvent(new CustomEvent("incoming", { detail: call }));
  }

  /** @param {string} text */
  #handleRefusal(text) {
    // The same again would only be refused again, and count against us.
    this.#credentials = null;
    this.#notice(`Not signed in: ${text}.`);
  }

  /** @param {string} text */
  #signInLater(text) {
    this.#notice(`Not signed in yet: ${text}.`);
    // Of an open connection the timer has nothing else to wait for; a lost one signs in anyway.
    if (this.#connection.name !== "open") return;
    this.#clearTimer();
    this.#timer = this.#surroundings.setTimeout(() => {
      if (this.#user === null) this.#authenticate();
    }, SIGN_IN_AGAIN_MS);
  }

  /** @param {Welcome} welcome */
  #handleWelcome(welcome) {
    this.#clearTimer();
    this.#attempt = 0;
    this.#setIceServers(welcome.ice_servers);
    this.#move({ name: "open", welcome });
  }

  /** @param {ClientMessage} message */
  #send(message) {
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Unlike any before it in this session, and hard to mistake in a log for one of another. */
  #newId() {
    this.#placed += 1;
    return `c${this.#placed}-${Math.floor(this.#surroundings.random() * 2 ** 40).toString(36)}`;
  }

  /** @param {Connection} connection */
  #move(connection) {
    this.#connection = connection;
    this.dispatchEvent(new CustomEvent("connection", { detail: connection }));
  }

  /** @param {string} text */
  #notice(text) {
    this.dispatchEvent(new CustomEvent("notice", { detail: text }));
  }

  #clearTimer() {
    this.#surroundings.clearTimeout(this.#timer);
    this.#timer = null;
  }
}

/** @type {Surroundings} */
const BROWSER = {
  webSocket: (url, protocol) => new WebSocket(url, protocol),
  peerConnection: (configuration) => {
    if (typeof RTCPeerConnection === "undefined") throw new DOMException("no WebRTC", "Unsupported");
    return new RTCPeerConnection(configuration);
  },
  getUserMedia: (constraints) => {
    // Pages that are not secure have no mediaDevices at all.
    if (!globalThis.isSecureContext) throw new DOMException("not a secure page", "InsecureContext");
    if (!navigator.mediaDevices) throw new DOMException("no media devices", "Unsupported");
    return navigator.mediaDevices.getUserMedia(constraints);
  },
  now: () => performance.now(),
  random: () => Math.random(),
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};
