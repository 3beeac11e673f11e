//! Both pipes of one call and the RTCP of both legs.

use std::time::{Duration, Instant};

use crate::{BridgeConfig, BridgeReport, Digit, DtmfQueueFull, Leg, RtpFormat};

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
#[derive(Debug)]
pub struct Bridge {
    config: BridgeConfig,
}

#[allow(missing_docs, unused_variables)]
impl Bridge {
    pub fn new(now: Instant, config: BridgeConfig) -> Self {
        Self { config }
    }
    pub fn connect_trunk(&mut self, now: Instant, format: RtpFormat) {}
    pub fn handle_rtp(&mut self, now: Instant, from: Leg, packet: &[u8]) {}
    pub fn handle_rtcp(&mut self, now: Instant, from: Leg, packet: &[u8]) {}
    pub fn send_dtmf(
        &mut self,
        now: Instant,
        to: Leg,
        digit: Digit,
        duration: Duration,
    ) -> Result<(), DtmfQueueFull> {
        Ok(())
    }
    pub fn set_trunk_sending(&mut self, sending: bool) {}
    pub fn set_browser_sending(&mut self, sending: bool) {}
    pub fn close(&mut self, now: Instant) {}
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Transmit> {
        None
    }
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    pub fn handle_timeout(&mut self, now: Instant) {}
    pub fn poll_event(&mut self) -> Option<BridgeEvent> {
        None
    }
    pub fn last_packet(&self, leg: Leg) -> Option<Instant> {
        None
    }
    pub fn report(&self) -> BridgeReport {
        BridgeReport::default()
    }
}
