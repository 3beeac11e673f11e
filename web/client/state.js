// What a call is doing, and how the gateway's messages move it. Pure: told the time, holds nothing.

/** @typedef {import("./protocol.js").Cause} Cause */
/** @typedef {import("./protocol.js").CallMessage} CallMessage */

/**
 * One variant a state. Times are `performance.now()` milliseconds.
 * * `incoming`: a telephone calls, and waits for `accept` or `reject`.
 * * `preparing`: the microphone is being asked for; nothing was sent yet.
 * * `connecting`: the offer is out, the phone gave no sign yet.
 * * `ringing`: the phone rings.
 * * `early`: it has not answered, but sends audio.
 * * `in_call`: it answered.
 * * `ended`: over; `answered_ms` is how long the conversation lasted, 0 without one.
 * @typedef {(
 *   | { name: "incoming" }
 *   | { name: "preparing" }
 *   | { name: "connecting" }
 *   | { name: "ringing" }
 *   | { name: "early" }
 *   | { name: "in_call", since: number }
 *   | { name: "ended", cause: Cause, answered_ms: number }
 * )} CallState
 */

/** Why a call ended where it was this side that knew. */
export const LOCAL_CAUSES = Object.freeze({
  normal: "The call has ended.",
  rejected: "The call was declined.",
  cancelled: "The call was cancelled before it was answered.",
  media_failed: "The audio connection to the gateway could not be set up.",
  media_lost: "The audio connection to the gateway was lost.",
  connection_lost: "The connection to the gateway was lost.",
  no_relay: "Calls are to go through the gateway's relay (TURN), and this gateway offers none. Switch that off on this page, or TURN on at the gateway.",
  not_connected: "There is no connection to the gateway.",
  microphone_denied: "The browser was not allowed to use the microphone. Allow it for this page, then call again.",
  microphone_missing: "No microphone was found. Plug one in, then call again.",
  microphone_busy: "The microphone could not be opened. Another program may be using it.",
  microphone_insecure: "Browsers give the microphone to secure pages only. Open this page by https, or on this machine as http://localhost.",
  unsupported: "This browser has no WebRTC, so it cannot make calls.",
  internal: "Something went wrong in this page.",
});

/**
 * @param {keyof typeof LOCAL_CAUSES} code
 * @param {string} [particulars]
 * @returns {Cause}
 */
export function localCause(code, particulars) {
  const text = LOCAL_CAUSES[code];
  return { code, text: particulars ? `${text} (${particulars})` : text };
}

/**
 * The state after a message of the gateway.
 * @param {CallState} state
 * @param {CallMessage} message
 * @param {number} now
 * @returns {CallState}
 */
export function advance(state, message, now) {
  switch (message.type) {
    case "ringing":
      // A phone that has sent early audio goes on doing so, whatever else it says.
      return state.name === "connecting" ? { name: "ringing" } : state;
    case "early":
      return state.name === "connecting" || state.name === "ringing" ? { name: "early" } : state;
    case "accepted":
      return isPending(state) ? { name: "in_call", since: now } : state;
    case "hangup":
      return end(state, message.cause, now);
    case "answer":
    case "hold":
    case "transfer":
    case "audio":
    case "path":
    case "dtmf":
      return state;
  }
}

/**
 * The state after an end. A call that this side had ended takes the gateway's cause, which says more.
 * @param {CallState} state
 * @param {Cause} cause
 * @param {number} now
 * @returns {CallState}
 */
export function end(state, cause, now) {
  if (state.name === "ended") return { ...state, cause };
  return { name: "ended", cause, answered_ms: state.name === "in_call" ? Math.max(0, now - state.since) : 0 };
}

/**
 * The call is set up, but not answered.
 * @param {CallState} state
 */
export function isPending(state) {
  return state.name === "connecting" || state.name === "ringing" || state.name === "early";
}
