//! What the two ends of a call know of each other here: they are in one program, and one clock times both.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use media::Participant;

use crate::ear::{Ear, SentLog};
use crate::pesq::Recording;
use crate::recorder::Recorder;

/// One call's two ends.
#[derive(Debug, Default)]
pub struct Link {
    /// What the browser sent.
    pub from_browser: SentLog,
    /// What the telephone sent.
    pub from_phone: SentLog,
    /// What both ends hear is recorded.
    pub(crate) recorded: bool,
    phone: Mutex<Phone>,
}

#[derive(Debug, Default)]
struct Phone {
    invited: Option<Instant>,
    heard: Option<Heard>,
}

/// The calls that telephones here may get, by the number that is dialled.
pub type Links = Arc<Mutex<HashMap<String, Arc<Link>>>>;

/// What one end of a call heard.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heard {
    /// Packets of audio sent.
    pub sent: u64,
    /// Received.
    pub received: u64,
    /// Missing in the sequence numbers.
    pub lost: u64,
    /// Out of order, and more than once.
    pub reordered: u64,
    /// More than once.
    pub duplicates: u64,
    /// RFC 3550 §6.4.1, in ms, at the end of the call.
    pub jitter_ms: f64,
    /// How long packets took through the gateway, in microseconds.
    pub times: Vec<u32>,
    /// What was recorded, where it was to be.
    pub recording: Option<Recording>,
}

impl Heard {
    /// What they say of it.
    pub(crate) fn of(participant: &Participant, ear: &Ear, recorder: Option<&Recorder>) -> Self {
        let report = participant.report();
        Self {
            sent: report.packets_out,
            received: report.packets_in,
            lost: report.lost,
            reordered: report.reordered,
            duplicates: report.duplicates,
            jitter_ms: report.jitter_ms,
            times: ear.times().to_vec(),
            recording: recorder.map(Recorder::recording),
        }
    }

    /// The share of the packets that was lost.
    pub fn loss(&self) -> f64 {
        self.lost as f64 / (self.received + self.lost).max(1) as f64
    }
}

impl Link {
    /// The link of a call, and whether both its ends are recorded.
    pub fn new(recorded: bool) -> Self {
        Self {
            recorded,
            ..Self::default()
        }
    }

    /// The INVITE has come.
    pub fn invite(&self, now: Instant) {
        self.phone().invited.get_or_insert(now);
    }

    /// When it came.
    pub fn invited(&self) -> Option<Instant> {
        self.phone().invited
    }

    /// The telephone's call is over.
    pub fn set_heard(&self, heard: Heard) {
        self.phone().heard = Some(heard);
    }

    /// What the telephone heard, once its call is over.
    pub fn heard(&self) -> Option<Heard> {
        self.phone().heard.clone()
    }

    fn phone(&self) -> std::sync::MutexGuard<'_, Phone> {
        self.phone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
