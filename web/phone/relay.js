// Whether calls have to go through the gateway's relay (TURN), and the choice of last time.

const KEY = "switchhook.relay";

/**
 * `relay=1` or `relay=0` in the page's address goes before what was chosen, and is not kept.
 * @param {string} search the address's query
 * @param {() => Pick<Storage, "getItem">} storage
 */
export function loadRelay(search, storage = () => localStorage) {
  const wanted = new URLSearchParams(search).get("relay");
  if (wanted === "1" || wanted === "0") return wanted === "1";
  try {
    return storage().getItem(KEY) === "1";
  } catch {
    return false;
  }
}

/**
 * @param {boolean} relay
 * @param {() => Pick<Storage, "setItem">} storage
 */
export function saveRelay(relay, storage = () => localStorage) {
  try {
    storage().setItem(KEY, relay ? "1" : "0");
  } catch {
    // Without storage the choice lasts as long as the page.
  }
}
