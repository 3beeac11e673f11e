//! What a call is meant to do.

use std::time::Duration;

use gateway::call::cause::CauseCode;
use sip::testing::Conditions;

use super::Dice;

/// One call's story, as far as its people decide it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What happens in it.
    pub course: Course,
    /// How bad the way to the telephone is.
    pub conditions: Conditions,
    /// From the INVITE to the 180; `None`: no 180 is sent.
    pub ring_after: Option<Duration>,
    /// A 183 with SDP goes before the answer.
    pub early_media: bool,
    /// From the INVITE to the telephone's final answer.
    pub decide_after: Duration,
    /// How long the media worker takes to open a call and to close it.
    pub worker_delay: Duration,
    /// How long the trunk's name takes to resolve.
    pub resolve_delay: Duration,
}

/// What becomes of the call if the network lets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// Answered, and nobody hangs up.
    Talk,
    /// Answered; the telephone hangs up this long after it answered.
    TelephoneHangsUp(Duration),
    /// The caller hangs up, or gives up, this long after the call began, wherever it is then.
    CallerHangsUp(Duration),
    /// Answered, and the caller gives up so long after the answer, or before it by more than [`Course::LEAD`].
    Crossing(Duration),
    /// 486.
    Busy,
    /// 603.
    Decline,
    /// It rings and rings.
    NoAnswer,
    /// Answered; so long after the beginning one of the gateway's parts fails.
    Fault(Fault, Duration),
}

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The browser's session is gone.
    BrowserGone,
    /// The browser stopped consenting to media.
    ConsentLost,
    /// The telephone sends no audio.
    Silent,
    /// The media worker panicked in this call.
    Panicked,
    /// The gateway goes down.
    Shutdown,
}

impl Course {
    /// A [`Course::Crossing`] of this length is a hang-up at the moment of the answer.
    pub const LEAD: Duration = Duration::from_millis(300);
}

impl Plan {
    /// The plan of a seed, on a wire that loses this share of what is sent each way.
    pub fn of(seed: u64, loss: f64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let decide_after = dice.ms(0, 8000);
        Self {
            course: course(&mut dice),
            conditions: Conditions {
                loss,
                duplication: dice.share(0.2),
                delay: dice.ms(1, 100),
                jitter: dice.ms(0, 200),
            },
            ring_after: (dice.roll(5) > 0).then(|| decide_after.mul_f64(dice.share(1.0))),
            early_media: dice.roll(3) == 0,
            decide_after,
            worker_delay: dice.ms(0, 20),
            resolve_delay: dice.ms(0, 50),
        }
    }

    /// Whether a call of this plan may end for this cause. The network may always make it [`CauseCode::Unreachable`].
    pub fn may_end_for(&self, cause: CauseCode) -> bool {
        use CauseCode as C;
        let fits: &[CauseCode] = match self.course {
            Course::Talk | Course::TelephoneHangsUp(_) => &[C::Normal],
            Course::CallerHangsUp(_) | Course::Crossing(_) => &[C::Normal, C::Cancelled],
            Course::Busy => &[C::Busy],
            Course::Decline => &[C::Rejected],
            Course::NoAnswer => &[],
            Course::Fault(Fault::BrowserGone | Fault::ConsentLost, _) => &[C::BrowserGone],
            Course::Fault(Fault::Silent, _) => &[C::MediaTimeout],
            Course::Fault(Fault::Panicked, _) => &[C::Internal],
            Course::Fault(Fault::Shutdown, _) => &[C::ShuttingDown],
        };
        // The INVITE may get through so late that the ring timer is first.
        fits.contains(&cause) || matches!(cause, C::Unreachable | C::NoAnswer)
    }
}

fn course(dice: &mut Dice) -> Course {
    match dice.roll(100) {
        0..35 => Course::Talk,
        35..48 => Course::TelephoneHangsUp(dice.ms(0, 4000)),
        48..66 => Course::CallerHangsUp(dice.ms(0, 12_000)),
        66..80 => Course::Crossing(dice.ms(0, 600)),
        80..86 => Course::Busy,
        86..90 => Course::Decline,
        90..94 => Course::NoAnswer,
        _ => Course::Fault(fault(dice), dice.ms(0, 12_000)),
    }
}

fn fault(dice: &mut Dice) -> Fault {
    match dice.roll(5) {
        0 => Fault::BrowserGone,
        1 => Fault::ConsentLost,
        2 => Fault::Silent,
        3 => Fault::Panicked,
        _ => Fault::Shutdown,
    }
}
