// Which microphone and speaker to use: the lists, and what was chosen last time.

/**
 * @typedef {object} Choice
 * @property {string} microphone a device id; `""` is the standard one
 * @property {string} speaker likewise
 * @property {boolean} processing echo, noise and level control by the browser
 */

const KEY = "switchhook.sound";

/** @returns {Choice} */
export function loadChoice() {
  const choice = { microphone: "", speaker: "", processing: true };
  try {
    const saved = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    if (typeof saved.microphone === "string") choice.microphone = saved.microphone;
    if (typeof saved.speaker === "string") choice.speaker = saved.speaker;
    if (typeof saved.processing === "boolean") choice.processing = saved.processing;
  } catch {
    // Nothing saved, or no storage: the standard devices do.
  }
  return choice;
}

/** @param {Choice} choice */
export function saveChoice(choice) {
  try {
    localStorage.setItem(KEY, JSON.stringify(choice));
  } catch {
    // Without storage the choice lasts as long as the page.
  }
}

/**
 * @param {Choice} choice
 * @returns {MediaTrackConstraints}
 */
export function constraints({ microphone, processing }) {
  return {
    ...(microphone ? { deviceId: { exact: microphone } } : {}),
    echoCancellation: processing,
    noiseSuppression: processing,
    autoGainControl: processing,
  };
}

/** Whether the page may choose where it is heard. */
export function speakersCanBeChosen() {
  return "setSinkId" in HTMLMediaElement.prototype;
}

/** @returns {Promise<{ microphones: MediaDeviceInfo[], speakers: MediaDeviceInfo[], named: boolean }>} */
export async function listDevices() {
  const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
  const of = (/** @type {MediaDeviceKind} */ kind) => devices.filter((d) => d.kind === kind && d.deviceId !== "" && d.deviceId !== "default");
  return { microphones: of("audioinput"), speakers: of("audiooutput"), named: devices.some((d) => d.label !== "") };
}

/**
 * @param {HTMLSelectElement} select
 * @param {MediaDeviceInfo[]} devices
 * @param {string} chosen
 */
export function fillSelect(select, devices, chosen) {
  const options = [new Option("Standard", "")];
  devices.forEach((device, i) => options.push(new Option(device.label || `Device ${i + 1}`, device.deviceId)));
  // A device that is unplugged now is chosen again once it is back.
  if (chosen && !devices.some((d) => d.deviceId === chosen)) options.push(new Option("Chosen before (not here now)", chosen));
  select.replaceChildren(...options);
  select.value = chosen;
}
