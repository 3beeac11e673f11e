//! One question, and what is counted while it is answered.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Which way the audio goes, and where its packets are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    /// Opus from the browser, lost on its way to us; the trunk hears G.711.
    FromBrowser,
    /// G.711 from the trunk; our Opus is lost on its way to the browser.
    ToBrowser,
    /// G.711 from the trunk, lost on its way to us; the browser hears Opus.
    FromTrunk,
}

/// What the packets go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Chain {
    /// The gateway's bridge.
    Gateway,
    /// The bare codecs, a lost Opus frame decoded from the next packet (FEC), lost G.711 repeated.
    Fec,
    /// The bare codecs, a lost Opus frame concealed by libopus.
    Conceal,
    /// The bare codecs, silence for what was lost.
    Silence,
}

/// How the sending side encodes Opus; the gateway's own encoder has its own policy.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Opus {
    /// In bit/s.
    pub(crate) bitrate: u32,
    /// 0 to 10.
    pub(crate) complexity: u8,
    /// The loss it prepares for, in percent; 0: no FEC.
    pub(crate) expected_loss: u8,
    /// Leaves silence out.
    #[serde(default)]
    pub(crate) dtx: bool,
}

/// See the example's documentation.
#[derive(Debug, Deserialize)]
pub(crate) struct Job {
    /// 8 kHz mono WAV.
    pub(crate) speech: PathBuf,
    /// Where the sound is written.
    pub(crate) out: PathBuf,
    /// The way of the audio.
    pub(crate) direction: Direction,
    /// What it goes through.
    pub(crate) chain: Chain,
    /// Opus of the bare chain, and of the browser.
    pub(crate) opus: Opus,
    /// The numbers of the lost packets.
    pub(crate) lost: Vec<u32>,
    /// How often the browser reports what it lost, in packets of 20 ms.
    #[serde(default = "report_every")]
    pub(crate) report_every: u32,
    /// How much of the sound is left out at the beginning, in milliseconds.
    #[serde(default)]
    pub(crate) skip_ms: usize,
}

fn report_every() -> u32 {
    125
}

/// What was counted.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    /// Packets that left.
    pub(crate) packets: u32,
    /// The shortest and the longest time between two of them, in ms.
    pub(crate) shortest_ms: f64,
    /// See `shortest_ms`.
    pub(crate) longest_ms: f64,
    /// The largest time from the arrival of a frame's own packet to its departure, in ms.
    pub(crate) delay_ms: f64,
    /// That of the last second.
    pub(crate) last_delay_ms: f64,
    /// Mean octets of an Opus packet.
    pub(crate) octets: f64,
    /// CPU time of the Opus encoder in microseconds a frame.
    pub(crate) encode_us: f64,
}

/// What was heard.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// 8 kHz mono.
    pub(crate) heard: Vec<i16>,
    /// See [`Figures`].
    pub(crate) figures: Figures,
}
