//! One leg of a bridge: what it sends, what it is sent, and the reports about both.

use std::time::{Duration, Instant};

use crate::config::BridgeConfig;
use crate::dtmf::{DtmfWay, ear::Ear, receive, send};
use crate::format::{Codec, RtpFormat, StreamStart};
use crate::outgoing::Outgoing;
use crate::pipe::Figures;
use crate::receiver::Receiver;
use crate::report::LegReport;
use crate::rtcp::reporter::Reporter;

/// One leg.
#[derive(Debug)]
pub(crate) struct Side {
    /// How it is spoken with, once that is known.
    pub(crate) format: Option<RtpFormat>,
    pub(crate) receiver: Receiver,
    pub(crate) keys_in: receive::Receiver,
    /// Listens for keys in the audio, where they come so.
    pub(crate) ear: Option<Box<Ear>>,
    pub(crate) keys_out: send::Sender,
    pub(crate) out: Outgoing,
    pub(crate) reporter: Reporter,
    pub(crate) heard: bool,
    event_timeout: Duration,
}

impl Side {
    pub(crate) fn new(now: Instant, start: StreamStart, seed: u64, config: &BridgeConfig) -> Self {
        let limits = &config.limits;
        Self {
            format: None,
            receiver: Receiver::new(now, limits),
            keys_in: receive::Receiver::new(8000, limits.event_timeout),
            ear: None,
            keys_out: send::Sender::new(limits.interdigit),
            out: Outgoing::new(start),
            reporter: Reporter::new(now, limits.report_interval, config.ntp_start, seed),
            heard: false,
            event_timeout: limits.event_timeout,
        }
    }

    /// Says how keys cross on this leg.
    pub(crate) fn set_dtmf(&mut self, now: Instant, way: DtmfWay) {
        self.keys_out.set_way(now, way, &mut self.out);
        match way {
            DtmfWay::Tones => {
                let timeout = self.event_timeout;
                self.ear.get_or_insert_with(|| Box::new(Ear::new(timeout)));
            }
            DtmfWay::Events | DtmfWay::Signalling => self.ear = None,
        }
    }

    /// Takes up a format, or another one.
    pub(crate) fn set_format(&mut self, format: RtpFormat) {
        let before = self.format.replace(format);
        self.out.set_format(format);
        if before.is_none_or(|before| {
            before.telephone_event_clock_rate != format.telephone_event_clock_rate
        }) {
            self.keys_in =
                receive::Receiver::new(format.telephone_event_clock_rate, self.event_timeout);
        }
        if before.is_none_or(|before| before.codec.clock_rate() != format.codec.clock_rate()) {
            self.receiver.set_clock(format.codec.units_per_sample());
        }
    }

    /// When this leg has something to do.
    pub(crate) fn poll_timeout(&self, closed: bool) -> Option<Instant> {
        let reports = self.format.and_then(|_| self.reporter.poll_timeout());
        if closed {
            return reports;
        }
        let deadlines = [
            self.receiver.poll_timeout(),
            self.keys_in.poll_timeout(),
            self.ear.as_ref().and_then(|ear| ear.poll_timeout()),
            self.keys_out.poll_timeout(),
            self.out.poll_timeout(),
            reports,
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Its figures; `pipe` is the one that it feeds.
    pub(crate) fn report(&self, pipe: Figures) -> LegReport {
        let received = &self.receiver.figures;
        let rate = f64::from(
            self.format
                .map_or(Codec::Pcmu, |format| format.codec)
                .clock_rate(),
        );
        LegReport {
            packets_in: received.packets,
            octets_in: received.octets,
            packets_out: self.out.packets,
            octets_out: self.out.octets,
            lost: self.receiver.lost(),
            reordered: received.reordered,
            duplicates: received.duplicates,
            late: received.late,
            bad_packets: received.bad,
            source_changes: received.source_changes,
            jitter_ms: f64::from(self.receiver.jitter()) * 1000.0 / rate,
            round_trip_ms: self.reporter.round_trip_ms,
            remote_loss: f64::from(self.reporter.remote_fraction_lost.unwrap_or(0)) / 256.0,
            remote_jitter_ms: f64::from(self.reporter.remote_jitter) * 1000.0 / rate,
            unreported: self.reporter.unreported,
            remote_mos: self.reporter.remote_voip.and_then(|voip| voip.mos_lq),
            voiced: pipe.level.voiced(),
            level_dbm0: pipe.level.dbm0().0,
            concealed: Duration::from_micros(pipe.concealed * 125),
            recovered: Duration::from_micros(pipe.recovered * 125),
            undecodable: pipe.undecodable,
            overrun: self.out.overrun,
        }
    }
}
