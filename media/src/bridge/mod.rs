//! Both pipes of one call and the RTCP of both legs.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::path::Path;
use crate::pipe::{Figures, Pipe};
use crate::playout::{Content, Frame, Turn};
use crate::quality;
use crate::receiver::Accepted;
use crate::rtp;
use crate::side::Side;
use crate::{
    BridgeConfig, BridgeReport, Codec, Digit, DtmfQueueFull, DtmfWay, Leg, RtpFormat, StreamStart,
};

/// Events that may wait to be fetched.
const EVENTS: usize = 24;

/// What a datagram to be sent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketKind {
    /// An RTP packet.
    Rtp,
    /// A compound RTCP packet.
    Rtcp,
}

/// A datagram that [`Bridge::poll_transmit`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// Where it goes.
    pub leg: Leg,
    /// RTP or RTCP: the caller encrypts each its own way.
    pub kind: PacketKind,
    /// Its length, from the beginning of the buffer.
    pub len: usize,
}

/// What happened in the media of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BridgeEvent {
    /// A key was pressed and let go, as a telephone-event of that leg.
    Dtmf {
        /// The leg it came from.
        from: Leg,
        /// The key.
        digit: Digit,
        /// How long it was held.
        duration: Duration,
    },
    /// The first audio of a leg came.
    FirstPacket {
        /// The leg it came from.
        from: Leg,
    },
}

/// A call's media.
///
/// Drive it so: hand in packets as they come, and call [`Bridge::handle_timeout`] when [`Bridge::poll_timeout`] says.
/// After each, call [`Bridge::poll_transmit`] and [`Bridge::poll_event`] until they have no more.
#[derive(Debug)]
pub struct Bridge {
    config: BridgeConfig,
    browser: Side,
    trunk: Side,
    /// Nothing flows until the trunk is connected.
    to_trunk: Option<Pipe>,
    to_browser: Option<Pipe>,
    events: Events,
    closed: bool,
}

impl Bridge {
    /// A bridge with its browser's leg alone, or none. What the browser says is counted and dropped.
    pub fn new(now: Instant, config: BridgeConfig) -> Self {
        let mut browser = Side::new(now, config.browser_start, config.seed, &config);
        if let Some(format) = config.browser {
            browser.set_format(format);
        }
        let trunk = Side::new(
            now,
            config.trunk_start,
            config.seed.rotate_left(32) ^ 1,
            &config,
        );
        Self {
            browser,
            trunk,
            to_trunk: None,
            to_browser: None,
            events: Events::new(),
            closed: false,
            config,
        }
    }

    /// Connects the trunk, with early media or after the answer. Another call changes the format; our streams go on
    /// without a jump.
    pub fn connect_trunk(&mut self, _now: Instant, format: RtpFormat) {
        if self.trunk.format != Some(format) {
            self.trunk.set_format(format);
            self.lay_pipes();
        }
    }

    /// Changes the browser's format, after a renegotiation. Our streams go on without a jump.
    pub fn change_browser(&mut self, _now: Instant, format: RtpFormat) {
        if self.browser.format != Some(format) {
            self.browser.set_format(format);
            self.lay_pipes();
        }
    }

    /// Another telephone takes the browser's place, which [`Leg::Browser`] is the name of from then on. Its stream begins
    /// anew there, and so do the figures of that leg.
    pub fn replace_browser(&mut self, now: Instant, format: RtpFormat, start: StreamStart) {
        // A key that is down is let go, or it would sound for ever over there. It is not one of the other telephone's.
        let told = self.events.queue.len();
        self.path(Leg::Browser).1.restart(now);
        self.events.queue.truncate(told);
        let seed = self.config.seed.rotate_left(16) ^ u64::from(start.ssrc);
        self.browser = Side::new(now, start, seed, &self.config);
        self.browser.set_format(format);
        (self.to_trunk, self.to_browser) = (None, None);
        self.lay_pipes();
    }

    /// Takes a plaintext RTP packet of a leg. What is malformed, unknown or not of the leg's stream is counted and
    /// dropped.
    pub fn handle_rtp(&mut self, now: Instant, from: Leg, packet: &[u8]) {
        if self.closed {
            return;
        }
        let side = self.side_mut(from);
        let Ok(packet) = rtp::read(packet) else {
            side.receiver.figures.bad += 1;
            return;
        };
        let audio = side
            .format
            .and_then(|format| format.codec_of(packet.payload_type));
        let content = content(side.format, audio, &packet);
        let clock_rate = audio.map(|codec| codec.clock_rate());
        let accepted = side.receiver.accept(now, &packet, clock_rate, content);
        let (Accepted::Play { restarted, .. } | Accepted::Wait { restarted }) = accepted else {
            return;
        };
        let (receiver, mut path) = self.path(from);
        if restarted {
            path.restart(now);
        }
        if let Accepted::Play { lost, gap, .. } = accepted {
            receiver.figures.bad += path.play(now, Turn::Packet(Frame::of(&packet, lost, gap)));
        }
        self.take_waiting(now, from);
    }

    /// Takes a plaintext RTCP packet of a leg.
    pub fn handle_rtcp(&mut self, now: Instant, from: Leg, packet: &[u8]) {
        let side = self.side_mut(from);
        let Ok(news) = side.reporter.handle(now, packet, side.out.ssrc()) else {
            side.receiver.figures.bad += 1;
            return;
        };
        if !news {
            return;
        }
        let reported = side.reporter.expected_loss();
        let pipe = match from {
            Leg::Browser => &mut self.to_browser,
            Leg::Trunk => &mut self.to_trunk,
        };
        if let Some(pipe) = pipe {
            pipe.set_expected_loss(reported.max(self.config.opus.expected_loss));
        }
    }

    /// Sends a digit that signalling asks for, after those that wait. Nothing is sent to a leg that takes no
    /// telephone-events.
    pub fn send_dtmf(
        &mut self,
        now: Instant,
        to: Leg,
        digit: Digit,
        duration: Duration,
    ) -> Result<(), DtmfQueueFull> {
        let (side, pipe) = match to {
            Leg::Browser => (&mut self.browser, &mut self.to_browser),
            Leg::Trunk => (&mut self.trunk, &mut self.to_trunk),
        };
        side.keys_out.press(digit, duration)?;
        side.keys_out
            .handle_timeout(now, pipe.as_mut(), &mut side.out);
        Ok(())
    }

    /// How keys cross on a telephone's leg; at first as telephone-events. Allocates.
    pub fn set_dtmf(&mut self, now: Instant, leg: Leg, way: DtmfWay) {
        self.side_mut(leg).set_dtmf(now, way);
    }

    /// Whether the trunk is told how its voice arrives (RTCP XR, RFC 3611 §4.7).
    pub fn set_voip_metrics(&mut self, told: bool) {
        self.config.voip_metrics = told;
    }

    /// Whether packets go to the trunk (direction attributes, hold). Its stream's time goes on meanwhile.
    pub fn set_trunk_sending(&mut self, sending: bool) {
        self.trunk.out.set_sending(sending);
    }

    /// Whether packets go to the browser.
    pub fn set_browser_sending(&mut self, sending: bool) {
        self.browser.out.set_sending(sending);
    }

    /// The complexity that Opus is encoded with from now on, 0 (cheapest) to 10: more while there is time to spare.
    pub fn set_opus_complexity(&mut self, complexity: u8) {
        self.config.opus.complexity = complexity.min(10);
        for pipe in [&mut self.to_trunk, &mut self.to_browser]
            .into_iter()
            .flatten()
        {
            pipe.set_complexity(self.config.opus.complexity);
        }
    }

    /// The target that Opus is encoded for from now on, in bit/s (6000 to 510000).
    pub fn set_opus_bitrate(&mut self, bitrate: u32) {
        self.config.opus.bitrate = bitrate.clamp(6_000, 510_000);
        for pipe in [&mut self.to_trunk, &mut self.to_browser]
            .into_iter()
            .flatten()
        {
            pipe.set_bitrate(self.config.opus.bitrate);
        }
    }

    /// Ends the media: RTCP goodbyes leave, then nothing more does.
    pub fn close(&mut self, now: Instant) {
        self.closed = true;
        self.browser.reporter.close(now);
        self.trunk.reporter.close(now);
    }

    /// Writes the next packet that is to be sent to the front of `buffer` (1500 octets hold every one). Call it until
    /// there is none.
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Transmit> {
        for leg in [Leg::Browser, Leg::Trunk] {
            let closed = self.closed;
            let side = self.side_mut(leg);
            if side.format.is_none() {
                continue;
            }
            if !closed && let Some(len) = side.out.poll(now, buffer) {
                return Some(Transmit {
                    leg,
                    kind: PacketKind::Rtp,
                    len,
                });
            }
            if let Some(len) = self.report_to(now, leg, buffer) {
                return Some(Transmit {
                    leg,
                    kind: PacketKind::Rtcp,
                    len,
                });
            }
        }
        None
    }

    /// When [`Bridge::handle_timeout`] and [`Bridge::poll_transmit`] want to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [
            self.browser.poll_timeout(self.closed),
            self.trunk.poll_timeout(self.closed),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        for leg in [Leg::Browser, Leg::Trunk] {
            self.take_waiting(now, leg);
            self.path(leg).1.handle_timeout(now);
        }
        for (side, pipe) in [
            (&mut self.browser, &mut self.to_browser),
            (&mut self.trunk, &mut self.to_trunk),
        ] {
            side.keys_out
                .handle_timeout(now, pipe.as_mut(), &mut side.out);
        }
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<BridgeEvent> {
        self.events.queue.pop_front()
    }

    /// When the last RTP packet of the leg's stream came.
    pub fn last_packet(&self, leg: Leg) -> Option<Instant> {
        self.side(leg).receiver.last_packet()
    }

    /// The figures so far.
    pub fn report(&self) -> BridgeReport {
        let figures = |pipe: &Option<Pipe>| {
            pipe.as_ref()
                .map_or(Figures::default(), |pipe| pipe.figures)
        };
        BridgeReport {
            browser: self.browser.report(figures(&self.to_trunk)),
            trunk: self.trunk.report(figures(&self.to_browser)),
            to_trunk: quality::hearing(&self.browser, &self.trunk, self.to_trunk.as_ref()),
            to_browser: quality::hearing(&self.trunk, &self.browser, self.to_browser.as_ref()),
            dropped_events: self.events.dropped,
        }
    }

    /// Writes the RTCP that is due to a leg.
    fn report_to(&mut self, now: Instant, leg: Leg, buffer: &mut [u8]) -> Option<usize> {
        self.side(leg)
            .reporter
            .poll_timeout()
            .filter(|due| *due <= now)?;
        let voip = match leg {
            Leg::Trunk if self.config.voip_metrics => quality::voip_metrics(
                &self.trunk,
                &self.browser,
                self.to_browser.as_ref(),
                &self.config.limits,
            ),
            Leg::Trunk | Leg::Browser => None,
        };
        let (side, config) = match leg {
            Leg::Browser => (&mut self.browser, &self.config),
            Leg::Trunk => (&mut self.trunk, &self.config),
        };
        let sent = side.out.sent(now);
        side.reporter
            .poll(now, &config.cname, sent, voip, &mut side.receiver, buffer)
    }

    /// Lays both pipes between the formats of now.
    fn lay_pipes(&mut self) {
        let (Some(browser), Some(trunk)) = (self.browser.format, self.trunk.format) else {
            return;
        };
        let lay = |pipe: &mut Option<Pipe>, from: &RtpFormat, to: &RtpFormat| {
            // It fails only for want of memory; then the pipe of before, or silence, is the best there is.
            let Ok(new) = Pipe::new(from, to, self.config.opus, self.config.dtx) else {
                return;
            };
            match pipe {
                Some(pipe) => pipe.replace(new),
                None => *pipe = Some(new),
            }
        };
        lay(&mut self.to_trunk, &browser, &trunk);
        lay(&mut self.to_browser, &trunk, &browser);
        for (pipe, side) in [
            (&self.to_trunk, &mut self.browser),
            (&self.to_browser, &mut self.trunk),
        ] {
            if let Some(pipe) = pipe {
                side.receiver.set_style(pipe.style());
            }
        }
    }

    /// Takes the packets whose turn has come.
    fn take_waiting(&mut self, now: Instant, from: Leg) {
        let (receiver, mut path) = self.path(from);
        let mut bad = 0;
        while let Some(turn) = receiver.turn(now) {
            bad += path.play(now, turn);
        }
        receiver.figures.bad += bad;
    }

    /// The way of a leg's packets.
    fn path(&mut self, from: Leg) -> (&mut crate::receiver::Receiver, Path<'_>) {
        let (side, other, pipe) = match from {
            Leg::Browser => (&mut self.browser, &mut self.trunk, &mut self.to_trunk),
            Leg::Trunk => (&mut self.trunk, &mut self.browser, &mut self.to_browser),
        };
        let path = Path {
            from,
            format: side.format,
            keys_in: &mut side.keys_in,
            ear: side.ear.as_deref_mut(),
            heard: &mut side.heard,
            pipe: pipe.as_mut(),
            keys_out: &mut other.keys_out,
            out: &mut other.out,
            events: &mut self.events,
        };
        (&mut side.receiver, path)
    }

    fn side(&self, leg: Leg) -> &Side {
        match leg {
            Leg::Browser => &self.browser,
            Leg::Trunk => &self.trunk,
        }
    }

    fn side_mut(&mut self, leg: Leg) -> &mut Side {
        match leg {
            Leg::Browser => &mut self.browser,
            Leg::Trunk => &mut self.trunk,
        }
    }
}

/// What a packet holds, as its leg's format has it.
fn content(format: Option<RtpFormat>, codec: Option<Codec>, packet: &rtp::Packet<'_>) -> Content {
    match codec.map(|codec| (codec, codec.samples_of(packet.payload))) {
        Some((Codec::Opus, Some(samples))) if packet.payload.len() <= 2 => Content::Dtx { samples },
        Some((codec, Some(samples))) => Content::Audio {
            samples,
            opus: codec == Codec::Opus,
        },
        None if format.is_some_and(|format| format.is_comfort_noise(packet.payload_type)) => {
            Content::ComfortNoise
        }
        Some((_, None)) | None => Content::Other,
    }
}

/// Events that wait. When nobody fetches them the newest is dropped and counted.
#[derive(Debug)]
pub(crate) struct Events {
    queue: VecDeque<BridgeEvent>,
    dropped: u64,
}

impl Events {
    fn new() -> Self {
        Self {
            queue: VecDeque::with_capacity(EVENTS),
            dropped: 0,
        }
    }

    pub(crate) fn push(&mut self, event: BridgeEvent) {
        if self.queue.len() == EVENTS {
            self.dropped += 1;
        } else {
            self.queue.push_back(event);
        }
    }
}
