// The phone page: one session, one call (a second while somebody is asked to take the first), and the page's controls.
//
// For tests and the curious, `window.switchhook` is:
// * `client`: the `Client` of client/client.js;
// * `call`: the current or last `Call`, or `null` (its `state`, `marks`, `peerConnection`, ...);
// * `waiting`: the `Call` that waits while another is asked to take it, or `null`;
// * `signIn(user, password)`, `answer()`, `dial(to)`, `hangup()`, `press(digit)`, `transfer(to)`, `ask(to)`, `connect()`:
//   what the buttons do;
// * `useRelay(on)`: what the box does that sends calls through the gateway's relay; `?relay=1` in the page's address does it too;
// * `levels()`: `{ in, out }`, the meters now, in dB below full scale.

import { Client } from "../client/client.js";
import { dialable } from "../client/protocol.js";
import { constraints, fillSelect, listDevices, loadChoice, saveChoice, speakersCanBeChosen } from "./devices.js";
import { loadRelay, saveRelay } from "./relay.js";
import { Sound } from "./sound.js";
import { View } from "./view.js";

/** @typedef {import("../client/call.js").Call} Call */

const QUALITY_EVERY_MS = 1000;
/** How long a key is held for its second meaning. */
const HOLD_MS = 500;

class Phone {
  view = new View();
  sound = new Sound();
  client = new Client({ url: new URL("v1/signaling", document.baseURI) });
  /** @type {Call | null} */
  call = null;
  /** @type {Call | null} the one that waits on hold while somebody else is asked whether he takes it */
  waiting = null;
  choice = loadChoice();
  #sent = "";
  #measured = 0;
  /** The one who waits is being given to the one who was asked. */
  #connecting = false;
  /** The key was held, and has had its effect: the click at its release is none. */
  #held = false;

  start() {
    const { view, client } = this;
    client.addEventListener("connection", () => {
      view.showConnection(client.connection);
      this.#showUser();
    });
    client.addEventListener("user", () => this.#showUser());
    client.addEventListener("incoming", (event) => this.#handleIncoming(/** @type {CustomEvent<Call>} */ (event).detail));
    view.signIn.addEventListener("submit", (event) => {
      event.preventDefault();
      this.signIn(view.user.value, view.password.value);
    });
    client.addEventListener("people", () => {
      view.showPeople(client.people);
      this.#render();
    });
    view.people.addEventListener("click", (event) => this.#handlePerson(event));
    view.transfer.addEventListener("click", () => view.openTransfer(Boolean(view.transferForm.hidden)));
    view.transferForm.addEventListener("submit", (event) => {
      event.preventDefault();
      this.transfer(view.transferTo.value);
    });
    view.ask.addEventListener("click", () => this.ask(view.transferTo.value));
    view.connect.addEventListener("click", () => this.connect());
    view.back.addEventListener("click", () => this.hangup());
    view.signOut.addEventListener("click", () => client.signOut());
    view.answer.addEventListener("click", () => this.answer());
    client.addEventListener("notice", (event) => view.showNotice(/** @type {CustomEvent<string>} */ (event).detail));
    view.dial.addEventListener("submit", (event) => {
      event.preventDefault();
      this.dial(view.number.value);
    });
    view.number.addEventListener("input", () => view.showErase());
    view.erase.addEventListener("click", () => this.#erase());
    view.keypad.addEventListener("click", (event) => this.#handleKeypad(event));
    view.keypad.addEventListener("pointerdown", (event) => this.#handleHold(event));
    view.lab.addEventListener("click", (event) => this.#handleLab(event));
    view.hangup.addEventListener("click", (event) => {
      // The second click of a double one on "Call" lands here.
      if (event.detail < 2) this.hangup();
    });
    view.hangup.addEventListener("keydown", (event) => {
      if (event.repeat) event.preventDefault();
    });
    view.hold.addEventListener("click", () => this.call?.hold(!this.call.held.here));
    view.mute.addEventListener("click", () => this.#toggleMute());
    view.reconnect.addEventListener("click", () => client.connect());
    document.addEventListener("keydown", (event) => this.#handleKey(event));
    globalThis.addEventListener("online", () => client.connect());
    globalThis.addEventListener("pagehide", () => client.close());
    globalThis.addEventListener("pageshow", (event) => {
      if (event.persisted) client.connect();
    });
    client.forceRelay = view.relay.checked = loadRelay(location.search);
    view.relay.addEventListener("change", () => this.useRelay(view.relay.checked));
    this.#startDevices();
    this.#tick();
    // On a touch screen this would open the keyboard over the keypad.
    if (matchMedia("(pointer: fine)").matches) view.number.focus();
    client.connect();
  }

  /** @param {string} typed */
  dial(typed) {
    if (this.call && !this.call.ended) return;
    const to = dialable(typed);
    this.sound.wake();
    this.view.showNotice("");
    if (to === "") {
      this.view.showNotice("Type a number or a name first.");
      return this.view.number.focus();
    }
    if (!this.client.welcome) {
      this.view.showNotice("There is no connection to the gateway yet. Trying again now.");
      return this.client.connect();
    }
    this.view.number.value = to;
    this.#sent = "";
    this.#follow(this.client.call(to, { audio: constraints(this.choice) }));
  }

  /**
   * @param {string} user
   * @param {string} password
   */
  signIn(user, password) {
    this.sound.wake();
    this.view.showNotice("");
    this.client.signIn({ user, password });
  }

  answer() {
    this.sound.wake();
    void this.call?.accept({ audio: constraints(this.choice), forceRelay: this.client.forceRelay });
  }

  hangup() {
    this.call?.hangup();
  }

  /**
   * Gives the telephone to somebody else.
   * @param {string} typed
   */
  transfer(typed) {
    const to = dialable(typed);
    if (to === "") return this.view.transferTo.focus();
    this.call?.transfer(to);
    this.view.openTransfer(false);
  }

  /**
   * Asks somebody whether he takes the call, which waits on hold meanwhile.
   * @param {string} typed
   */
  ask(typed) {
    const to = dialable(typed);
    if (to === "") return this.view.transferTo.focus();
    if (this.call?.state.name !== "in_call" || this.waiting) return;
    this.call.hold(true);
    this.waiting = this.call;
    this.#connecting = false;
    this.view.number.value = to;
    this.#sent = "";
    this.view.showNotice("");
    this.#follow(this.client.call(to, { audio: constraints(this.choice) }));
  }

  /** Connects the one who waits with the one who was asked. */
  connect() {
    if (this.call?.state.name !== "in_call" || !this.waiting) return;
    this.#connecting = true;
    this.waiting.transfer(this.call);
  }

  /**
   * A key of the keypad: types before a call, sounds during it.
   * @param {string} key
   */
  press(key) {
    const { view, call } = this;
    this.#flash(key);
    if (!call || call.ended) {
      view.number.value += key;
      return view.showErase();
    }
    if (call.sendDigits(key)) this.#sent += key;
    this.#render();
  }

  /**
   * Whether calls go through the gateway's relay, from the next one on.
   * @param {boolean} on
   */
  useRelay(on) {
    this.view.relay.checked = on;
    this.client.forceRelay = on;
    saveRelay(on);
  }

  levels() {
    return { in: this.sound.level("in"), out: this.sound.level("out") };
  }

  /** @param {Call} call */
  #follow(call) {
    this.call = call;
    call.addEventListener("state", () => this.#handleState(call));
    call.addEventListener("dtmf", () => this.#render());
    call.addEventListener("hold", () => this.#render());
    call.addEventListener("path", () => this.#render());
    call.addEventListener("transfer", (event) => {
      const { state, text } = /** @type {CustomEvent<{ state: string, text: string }>} */ (event).detail;
      this.view.showNotice(state === "done" ? `You speak with ${call.peer} now.` : text);
      if (state === "failed" && call === this.waiting) this.#notConnected(call);
      this.#render();
    });
    call.addEventListener("audio", (event) => {
      const { trouble, text } = /** @type {CustomEvent<{ trouble: string | null, text: string }>} */ (event).detail;
      // Who has muted himself here knows why nobody hears him.
      if (trouble !== "browser_sends_silence" || !call.muted) this.view.showNotice(trouble === null ? "" : text);
    });
    call.addEventListener("notice", (event) => {
      this.view.showNotice(/** @type {CustomEvent<string>} */ (event).detail);
      if (call === this.waiting) this.#notConnected(call);
    });
    call.addEventListener("track", () => {
      if (call === this.call) this.#hear(call);
    });
    this.#render();
  }

  /** @param {Call} call */
  #handleIncoming(call) {
    // This page has one line.
    if (this.call && !this.call.ended) return call.reject("busy");
    this.#sent = "";
    this.view.showNotice("");
    this.#follow(call);
    this.sound.ring(true);
  }

  #showUser() {
    this.view.showUser(this.client.welcome?.sign_in === true, this.client.user);
  }

  /** @param {Call} call */
  #handleState(call) {
    if (call === this.waiting && call.ended) {
      this.waiting = null;
      this.#connecting = false;
      if (call.cause?.code !== "transferred") this.view.showNotice(`${call.peer} has hung up.`);
      return this.#render();
    }
    if (call !== this.call) return;
    // While the two are being connected, the one who was asked may be gone before the other is.
    if (call.ended && this.waiting && !this.#connecting) return this.#takeBack(call, this.waiting);
    this.sound.ring(call.state.name === "ringing" || call.state.name === "incoming");
    this.sound.meter("out", call.ended ? null : call.microphone);
    if (call.ended) {
      this.sound.meter("in", null);
      this.view.remote.srcObject = null;
    } else if (call.state.name === "connecting") {
      // The microphone is allowed by now, and devices have their names.
      void this.#listDevices();
      void this.sound.useSpeaker(this.choice.speaker).catch(() => {});
    }
    this.#render();
  }

  /**
   * The two could not be connected: both calls are as they were, if the one who was asked is still there.
   * @param {Call} waiting
   */
  #notConnected(waiting) {
    this.#connecting = false;
    if (this.call?.ended) this.#takeBack(this.call, waiting);
  }

  /**
   * Nobody takes the call that waits: it goes on here.
   * @param {Call} asked
   * @param {Call} waiting
   */
  #takeBack(asked, waiting) {
    this.waiting = null;
    this.call = waiting;
    this.view.number.value = waiting.caller ? "" : waiting.to;
    this.sound.ring(false);
    waiting.hold(false);
    this.#hear(waiting);
    this.sound.meter("out", waiting.microphone);
    if (asked.cause && asked.cause.code !== "normal" && asked.cause.code !== "cancelled") {
      this.view.showNotice(`${asked.peer}: ${asked.cause.text}`);
    }
    this.#render();
  }

  /** @param {Call} call */
  #hear(call) {
    const stream = call.remoteStream;
    if (!stream) return;
    const { remote } = this.view;
    remote.srcObject = stream;
    this.sound.meter("in", stream);
    void remote.play().catch((error) => {
      if (error.name === "NotAllowedError") this.view.showNotice("The browser holds the sound back. Press any key of the keypad to hear the call.");
    });
  }

  #toggleMute() {
    if (!this.call) return;
    this.call.muted = !this.call.muted;
    this.#render();
  }

  #erase() {
    const { view } = this;
    view.number.value = view.number.value.slice(0, -1);
    view.showErase();
    if (view.erase.hidden) view.number.focus();
  }

  /** @param {MouseEvent} event */
  #handleKeypad(event) {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (!button?.dataset.key) return;
    if (this.#held) {
      this.#held = false;
      return;
    }
    this.sound.wake();
    if (this.view.remote.srcObject && this.view.remote.paused) void this.view.remote.play().catch(() => {});
    this.press(button.dataset.key);
  }

  /**
   * A `0` held down is the `+` of an international number.
   * @param {PointerEvent} event
   */
  #handleHold(event) {
    this.#held = false;
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (button?.dataset.key !== "0" || (this.call && !this.call.ended)) return;
    const release = new AbortController();
    const timer = setTimeout(() => {
      release.abort();
      this.#held = true;
      this.press("+");
    }, HOLD_MS);
    for (const type of ["pointerup", "pointerleave", "pointercancel"]) {
      button.addEventListener(type, () => clearTimeout(timer), { signal: release.signal, once: true });
    }
  }

  /** @param {MouseEvent} event */
  #handleLab(event) {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (button?.dataset.number && event.detail < 2) this.dial(button.dataset.number);
  }

  /**
   * Calls a person; or names him as the one to transfer to, while that is asked.
   * @param {MouseEvent} event
   */
  #handlePerson(event) {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    const user = button?.dataset.number;
    if (!user || event.detail > 1) return;
    if (this.view.transferForm.hidden) this.dial(user);
    else this.view.transferTo.value = user;
  }

  /**
   * Digits typed anywhere reach the keypad.
   * @param {KeyboardEvent} event
   */
  #handleKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !/^[0-9*#]$/.test(event.key)) return;
    const { target } = event;
    if (target instanceof HTMLSelectElement || (target instanceof HTMLInputElement && target.type !== "checkbox" && !target.readOnly)) return;
    event.preventDefault();
    this.press(event.key);
  }

  /** @param {string} key */
  #flash(key) {
    const button = this.view.keypad.querySelector(`[data-key="${CSS.escape(key)}"]`);
    button?.classList.add("pressed");
    setTimeout(() => button?.classList.remove("pressed"), 140);
  }

  #startDevices() {
    const { view, choice } = this;
    view.processing.checked = choice.processing;
    view.speaker.disabled = !speakersCanBeChosen();
    void this.#listDevices();
    void this.#useSpeaker();
    navigator.mediaDevices?.addEventListener("devicechange", () => void this.#listDevices());
    view.microphone.addEventListener("change", () => void this.#useMicrophone());
    view.processing.addEventListener("change", () => void this.#useMicrophone());
    view.speaker.addEventListener("change", () => {
      choice.speaker = view.speaker.value;
      saveChoice(choice);
      void this.#useSpeaker();
    });
  }

  async #useMicrophone() {
    const { view, choice } = this;
    choice.microphone = view.microphone.value;
    choice.processing = view.processing.checked;
    saveChoice(choice);
    try {
      await this.call?.useMicrophone(constraints(choice));
    } catch {
      view.showNotice("That microphone could not be opened; the call stays with the one before.");
    }
  }

  async #useSpeaker() {
    const { speaker } = this.choice;
    try {
      if (speaker && speakersCanBeChosen()) await this.view.remote.setSinkId(speaker);
      else if (speakersCanBeChosen() && this.view.remote.sinkId) await this.view.remote.setSinkId("");
      await this.sound.useSpeaker(speaker);
    } catch {
      this.view.showNotice("That speaker could not be opened; the standard one is used.");
    }
  }

  async #listDevices() {
    const { view, choice } = this;
    const { microphones, speakers, named } = await listDevices();
    fillSelect(view.microphone, microphones, choice.microphone);
    fillSelect(view.speaker, speakers, choice.speaker);
    view.deviceHint.textContent = named ? "" : "The devices get their names with the first call.";
  }

  #render() {
    this.view.showCall(this.call, this.#sent, this.waiting);
  }

  #tick() {
    const now = performance.now();
    this.view.tick(this.call, this.levels(), this.client.connection, now);
    if (this.call && !this.call.ended && now - this.#measured >= QUALITY_EVERY_MS) {
      this.#measured = now;
      void this.#measure(this.call);
    }
    requestAnimationFrame(() => this.#tick());
  }

  /** @param {Call} call */
  async #measure(call) {
    const quality = await call.quality().catch(() => null);
    if (quality && quality.codec && call === this.call && !call.ended) this.view.showQuality(quality);
  }
}

const phone = new Phone();
phone.start();

Object.defineProperty(globalThis, "switchhook", {
  value: Object.freeze({
    client: phone.client,
    get call() {
      return phone.call;
    },
    get waiting() {
      return phone.waiting;
    },
    transfer: (/** @type {string} */ to) => phone.transfer(to),
    ask: (/** @type {string} */ to) => phone.ask(to),
    connect: () => phone.connect(),
    signIn: (/** @type {string} */ user, /** @type {string} */ password) => phone.signIn(user, password),
    answer: () => phone.answer(),
    dial: (/** @type {string} */ to) => phone.dial(to),
    hangup: () => phone.hangup(),
    press: (/** @type {string} */ digit) => phone.press(digit),
    useRelay: (/** @type {boolean} */ on) => phone.useRelay(on),
    levels: () => phone.levels(),
  }),
});
