// The microphone, and why there is none, in the cause codes of `LOCAL_CAUSES`.

import { localCause } from "./state.js";

/** @typedef {(constraints: MediaStreamConstraints) => Promise<MediaStream>} GetUserMedia */

/**
 * @param {GetUserMedia} getUserMedia
 * @param {MediaTrackConstraints} audio
 */
export async function openMicrophone(getUserMedia, audio) {
  try {
    return await getUserMedia({ audio, video: false });
  } catch (error) {
    // The device chosen last time is gone: take the one there is.
    if (nameOf(error) !== "OverconstrainedError") throw error;
    const { deviceId: _, ...rest } = audio;
    return getUserMedia({ audio: rest, video: false });
  }
}

/** @param {MediaStream | null} stream */
export function stop(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/**
 * @param {unknown} error what `getUserMedia` or an `RTCPeerConnection` threw
 * @returns {import("./protocol.js").Cause}
 */
export function causeOf(error) {
  switch (nameOf(error)) {
    case "NotAllowedError":
    case "SecurityError":
      return localCause("microphone_denied");
    case "NotFoundError":
    case "OverconstrainedError":
      return localCause("microphone_missing");
    case "NotReadableError":
    case "AbortError":
      return localCause("microphone_busy");
    case "InsecureContext":
      return localCause("microphone_insecure");
    case "Unsupported":
      return localCause("unsupported");
    default:
      return localCause("internal", words(error));
  }
}

/** @param {unknown} error */
export function words(error) {
  return isError(error) ? error.message : String(error);
}

/** @param {unknown} error */
function nameOf(error) {
  return isError(error) ? error.name : "";
}

/**
 * @param {unknown} error
 * @returns {error is Error}
 */
function isError(error) {
  return error instanceof Error || error instanceof DOMException;
}
