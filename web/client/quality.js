// How a call sounds, out of two snapshots of RTCPeerConnection.getStats().

/**
 * @typedef {object} Snapshot
 * @property {number} at milliseconds
 * @property {number} received packets, since the call began
 * @property {number} lost packets that never came, since the call began
 * @property {number} sent packets, since the call began
 * @property {number | null} jitter_ms
 * @property {number | null} rtt_ms round trip to the gateway
 * @property {number | null} lost_sent fraction of ours that the gateway missed, 0 to 1
 * @property {number} concealed samples made up, since the call began
 * @property {number} samples all samples played, since the call began
 * @property {string | null} codec as in `opus/48000`
 */

/**
 * @typedef {object} Quality
 * @property {"good" | "fair" | "poor"} word
 * @property {string | null} codec
 * @property {number | null} loss fraction of packets missed since the last snapshot, 0 to 1
 * @property {number | null} lost_sent
 * @property {number | null} jitter_ms
 * @property {number | null} rtt_ms
 * @property {number | null} concealed fraction of the sound made up since the last snapshot, 0 to 1
 */

/**
 * @param {Iterable<[string, any]>} report an RTCStatsReport
 * @param {number} at
 * @returns {Snapshot}
 */
export function snapshot(report, at) {
  const stats = new Map(report);
  const audio = (/** @type {string} */ type) => [...stats.values()].find((s) => s.type === type && s.kind === "audio");
  const inbound = audio("inbound-rtp");
  const outbound = audio("outbound-rtp");
  const remote = audio("remote-inbound-rtp");
  const transport = [...stats.values()].find((s) => s.type === "transport");
  const pair = stats.get(transport?.selectedCandidatePairId);
  const codec = stats.get((inbound ?? outbound)?.codecId);
  const milliseconds = (/** @type {unknown} */ seconds) => (typeof seconds === "number" ? seconds * 1000 : null);
  return {
    at,
    received: inbound?.packetsReceived ?? 0,
    lost: inbound?.packetsLost ?? 0,
    sent: outbound?.packetsSent ?? 0,
    jitter_ms: milliseconds(inbound?.jitter),
    rtt_ms: milliseconds(pair?.currentRoundTripTime ?? remote?.roundTripTime),
    lost_sent: typeof remote?.fractionLost === "number" ? remote.fractionLost : null,
    concealed: inbound?.concealedSamples ?? 0,
    samples: inbound?.totalSamplesReceived ?? 0,
    codec: codec ? `${String(codec.mimeType).replace(/^audio\//i, "")}/${codec.clockRate}` : null,
  };
}

/**
 * @param {Snapshot | null} before
 * @param {Snapshot} after
 * @returns {Quality}
 */
export function quality(before, after) {
  const received = after.received - (before?.received ?? 0);
  // A late packet is taken off the count of lost ones, which can make the difference negative.
  const lost = Math.max(0, after.lost - (before?.lost ?? 0));
  const loss = received + lost > 0 ? lost / (received + lost) : null;
  const samples = after.samples - (before?.samples ?? 0);
  const concealed = samples > 0 ? Math.max(0, after.concealed - (before?.concealed ?? 0)) / samples : null;
  const { codec, lost_sent, jitter_ms, rtt_ms } = after;
  return { word: judge(Math.max(loss ?? 0, lost_sent ?? 0), jitter_ms ?? 0, rtt_ms ?? 0), codec, loss, lost_sent, jitter_ms, rtt_ms, concealed };
}

/**
 * Limits of ITU-T G.114 for delay and of everyday experience for the rest.
 * @param {number} loss
 * @param {number} jitter_ms
 * @param {number} rtt_ms
 */
function judge(loss, jitter_ms, rtt_ms) {
  if (loss > 0.05 || jitter_ms > 60 || rtt_ms > 600) return "poor";
  if (loss > 0.01 || jitter_ms > 30 || rtt_ms > 300) return "fair";
  return "good";
}
