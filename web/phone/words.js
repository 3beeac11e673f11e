// What the page says. Pure: states in, sentences out.

/** @typedef {import("../client/state.js").CallState} CallState */
/** @typedef {import("../client/client.js").Connection} Connection */
/** @typedef {import("../client/quality.js").Quality} Quality */
/** @typedef {import("../client/protocol.js").Verification} Verification */

/**
 * @param {CallState | null} state
 * @param {string} to
 * @param {{ here: boolean, there: boolean }} held who holds whom
 */
export function stateWords(state, to, held = { here: false, there: false }) {
  switch (state?.name) {
    case undefined:
      return "Ready";
    case "incoming":
      return `${to} is calling`;
    case "preparing":
      return "Opening the microphone…";
    case "connecting":
      return `Calling ${to}…`;
    case "ringing":
      return "Ringing…";
    case "early":
      return "Not answered yet, but there is sound";
    case "in_call":
      if (held.here) return held.there ? "Both sides hold the call" : "On hold";
      return held.there ? "The other side holds the call" : "In call";
    case "ended":
      return state.cause.text;
  }
}

/**
 * The small print under the state.
 * @param {CallState | null} state
 * @param {string} sent digits pressed here
 * @param {string} received digits pressed there
 * @param {{ number: string | null, name: string | null, verification?: Verification | null } | null} caller who calls, where a telephone does
 */
export function detailWords(state, sent, received, caller = null) {
  const parts = [];
  if (state?.name === "incoming" && caller?.name && caller.number) parts.push(caller.number);
  if (state?.name === "incoming" && caller?.verification) parts.push(verificationWords(caller.verification));
  if (state?.name === "ended") {
    if (state.answered_ms > 0) parts.push(`Talked ${clock(state.answered_ms)}`);
    if (state.cause.sip) parts.push(`SIP ${state.cause.sip}`);
    if (state.cause.q850) parts.push(`Q.850 ${state.cause.q850}`);
  } else {
    if (sent) parts.push(`Sent ${sent.slice(-24)}`);
    if (received) parts.push(`Received ${received.slice(-24)}`);
  }
  return parts.join(" · ");
}

/**
 * Which way the call goes, while it is up.
 * @param {CallState | null} state
 * @param {{ text: string } | null} path
 */
export function pathWords(state, path) {
  return state === null || state.name === "ended" ? "" : (path?.text ?? "");
}

/**
 * Whether the caller's number is his. Only who attests that (A) has seen to it; B knows the caller, C where the call came from.
 * @param {Verification} verification
 */
export function verificationWords({ result, attestation }) {
  if (result !== "verified") return "Number not verified";
  switch (attestation) {
    case "B":
    case "C":
      return `Number not verified (${attestation})`;
    case "A":
      return "Number verified (A)";
    case null:
      return "Number verified";
  }
}

/** @param {Connection} connection */
export function connectionWords(connection) {
  switch (connection.name) {
    case "idle":
      return "Not connected";
    case "connecting":
      return "Connecting to the gateway…";
    case "open":
      return "Connected";
    case "waiting":
      return connection.attempt > 0 ? "The gateway cannot be reached" : "The connection to the gateway was lost";
  }
}

/** @param {import("../client/protocol.js").Presence} presence */
export function presenceWords(presence) {
  return { offline: "not here", online: "here", in_call: "in a call" }[presence];
}

/** @param {import("../client/protocol.js").Authenticated} user */
export function userWords(user) {
  const numbers = user.numbers.length > 0 ? ` (${user.numbers.join(", ")})` : "";
  return `Signed in as ${user.display_name}${numbers}`;
}

/** @param {Quality} quality */
export function qualityWords(quality) {
  const parts = [{ good: "Good", fair: "Fair", poor: "Poor" }[quality.word]];
  if (quality.codec) parts.push(codecWords(quality.codec));
  if (quality.loss !== null) parts.push(`loss ${(quality.loss * 100).toFixed(1)} %`);
  if (quality.jitter_ms !== null) parts.push(`jitter ${Math.round(quality.jitter_ms)} ms`);
  if (quality.rtt_ms !== null) parts.push(`round trip ${Math.round(quality.rtt_ms)} ms`);
  return parts.join(" · ");
}

/** @param {string} codec as in `opus/48000` */
function codecWords(codec) {
  const [name = ""] = codec.split("/");
  const known = /** @type {Record<string, string>} */ ({ opus: "Opus", pcmu: "G.711 µ-law", pcma: "G.711 A-law", g722: "G.722" });
  return known[name.toLowerCase()] ?? name;
}

/**
 * Minutes and seconds, with hours when there are any.
 * @param {number} ms
 */
export function clock(ms) {
  const seconds = Math.floor(ms / 1000);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** For a gateway that names lab numbers without describing them. */
const LAB_DESCRIPTIONS = /** @type {Record<string, string>} */ ({
  echo: "hear yourself",
  tone: "a steady 1004 Hz tone",
  dtmf: "reads your keys back",
  early: "sound before it answers",
  late: "rings for ten seconds",
  busy: "is always busy",
  reject: "declines",
  noanswer: "rings, nobody answers",
  hangup: "hangs up after five seconds",
});

/** @param {import("../client/protocol.js").LabNumber} lab */
export function labWords(lab) {
  return lab.description || (LAB_DESCRIPTIONS[lab.number] ?? "a lab number");
}
