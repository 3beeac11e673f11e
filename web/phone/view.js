// The page's elements, and how they show what is so. It holds no state of the call.

import { isPending } from "../client/state.js";
import { FLOOR_DB } from "./sound.js";
import { clock, connectionWords, detailWords, labWords, pathWords, presenceWords, qualityWords, stateWords, userWords } from "./words.js";

/** @typedef {import("../client/call.js").Call} Call */
/** @typedef {import("../client/client.js").Connection} Connection */
/** @typedef {import("../client/protocol.js").Person} Person */
/** @typedef {import("../client/quality.js").Quality} Quality */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${id}`);
  return found;
}

export class View {
  dial = element("dial", HTMLFormElement);
  number = element("number", HTMLInputElement);
  erase = element("erase", HTMLButtonElement);
  keypad = element("keypad", HTMLElement);
  call = element("call", HTMLButtonElement);
  hangup = element("hangup", HTMLButtonElement);
  answer = element("answer", HTMLButtonElement);
  hold = element("hold", HTMLButtonElement);
  mute = element("mute", HTMLButtonElement);
  transfer = element("transfer", HTMLButtonElement);
  transferForm = element("transfer-form", HTMLFormElement);
  transferTo = element("transfer-to", HTMLInputElement);
  ask = element("ask", HTMLButtonElement);
  connect = element("connect", HTMLButtonElement);
  back = element("back", HTMLButtonElement);
  people = element("people", HTMLUListElement);
  #consult = element("consult", HTMLElement);
  #consultText = element("consult-text", HTMLElement);
  #peoplePanel = element("people-panel", HTMLElement);
  signIn = element("sign-in", HTMLFormElement);
  user = element("user", HTMLInputElement);
  password = element("password", HTMLInputElement);
  signOut = element("sign-out", HTMLButtonElement);
  reconnect = element("reconnect", HTMLButtonElement);
  microphone = element("microphone", HTMLSelectElement);
  speaker = element("speaker", HTMLSelectElement);
  deviceHint = element("device-hint", HTMLElement);
  processing = element("processing", HTMLInputElement);
  relay = element("relay", HTMLInputElement);
  remote = element("remote", HTMLAudioElement);
  lab = element("lab", HTMLUListElement);
  #signInPanel = element("sign-in-panel", HTMLElement);
  #signedIn = element("signed-in", HTMLElement);
  #labHint = element("lab-hint", HTMLElement);
  #state = element("state", HTMLElement);
  #timer = element("timer", HTMLElement);
  #detail = element("detail", HTMLElement);
  #notice = element("notice", HTMLElement);
  #connection = element("connection", HTMLElement);
  #countdown = element("countdown", HTMLElement);
  #quality = element("quality", HTMLElement);
  #path = element("path", HTMLElement);
  #levels = { out: new Meter(element("level-out", HTMLElement)), in: new Meter(element("level-in", HTMLElement)) };
  #title = document.title;

  /**
   * @param {Call | null} call
   * @param {string} sent digits pressed in this call
   * @param {Call | null} waiting the one that waits on hold while somebody else is asked
   */
  showCall(call, sent, waiting) {
    const state = call?.state ?? null;
    const name = state?.name ?? "idle";
    const live = state !== null && state.name !== "ended";
    const held = call?.held ?? { here: false, there: false };
    const words = stateWords(state, call?.peer ?? "", held);
    document.body.dataset.state = name;
    document.title = live ? `${words} – ${this.#title}` : this.#title;
    setText(this.#state, words);
    setText(this.#detail, detailWords(state, sent, call?.receivedDigits ?? "", call?.caller ?? null));
    this.number.readOnly = live;
    for (const button of this.lab.querySelectorAll("button")) button.setAttribute("aria-disabled", String(live));
    const talking = state?.name === "in_call";
    this.transfer.hidden = !talking || waiting !== null;
    if (this.transfer.hidden) this.openTransfer(false);
    this.#consult.hidden = waiting === null;
    setText(this.#consultText, waiting === null ? "" : `${waiting.peer} waits on hold.`);
    this.connect.disabled = !talking;
    this.#swapButtons(live, name === "incoming");
    const muted = live && call !== null && call.muted;
    this.mute.setAttribute("aria-pressed", String(muted));
    setText(/** @type {HTMLElement} */ (this.mute.querySelector("span")), muted ? "Muted" : "Mute");
    this.hold.hidden = state?.name !== "in_call";
    this.hold.setAttribute("aria-pressed", String(held.here));
    setText(/** @type {HTMLElement} */ (this.hold.querySelector("span")), held.here ? "Held" : "Hold");
    setText(this.#path, pathWords(state, call?.path ?? null));
    if (!live) this.#clearQuality();
    else if (!this.#quality.textContent && (isPending(state) || state.name === "in_call")) setText(this.#quality, "Measuring…");
    this.showErase();
  }

  /**
   * The two buttons are one place; the keyboard's focus goes with it.
   * @param {boolean} live
   * @param {boolean} incoming it waits for an answer
   */
  #swapButtons(live, incoming) {
    const answered = !this.answer.hidden && !incoming;
    this.answer.hidden = !incoming;
    this.mute.hidden = !live || incoming;
    setText(/** @type {HTMLElement} */ (this.hangup.querySelector("span")), incoming ? "Decline" : "Hang up");
    if (answered && live && document.activeElement === document.body) this.hangup.focus();
    if (this.call.hidden === live) return;
    const focused = document.activeElement;
    const follow = focused === this.call || focused === this.hangup || focused === this.mute || (live && focused === this.number);
    this.call.hidden = live;
    this.hangup.hidden = !live;
    if (incoming) this.answer.focus();
    else if (follow || focused === document.body) (live ? this.hangup : this.call).focus();
  }

  /** @param {boolean} open */
  openTransfer(open) {
    if (this.transferForm.hidden !== open) return;
    this.transferForm.hidden = !open;
    this.transfer.setAttribute("aria-expanded", String(open));
    if (open) this.transferTo.focus();
    else this.transferTo.value = "";
  }

  /** @param {Person[]} people */
  showPeople(people) {
    this.#peoplePanel.hidden = people.length === 0;
    this.people.replaceChildren(...people.map(personEntry));
  }

  showErase() {
    this.erase.hidden = this.number.readOnly || this.number.value === "";
  }

  /** @param {string} text a sentence; `""` takes it away */
  showNotice(text) {
    setText(this.#notice, text);
  }

  /**
   * What changes by itself, many times a second.
   * @param {Call | null} call
   * @param {{ in: number, out: number }} levels dB
   * @param {Connection} connection
   * @param {number} now
   */
  tick(call, levels, connection, now) {
    const state = call?.state;
    setText(this.#timer, state?.name === "in_call" ? clock(now - state.since) : "");
    this.#levels.in.show(levels.in, now);
    this.#levels.out.show(call?.muted ? FLOOR_DB : levels.out, now);
    const seconds = connection.name === "waiting" ? Math.max(0, Math.ceil((connection.until - now) / 1000)) : 0;
    setText(this.#countdown, seconds > 0 ? `trying again in ${seconds} s` : "");
  }

  /** @param {Quality} quality */
  showQuality(quality) {
    setText(this.#quality, qualityWords(quality));
    this.#quality.dataset.word = quality.word;
  }

  #clearQuality() {
    setText(this.#quality, "");
    delete this.#quality.dataset.word;
  }

  /**
   * @param {boolean} wanted whether the gateway wants to know who calls
   * @param {import("../client/protocol.js").Authenticated | null} user
   */
  showUser(wanted, user) {
    this.#signInPanel.hidden = !wanted && user === null;
    this.signIn.hidden = user !== null;
    this.signOut.hidden = user === null;
    setText(this.#signedIn, user === null ? "Sign in to call and to be called." : userWords(user));
    if (user !== null) this.password.value = "";
  }

  /** @param {Connection} connection */
  showConnection(connection) {
    document.body.dataset.connection = connection.name;
    setText(this.#connection, connectionWords(connection));
    this.reconnect.hidden = connection.name !== "waiting";
    if (connection.name !== "open") return;
    const { lab, trunk } = connection.welcome;
    this.lab.replaceChildren(...lab.map(labEntry));
    setText(this.#labHint, labHint(lab.length > 0, trunk));
  }
}

class Meter {
  #element;
  #bar;
  #shown = FLOOR_DB;
  #told = 0;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
    this.#bar = /** @type {HTMLElement} */ (element.firstElementChild);
  }

  /**
   * @param {number} db
   * @param {number} now
   */
  show(db, now) {
    // Up at once, down gently: that is how needles are read.
    const shown = Math.max(db, this.#shown - 1.5);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#bar.style.transform = `scaleX(${((shown - FLOOR_DB) / -FLOOR_DB).toFixed(3)})`;
    if (now - this.#told < 1000) return;
    this.#told = now;
    this.#element.setAttribute("aria-valuenow", String(Math.round(shown)));
    this.#element.setAttribute("aria-valuetext", shown <= FLOOR_DB + 1 ? "silent" : `${Math.round(-shown)} dB below full scale`);
  }
}

/** @param {import("../client/protocol.js").LabNumber} lab */
function labEntry(lab) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.number = lab.number;
  const number = document.createElement("b");
  number.textContent = lab.number;
  const description = document.createElement("span");
  description.textContent = labWords(lab);
  button.append(number, " ", description);
  const item = document.createElement("li");
  item.append(button);
  return item;
}

/** @param {Person} person */
function personEntry(person) {
  const item = labEntry({ number: person.user, description: presenceWords(person.presence) });
  const button = /** @type {HTMLElement} */ (item.firstElementChild);
  button.dataset.presence = person.presence;
  setText(/** @type {HTMLElement} */ (button.firstElementChild), person.display_name);
  return item;
}

/**
 * @param {boolean} lab
 * @param {boolean} trunk
 */
function labHint(lab, trunk) {
  if (lab) return trunk ? "One click calls. Any other number goes to the trunk." : "One click calls. No trunk is set up, so no other number answers.";
  return trunk ? "The lab is switched off; every number goes to the trunk." : "The lab is switched off and no trunk is set up: no number answers.";
}

/**
 * Screen readers say a live region again whenever it is written, so it is written when it changes.
 * @param {HTMLElement} element
 * @param {string} text
 */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
