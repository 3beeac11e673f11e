//! When the next packet leaves, and what is done where one is missing.

use std::time::{Duration, Instant};

use codecs::opus;

use super::{Content, EASE, Held, Last, PLACES, Playout, SLACK, Step, Style, time_of};
use crate::pipe::MAX_CONCEALED;

impl Playout {
    /// What is done next, and when. It stays as it is until something happens, and is asked for several times in
    /// between.
    pub(super) fn plan(&self) -> Option<(Instant, Step)> {
        if let Some(planned) = self.planned.get() {
            return planned;
        }
        let plan = self.make_plan();
        self.planned.set(Some(plan));
        plan
    }

    fn make_plan(&self) -> Option<(Instant, Step)> {
        match self.lowest() {
            Some((index, held)) if held.sequence <= self.next => {
                Some((self.due(&held), Step::Play(index)))
            }
            Some((index, held)) => Some(self.plan_gap(index, &held)),
            None => self.plan_alone(),
        }
    }

    /// Packets are missing before the first one that is here.
    fn plan_gap(&self, index: usize, held: &Held) -> (Instant, Step) {
        let play = (self.due(held), Step::Play(index));
        if self.style == Style::Forward {
            let wait = self.needed(held.arrived).min(self.max_delay / 2);
            let at = if self.is_crowded() {
                held.arrived
            } else {
                held.arrived + wait
            };
            return (at, Step::Play(index));
        }
        let (Last::Audio { samples: frame, .. }, Content::Audio { samples, opus }) =
            (self.last, held.content)
        else {
            return play;
        };
        let gap = self.timeline.gap(held.arrived, held.timestamp, held.marker);
        let missing = usize::try_from(gap).unwrap_or(usize::MAX) / opus::GRANULE * opus::GRANULE;
        if missing == 0 {
            return play;
        }
        let room = self.concealment.saturating_sub(self.made);
        let at = if self.is_crowded() {
            held.arrived
        } else {
            self.due_missing(Duration::ZERO).unwrap_or(held.arrived)
        };
        let several = held.sequence - self.next > 1 && missing >= 2 * frame;
        if several && frame as u64 <= room {
            return (at, Step::Conceal(frame));
        }
        let payload = &self.places[index].payload[..held.len];
        let fill = if missing as u64 <= room.min(MAX_CONCEALED as u64) {
            missing
        } else if opus && opus::has_fec(payload) {
            samples.min(missing)
        } else {
            return play;
        };
        // What nothing is made up for takes its time.
        let pause = gap - fill as u64;
        let at = (at + time_of(pause.min(8 * 60_000) as usize)).min(held.arrived + self.max_delay);
        let rebuild = Step::Rebuild {
            successor: index,
            gap: pause,
            samples: fill,
        };
        (at, rebuild)
    }

    /// Nothing is here.
    fn plan_alone(&self) -> Option<(Instant, Step)> {
        let Style::Conceal { fill } = self.style else {
            return None;
        };
        match self.last {
            Last::Nothing => None,
            Last::Audio { at, samples, .. } => {
                if self.made + samples as u64 > self.concealment {
                    return None;
                }
                let frame = time_of(samples);
                let behind = self.delay.max(frame);
                // The successor may still come, and bring it. Where all was well lately, more patience costs nothing.
                let most = if self.is_calm(at) {
                    3 * frame
                } else {
                    frame / 2
                };
                let slack = (frame + self.arrivals.spread()).saturating_sub(behind);
                let wait = behind - self.delay + slack.clamp(SLACK, most.max(SLACK));
                Some((self.due_missing(wait)?, Step::Conceal(samples)))
            }
            Last::Quiet { samples, until, .. } => {
                let due = self.due_missing(SLACK)?;
                (fill && due <= until).then_some((due, Step::Quiet(samples)))
            }
        }
    }

    /// When a packet leaves.
    fn due(&self, held: &Held) -> Instant {
        let audio = matches!(held.content, Content::Audio { .. } | Content::Dtx { .. });
        if !audio || self.is_crowded() || self.style == Style::Forward {
            return held.arrived;
        }
        let scheduled = match self.arrivals.predict(held.timestamp) {
            Some(at) if !self.delay.is_zero() => {
                (at + self.delay).min(held.arrived + self.max_delay)
            }
            _ => held.arrived,
        };
        self.free_at().map_or(scheduled, |free| scheduled.max(free))
    }

    /// When what follows the last audio is due, or `wait` later.
    fn due_missing(&self, wait: Duration) -> Option<Instant> {
        let at = self.arrivals.predict(self.timeline.expected()?)?;
        let free = self.free_at()?;
        Some((at + self.delay + wait).clamp(free, free + wait + self.max_delay))
    }

    /// When the audio that was played last is over, nearly: so the stream catches up without a burst.
    pub(super) fn free_at(&self) -> Option<Instant> {
        match self.last {
            Last::Audio { at, samples, .. } | Last::Quiet { at, samples, .. } => {
                let frame = time_of(samples);
                Some(at + (frame - frame / EASE))
            }
            Last::Nothing => None,
        }
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.taken + 2 >= PLACES
    }

    pub(super) fn lowest(&self) -> Option<(usize, Held)> {
        if self.taken == 0 {
            return None;
        }
        let held = self.places.iter().enumerate();
        held.filter_map(|(index, place)| Some((index, place.held?)))
            .min_by_key(|(_, held)| held.sequence)
    }
}
