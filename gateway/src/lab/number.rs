//! The lab's numbers, and when each of them rings, answers and hangs up.

use std::time::{Duration, Instant};

/// How long `late` rings.
const LATE_RINGS: Duration = Duration::from_secs(10);
/// How long `early` sounds before it answers.
const EARLY_SOUNDS: Duration = Duration::from_secs(5);
/// How long `hangup` stays.
const HANGS_UP_AFTER: Duration = Duration::from_secs(5);

/// RFC 3261 §21.4.24 and §21.6.2.
const BUSY_HERE: u16 = 486;
const DECLINE: u16 = 603;

/// The numbers of the lab phone: the user part of the address that is called, and what happens.
pub const NUMBERS: &[(&str, &str)] = &[
    ("echo", "sends back what it hears, digits too"),
    ("tone", "plays 1004 Hz at -16 dBm0"),
    (
        "dtmf",
        "reads your digits back as tones, after a pause of 1.5 s",
    ),
    (
        "early",
        "plays ringback before it answers, which it does after 5 s",
    ),
    ("late", "rings for 10 s, then answers with the tone"),
    ("busy", "is busy"),
    ("reject", "declines"),
    ("noanswer", "rings and is never answered"),
    ("hangup", "answers and hangs up after 5 s"),
];

/// One of [`NUMBERS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// Sends back what it hears.
    Echo,
    /// Plays the test tone.
    Tone,
    /// Reads digits back.
    Dtmf,
    /// 183 with audio, then answers.
    Early,
    /// Rings, then answers.
    Late,
    /// 486.
    Busy,
    /// 603.
    Reject,
    /// Rings for ever.
    NoAnswer,
    /// Answers, then hangs up.
    HangUp,
}

impl Number {
    /// The number with this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "echo" => Number::Echo,
            "tone" => Number::Tone,
            "dtmf" => Number::Dtmf,
            "early" => Number::Early,
            "late" => Number::Late,
            "busy" => Number::Busy,
            "reject" => Number::Reject,
            "noanswer" => Number::NoAnswer,
            "hangup" => Number::HangUp,
            _ => return None,
        })
    }

    /// Whether there is ever anything to hear.
    pub fn has_sound(self) -> bool {
        !matches!(self, Number::Busy | Number::Reject)
    }
}

/// What the phone does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// 180 Ringing.
    Ring,
    /// 183 Session Progress with our SDP; sound starts.
    Progress,
    /// 200 with our SDP; sound goes on or starts.
    Answer,
    /// A final response with this status.
    Refuse(u16),
    /// BYE.
    HangUp(End),
}

/// Why the phone hangs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The number has done what it does.
    Done,
    /// The caller sent no RTP for too long.
    Silence,
}

/// A number's way through one call.
#[derive(Debug)]
pub struct Script {
    number: Number,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Called, nothing said yet.
    Called,
    /// 180 or 183 sent (RFC 3261 §13.3.1.1).
    Alerting { answers: Option<Instant> },
    /// 200 sent (§13.3.1.4).
    Answered { hangs_up: Option<Instant> },
    /// Nothing more to do.
    Over,
}

impl Script {
    /// Somebody called.
    pub fn new(number: Number) -> Self {
        Script {
            number,
            state: State::Called,
        }
    }

    /// What to do now; call until `None`.
    pub fn poll_step(&mut self, now: Instant) -> Option<Step> {
        let (state, step) = match self.state {
            State::Called => self.first(now),
            State::Alerting { answers } => {
                answers.filter(|answers| *answers <= now)?;
                (State::Answered { hangs_up: None }, Step::Answer)
            }
            State::Answered { hangs_up } => {
                hangs_up.filter(|hangs_up| *hangs_up <= now)?;
                (State::Over, Step::HangUp(End::Done))
            }
            State::Over => return None,
        };
        self.state = state;
        Some(step)
    }

    /// When [`Script::poll_step`] has something to say next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Alerting { answers } => answers,
            State::Answered { hangs_up } => hangs_up,
            State::Called | State::Over => None,
        }
    }

    /// The call is over, whatever was to come.
    pub fn end(&mut self) {
        self.state = State::Over;
    }

    fn first(&self, now: Instant) -> (State, Step) {
        let alerting = |answers: Option<Duration>| State::Alerting {
            answers: answers.map(|after| now + after),
        };
        let answered = |hangs_up: Option<Duration>| State::Answered {
            hangs_up: hangs_up.map(|after| now + after),
        };
        match self.number {
            Number::Echo | Number::Tone | Number::Dtmf => (answered(None), Step::Answer),
            Number::HangUp => (answered(Some(HANGS_UP_AFTER)), Step::Answer),
            Number::Early => (alerting(Some(EARLY_SOUNDS)), Step::Progress),
            Number::Late => (alerting(Some(LATE_RINGS)), Step::Ring),
            Number::NoAnswer => (alerting(None), Step::Ring),
            Number::Busy => (State::Over, Step::Refuse(BUSY_HERE)),
            Number::Reject => (State::Over, Step::Refuse(DECLINE)),
        }
    }
}
