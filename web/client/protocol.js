// The messages of signalling protocol `switchhook.v1`: one JSON object a WebSocket text message.

/** The WebSocket subprotocol that names this protocol and its version. */
export const SUBPROTOCOL = "switchhook.v1";

/**
 * Why a call ended. `code` is for programs, `text` for people; `sip` and `q850` where the
 * telephone network gave one. Codes that only this client makes: see `LOCAL_CAUSES`.
 * @typedef {{ code: string, text: string, sip?: number | null, q850?: number | null }} Cause
 */

/** @typedef {{ number: string, description: string }} LabNumber */

/**
 * What the browser sends.
 * @typedef {(
 *   | { type: "authenticate", user: string, password: string }
 *   | { type: "authenticate", token: string }
 *   | { type: "call", call: string, to: string, sdp: string, headers?: Record<string, string> }
 *   | { type: "candidate", call: string, candidate: string, mid?: string }
 *   | { type: "end_of_candidates", call: string }
 *   | { type: "offer", call: string, sdp: string }
 *   | { type: "dtmf", call: string, digits: string, duration_ms: number }
 *   | { type: "hold", call: string, held: boolean }
 *   | { type: "transfer", call: string, to: string }
 *   | { type: "transfer", call: string, with: string }
 *   | { type: "accept", call: string, sdp: string }
 *   | { type: "reject", call: string, reason: "declined" | "busy" }
 *   | { type: "hangup", call: string }
 * )} ClientMessage
 */

/** @typedef {{ type: "welcome", session: string, version: number, ice_servers: RTCIceServer[], lab: LabNumber[], trunk: boolean, sign_in: boolean }} Welcome */
/** @typedef {{ type: "authenticated", user: string, display_name: string, numbers: string[], ice_servers: RTCIceServer[] }} Authenticated */
/** @typedef {{ type: "ice_servers", ice_servers: RTCIceServer[] }} IceServersMessage credentials in place of those that are about to end */
/** @typedef {"offline" | "online" | "in_call"} Presence */
/** @typedef {{ user: string, display_name: string, presence: Presence }} Person */
/** @typedef {{ type: "presence", people: Person[] }} PresenceMessage */
/** @typedef {"trying" | "ringing" | "done" | "failed"} TransferState */
/** @typedef {"verified" | "failed" | "absent"} Verdict what a call's signature (STIR) comes to */
/** @typedef {"A" | "B" | "C"} Attestation that the number is the caller's, that the caller is known, or neither */
/** @typedef {{ result: Verdict, attestation: Attestation | null }} Verification */
/** @typedef {{ type: "incoming", call: string, from: string | null, name: string | null, to: string, headers: Record<string, string>, verification: Verification | null }} Incoming */
/** @typedef {{ type: "error", call: string | null, code: string, field: string | null, text: string }} ErrorMessage */

/**
 * What the gateway sends about one call.
 * @typedef {(
 *   | { type: "answer", call: string, sdp: string, provisional: boolean }
 *   | { type: "ringing", call: string }
 *   | { type: "early", call: string }
 *   | { type: "accepted", call: string }
 *   | { type: "dtmf", call: string, digit: string, duration_ms: number }
 *   | { type: "hold", call: string, here: boolean, there: boolean }
 *   | { type: "transfer", call: string, state: TransferState, to: string | null, name: string | null, text: string }
 *   | { type: "audio", call: string, trouble: string | null, text: string }
 *   | { type: "path", call: string, via: string, text: string }
 *   | { type: "hangup", call: string, cause: Cause }
 * )} CallMessage
 */

/** @typedef {Welcome | Authenticated | IceServersMessage | PresenceMessage | Incoming | ErrorMessage | CallMessage} ServerMessage */

/** A message that this client could not take. */
export class ProtocolError extends Error {
  /**
   * @param {string} text what is wrong
   * @param {string | null} field the field at fault, where one is known
   */
  constructor(text, field = null) {
    super(text);
    this.name = "ProtocolError";
    this.field = field;
  }
}

/**
 * Reads one text message. A type that this version does not know gives `null`: a newer gateway
 * may say more than we understand.
 * @param {unknown} text
 * @returns {ServerMessage | null}
 */
export function readMessage(text) {
  const fields = new Fields(parseObject(text));
  const type = fields.string("type");
  switch (type) {
    case "welcome":
      return {
        type,
        session: fields.string("session"),
        version: fields.number("version"),
        ice_servers: readIceServers(fields.list("ice_servers")),
        lab: fields.list("lab").map(readLabNumber),
        trunk: fields.value("trunk") === true,
        sign_in: fields.value("sign_in") === true,
      };
    case "authenticated":
      return {
        type,
        user: fields.string("user"),
        display_name: fields.string("display_name"),
        numbers: fields.list("numbers").filter((number) => typeof number === "string"),
        ice_servers: readIceServers(fields.list("ice_servers")),
      };
    case "ice_servers":
      return { type, ice_servers: readIceServers(fields.list("ice_servers")) };
    case "presence":
      return { type, people: fields.list("people").map(readPerson) };
    case "incoming":
      return {
        type,
        call: fields.string("call"),
        from: fields.optionalString("from"),
        name: fields.optionalString("name"),
        to: fields.string("to"),
        headers: readHeaders(fields.value("headers")),
        verification: readVerification(fields.value("verification")),
      };
    case "answer":
      return {
        type,
        call: fields.string("call"),
        sdp: fields.string("sdp"),
        provisional: fields.value("provisional") === true,
      };
    case "ringing":
    case "early":
    case "accepted":
      return { type, call: fields.string("call") };
    case "dtmf":
      return {
        type,
        call: fields.string("call"),
        digit: fields.string("digit"),
        duration_ms: fields.number("duration_ms"),
      };
    case "hold":
      return { type, call: fields.string("call"), here: fields.value("here") === true, there: fields.value("there") === true };
    case "transfer":
      return {
        type,
        call: fields.string("call"),
        state: oneOf(TRANSFER_STATES, fields.string("state"), "state"),
        to: fields.optionalString("to"),
        name: fields.optionalString("name"),
        text: fields.string("text"),
      };
    case "audio":
      return { type, call: fields.string("call"), trouble: fields.optionalString("trouble"), text: fields.string("text") };
    case "path":
      return { type, call: fields.string("call"), via: fields.string("via"), text: fields.string("text") };
    case "hangup":
      return { type, call: fields.string("call"), cause: readCause(fields.value("cause")) };
    case "error":
      return {
        type,
        call: fields.optionalString("call"),
        code: fields.string("code"),
        field: fields.optionalString("field"),
        text: fields.string("text"),
      };
    default:
      return null;
  }
}

/**
 * What a person typed, as it is dialled: the spacing of a telephone number is taken out, a name
 * or a URI stays as it is. `""` when there is nothing to dial.
 * @param {string} typed
 */
export function dialable(typed) {
  const text = typed.trim();
  return /^\+?[\d\s().\/*#-]+$/.test(text) && /[\d*#]/.test(text) ? text.replace(/[\s().\/-]/g, "") : text;
}

/** Digits that a telephone keypad can send. */
export const DTMF_DIGITS = /^[0-9A-D*#]+$/;

/** @param {unknown} text */
function parseObject(text) {
  if (typeof text !== "string") throw new ProtocolError("the gateway sent something that is not text");
  /** @type {unknown} */
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ProtocolError("the gateway sent something that is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ProtocolError("the gateway sent something that is not an object");
  }
  return /** @type {Record<string, unknown>} */ (value);
}

class Fields {
  #object;

  /** @param {Record<string, unknown>} object */
  constructor(object) {
    this.#object = object;
  }

  /** @param {string} name */
  value(name) {
    return this.#object[name];
  }

  /** @param {string} name */
  string(name) {
    const value = this.#object[name];
    if (typeof value !== "string") throw new ProtocolError(`"${name}" is not text`, name);
    return value;
  }

  /** @param {string} name */
  optionalString(name) {
    return this.#object[name] == null ? null : this.string(name);
  }

  /** @param {string} name */
  number(name) {
    const value = this.#object[name];
    if (typeof value !== "number" || !Number.isFinite(value)) throw new ProtocolError(`"${name}" is not a number`, name);
    return value;
  }

  /** @param {string} name */
  list(name) {
    const value = this.#object[name] ?? [];
    if (!Array.isArray(value)) throw new ProtocolError(`"${name}" is not a list`, name);
    return /** @type {unknown[]} */ (value);
  }
}

/**
 * @param {unknown[]} list
 * @returns {RTCIceServer[]}
 */
function readIceServers(list) {
  return list.map((entry) => {
    const fields = new Fields(asObject(entry, "ice_servers"));
    const urls = fields.list("urls").filter((url) => typeof url === "string");
    const username = fields.optionalString("username");
    const credential = fields.optionalString("credential");
    return { urls, ...(username === null ? {} : { username }), ...(credential === null ? {} : { credential }) };
  });
}

/**
 * @param {unknown} value
 * @returns {Record<string, string>}
 */
function readHeaders(value) {
  if (value == null) return {};
  /** @type {Record<string, string>} */
  const headers = {};
  for (const [name, text] of Object.entries(asObject(value, "headers"))) if (typeof text === "string") headers[name] = text;
  return headers;
}

/**
 * What this client does not know is no verification.
 * @param {unknown} value
 * @returns {Verification | null}
 */
function readVerification(value) {
  if (value == null) return null;
  const { result, attestation } = asObject(value, "verification");
  const known = VERDICTS.find((one) => one === result);
  return known ? { result: known, attestation: ATTESTATIONS.find((one) => one === attestation) ?? null } : null;
}

/** @type {readonly Verdict[]} */
const VERDICTS = ["verified", "failed", "absent"];
/** @type {readonly Attestation[]} */
const ATTESTATIONS = ["A", "B", "C"];
/** @type {readonly TransferState[]} */
const TRANSFER_STATES = ["trying", "ringing", "done", "failed"];
/** @type {readonly Presence[]} */
const PRESENCES = ["offline", "online", "in_call"];

/**
 * @template {string} T
 * @param {readonly T[]} known
 * @param {string} value
 * @param {string} field
 * @returns {T}
 */
function oneOf(known, value, field) {
  const found = known.find((one) => one === value);
  if (found === undefined) throw new ProtocolError(`"${field}" is none of ${known.join(", ")}`, field);
  return found;
}

/**
 * @param {unknown} entry
 * @returns {Person}
 */
function readPerson(entry) {
  const fields = new Fields(asObject(entry, "people"));
  return {
    user: fields.string("user"),
    display_name: fields.string("display_name"),
    presence: oneOf(PRESENCES, fields.string("presence"), "presence"),
  };
}

/**
 * @param {unknown} entry
 * @returns {LabNumber}
 */
function readLabNumber(entry) {
  if (typeof entry === "string") return { number: entry, description: "" };
  const fields = new Fields(asObject(entry, "lab"));
  return { number: fields.string("number"), description: fields.optionalString("description") ?? "" };
}

/**
 * @param {unknown} value
 * @returns {Cause}
 */
function readCause(value) {
  const fields = new Fields(asObject(value, "cause"));
  const number = (/** @type {string} */ name) => (fields.value(name) == null ? null : fields.number(name));
  return { code: fields.string("code"), text: fields.string("text"), sip: number("sip"), q850: number("q850") };
}

/**
 * @param {unknown} value
 * @param {string} field
 */
function asObject(value, field) {
  if (typeof value !== "object" || value === null) throw new ProtocolError(`"${field}" is not an object`, field);
  return /** @type {Record<string, unknown>} */ (value);
}
