//! The same kind of codec on both sides: what came goes on, untouched where it can.

use codecs::conceal::{Concealer, HISTORY};
use codecs::g711::{self, Law};

use super::{Figures, MAX_CONCEALED, Pass};
use crate::format::Codec;
use crate::level::Level;
use crate::outgoing::{Audio, Outgoing};
use crate::playout::Frame;

/// The longest frame of ours: 60 ms.
const MAX_FRAME: usize = 480;
/// So many samples of a packet tell its level: 10 ms.
const LOOKED_AT: usize = 80;

/// G.711 to G.711: octets are passed on, or exchanged for the other law's. The last ones are kept, and decoded only when
/// something has to be made up behind them.
#[derive(Debug)]
pub(super) struct CopyG711 {
    law: Law,
    /// That of the last packet.
    heard: Law,
    concealer: Box<Concealer>,
    /// The last octets that the concealer has not heard yet, `recent[..kept]`.
    recent: [u8; HISTORY],
    kept: usize,
    /// What was sent last was made up.
    made_up: bool,
    frame: [u8; MAX_FRAME],
    filled: usize,
    size: usize,
}

impl CopyG711 {
    pub(super) fn new(law: Law, size: usize) -> Self {
        Self {
            law,
            heard: law,
            concealer: Box::new(Concealer::new()),
            recent: [0; HISTORY],
            kept: 0,
            made_up: false,
            frame: [0; MAX_FRAME],
            filled: 0,
            size,
        }
    }

    pub(super) fn play(
        &mut self,
        mut pass: Pass,
        codec: Codec,
        payload: &[u8],
        muted: bool,
        out: &mut Outgoing,
        level: &mut Level,
    ) {
        let Some(law) = codec.law() else {
            return;
        };
        let payload = &payload[..payload.len().min(MAX_CONCEALED)];
        if law != self.heard {
            self.catch_up();
            self.heard = law;
        }
        let mut pcm = [0; LOOKED_AT];
        let looked_at = payload.len().min(LOOKED_AT);
        g711::decode_into(law, payload, &mut pcm[..looked_at]);
        level.hear(&pcm[..looked_at]);
        if muted {
            self.made_up = false;
            self.keep(payload);
            self.pause(pass, payload.len() as u64, out);
        } else if std::mem::take(&mut self.made_up) {
            self.join(&mut pass, payload, out);
        } else {
            self.keep(payload);
            if law == self.law {
                return self.write(&mut pass, payload, out);
            }
            let mut octets = [0; MAX_CONCEALED];
            let octets = &mut octets[..payload.len()];
            g711::transcode(law, self.law, payload, octets);
            self.write(&mut pass, octets, out);
        }
    }

    /// The first audio behind what was made up, which turns into it.
    fn join(&mut self, pass: &mut Pass, payload: &[u8], out: &mut Outgoing) {
        let (mut pcm, mut octets) = ([0; MAX_CONCEALED], [0; MAX_CONCEALED]);
        let (audio, octets) = (&mut pcm[..payload.len()], &mut octets[..payload.len()]);
        g711::decode_into(self.heard, payload, audio);
        if self.concealer.receive(audio) {
            g711::encode_into(self.law, audio, octets);
        } else {
            g711::transcode(self.heard, self.law, payload, octets);
        }
        self.write(pass, octets, out);
    }

    /// Keeps octets for when something has to be made up behind them.
    fn keep(&mut self, octets: &[u8]) {
        let new = &octets[octets.len().saturating_sub(HISTORY)..];
        let old = self.kept.min(HISTORY - new.len());
        self.recent.copy_within(self.kept - old..self.kept, 0);
        self.recent[old..old + new.len()].copy_from_slice(new);
        self.kept = old + new.len();
    }

    /// Lets the concealer hear what it has not heard yet.
    fn catch_up(&mut self) {
        if self.kept == 0 {
            return;
        }
        let mut pcm = [0; HISTORY];
        let audio = &mut pcm[..std::mem::take(&mut self.kept)];
        g711::decode_into(self.heard, &self.recent[..audio.len()], audio);
        self.concealer.receive(audio);
    }

    /// Audio of our own.
    pub(super) fn sound(&mut self, mut pass: Pass, pcm: &[i16], out: &mut Outgoing) {
        let mut octets = [0; MAX_CONCEALED];
        let octets = &mut octets[..pcm.len().min(MAX_CONCEALED)];
        g711::encode_into(self.law, pcm, octets);
        self.write(&mut pass, octets, out);
    }

    /// Makes up audio that was lost.
    pub(super) fn make_up(
        &mut self,
        mut pass: Pass,
        successor: Option<&[u8]>,
        out: &mut Outgoing,
        figures: &mut Figures,
    ) {
        self.catch_up();
        self.made_up = true;
        let (mut pcm, mut octets) = ([0; MAX_CONCEALED], [0; MAX_CONCEALED]);
        let lost = &mut pcm[..pass.burst];
        self.concealer.make_up(successor, self.heard, lost);
        figures.concealed += lost.len() as u64;
        let octets = &mut octets[..lost.len()];
        g711::encode_into(self.law, lost, octets);
        self.write(&mut pass, octets, out);
    }

    pub(super) fn pause(&mut self, mut pass: Pass, samples: u64, out: &mut Outgoing) {
        let mut rest = samples;
        if self.filled > 0 && rest > 0 {
            let padding =
                (self.size - self.filled).min(usize::try_from(rest).unwrap_or(usize::MAX));
            let silence = [self.law.silence(); MAX_FRAME];
            self.write(&mut pass, &silence[..padding], out);
            rest -= padding as u64;
        }
        out.skip(pass.now, rest);
    }

    fn write(&mut self, pass: &mut Pass, mut octets: &[u8], out: &mut Outgoing) {
        while !octets.is_empty() {
            if self.filled == 0 && octets.len() >= self.size {
                let (whole, later) = octets.split_at(self.size);
                octets = later;
                send(pass, whole, out);
                continue;
            }
            let (now, later) = octets.split_at(octets.len().min(self.size - self.filled));
            self.frame[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            octets = later;
            if self.filled == self.size {
                self.filled = 0;
                send(pass, &self.frame[..self.size], out);
            }
        }
    }
}

fn send(pass: &mut Pass, octets: &[u8], out: &mut Outgoing) {
    let first = std::mem::take(&mut pass.first);
    out.audio(
        pass.now,
        Audio {
            payload: octets,
            samples: octets.len(),
            burst: pass.burst,
            first,
        },
    );
}

/// Opus to Opus: packets go on as they are. A lost one stays lost, so that the far decoder can use its own FEC.
#[derive(Debug)]
pub(super) struct ForwardOpus;

impl ForwardOpus {
    pub(super) fn play(&mut self, pass: Pass, frame: &Frame<'_>, muted: bool, out: &mut Outgoing) {
        let samples = pass.burst;
        if muted {
            out.skip(pass.now, samples as u64);
        } else {
            out.lose(frame.lost);
            out.audio(
                pass.now,
                Audio {
                    payload: frame.payload,
                    samples,
                    burst: samples,
                    first: true,
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::StreamStart;
    use crate::format::RtpFormat;

    /// A voice, in packets of 20 ms.
    fn packets() -> Vec<Vec<u8>> {
        let sample = |n: usize| {
            let time = n as f64 / 8000.0;
            let swell = 0.6 + 0.4 * (time * 25.0).sin();
            (swell * 9_000.0 * (time * 900.0).sin()) as i16
        };
        let pcm: Vec<i16> = (0..40 * 160).map(sample).collect();
        pcm.chunks(160)
            .map(|pcm| {
                let mut octets = vec![0; 160];
                g711::encode_into(Law::Mu, pcm, &mut octets);
                octets
            })
            .collect()
    }

    /// What is made up must not depend on how the past was kept: here by a concealer that hears everything at once.
    #[test]
    fn what_is_made_up_is_that_of_a_concealer_that_heard_all() {
        let now = Instant::now();
        let mut out = Outgoing::new(StreamStart {
            ssrc: 1,
            sequence: 0,
            timestamp: 0,
        });
        out.set_format(RtpFormat::usual(Codec::Pcmu));
        let (mut pipe, mut all) = (CopyG711::new(Law::Mu, 160), Concealer::new());
        let (mut level, mut figures) = (Level::default(), Figures::default());
        let mut buffer = [0; 1500];
        for (index, packet) in packets().into_iter().enumerate() {
            let mut pcm = [0; 160];
            let pass = Pass::new(now, 160);
            if [3, 9, 10, 20, 21, 22, 30].contains(&index) {
                pipe.make_up(pass, None, &mut out, &mut figures);
                all.make_up(None, Law::Mu, &mut pcm);
            } else {
                pipe.play(pass, Codec::Pcmu, &packet, false, &mut out, &mut level);
                g711::decode_into(Law::Mu, &packet, &mut pcm);
                all.receive(&mut pcm);
            }
            // As octets, of which two are zero.
            let mut octets = [0; 160];
            g711::encode_into(Law::Mu, &pcm, &mut octets);
            g711::decode_into(Law::Mu, &octets, &mut pcm);
            let len = out.poll(now, &mut buffer).expect("a packet");
            let mut heard = [0; 160];
            g711::decode_into(Law::Mu, &buffer[12..len], &mut heard);
            assert_eq!(heard, pcm, "{index}");
        }
    }
}
