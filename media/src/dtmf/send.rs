//! Digits sent as telephone-events (RFC 4733 §2.5.1): a packet every interval while the key is down, three at its
//! end, a pause before the next key. Or as tones, see [`super::play`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{
    Digit, DtmfQueueFull, DtmfWay, Ticks, payload::EventPayload, play::Playing, receive::Volume,
};
use crate::outgoing::Outgoing;
use crate::pipe::Pipe;

/// Digits that may wait for their turn.
const QUEUE: usize = 32;
/// How often the end of an event is said (RFC 4733 §2.5.1.4).
const ENDS: u8 = 3;
/// The level of digits that signalling asks for: -10 dBm0.
const VOLUME: Volume = Volume(10);
/// The longest a segment can be (RFC 4733 §2.5.1.3).
const MAX_SEGMENT: u64 = 0xffff;
/// A tone cannot be taken back: it begins when the key is up, or has been down for this long. So much later, at most,
/// is known that it was let go, whatever is lost.
const LEAD: Duration = Duration::from_millis(260);

/// Sends one leg's events.
#[derive(Debug)]
pub(crate) struct Sender {
    way: DtmfWay,
    interdigit: Duration,
    /// Waiting keys, the next one first.
    queue: VecDeque<Press>,
    state: State,
}

/// A key press.
#[derive(Debug, Clone, Copy)]
pub(super) struct Press {
    pub(super) digit: Digit,
    volume: Volume,
    /// How long it lasts, or, while it is open, has lasted.
    pub(super) held: Ticks,
    /// It is relayed, and the key is still down over there.
    pub(super) open: bool,
}

#[derive(Debug)]
enum State {
    Idle,
    /// The key is down.
    Sounding(Tone),
    /// The key is up, and this many packets have yet to say so.
    Ending {
        tone: Tone,
        left: u8,
    },
    /// The network needs to hear that the key was up.
    Pausing {
        until: Instant,
    },
    /// The key sounds in the audio, and the pause behind it.
    Playing(Playing),
}

#[derive(Debug, Clone, Copy)]
struct Tone {
    press: Press,
    begun: Instant,
    /// When its next packet leaves.
    next: Instant,
    interval: Duration,
    /// The RTP timestamp of the segment being sent, and the event clock's units before it.
    timestamp: u32,
    before: u64,
    event_rate: u32,
    /// RTP clock units for one unit of the event's clock, as a fraction.
    clock_rate: u32,
    marker: bool,
}

impl Sender {
    /// A sender that leaves `interdigit` between two digits.
    pub(crate) fn new(interdigit: Duration) -> Self {
        Self {
            way: DtmfWay::Events,
            interdigit,
            queue: VecDeque::with_capacity(QUEUE),
            state: State::Idle,
        }
    }

    /// Whether audio makes room for an event.
    pub(crate) fn is_sounding(&self) -> bool {
        matches!(self.state, State::Sounding(_) | State::Playing(_))
    }

    /// Sends keys in another way from now on. What waits or sounds is dropped when the way changes.
    pub(crate) fn set_way(&mut self, now: Instant, way: DtmfWay, out: &mut Outgoing) {
        if way != self.way {
            out.end_tones(now);
            self.way = way;
            self.queue.clear();
            self.state = State::Idle;
        }
    }

    /// Queues a digit of a known duration.
    pub(crate) fn press(&mut self, digit: Digit, duration: Duration) -> Result<(), DtmfQueueFull> {
        self.enqueue(Press {
            digit,
            volume: VOLUME,
            held: Ticks::from_duration(duration),
            open: false,
        })
    }

    /// A key of the other leg went down.
    pub(crate) fn begin(
        &mut self,
        digit: Digit,
        held: Ticks,
        volume: Volume,
    ) -> Result<(), DtmfQueueFull> {
        self.enqueue(Press {
            digit,
            volume,
            held,
            open: true,
        })
    }

    /// The key of the other leg is held.
    pub(crate) fn hold(&mut self, held: Ticks) {
        if let Some(press) = self.open_press() {
            press.held = press.held.max(held);
        }
    }

    /// The key of the other leg was let go.
    pub(crate) fn release(&mut self, held: Ticks) {
        if let Some(press) = self.open_press() {
            press.held = press.held.max(held);
            press.open = false;
        }
    }

    /// When there is something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Idle => None,
            State::Sounding(tone) => Some(tone.next_packet()),
            State::Ending { tone, .. } => Some(tone.next),
            State::Pausing { until } => Some(*until),
            State::Playing(playing) => Some(playing.next),
        }
    }

    /// Sends what is due. A packet at most for each interval that has passed; after a long absence it does not
    /// make up for what nobody waited for.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        pipe: Option<&mut Pipe>,
        out: &mut Outgoing,
    ) {
        if self.way == DtmfWay::Tones {
            return self.play(now, pipe, out);
        }
        // A digit's packets are at most a few in one call: its start, or its end and a pause.
        for _ in 0..QUEUE {
            let due = self.poll_timeout().is_some_and(|due| due <= now);
            match &mut self.state {
                State::Idle => match self
                    .queue
                    .pop_front()
                    .and_then(|press| Tone::begin(now, press, out))
                {
                    Some(tone) => self.state = State::Sounding(tone),
                    // No event can be sent to this leg: nothing will ever take the digits.
                    None => return self.queue.clear(),
                },
                _ if !due => return,
                State::Sounding(tone) => {
                    if tone.send(now, out) {
                        self.state = State::Ending {
                            tone: *tone,
                            left: ENDS - 1,
                        };
                    }
                }
                State::Ending { tone, left: 0 } => {
                    self.state = State::Pausing {
                        until: tone.next - tone.interval + self.interdigit,
                    };
                }
                State::Ending { tone, left } => {
                    *left -= 1;
                    tone.send_end(now, out);
                }
                State::Pausing { .. } | State::Playing(_) => self.state = State::Idle,
            }
        }
    }

    /// Plays what is due.
    fn play(&mut self, now: Instant, pipe: Option<&mut Pipe>, out: &mut Outgoing) {
        let Some(pipe) = pipe else {
            return self.queue.clear();
        };
        let lead = Ticks::from_duration(LEAD);
        for _ in 0..QUEUE {
            match &mut self.state {
                State::Playing(playing) if playing.next > now => return,
                State::Playing(playing) => {
                    if playing.play(now, pipe, out) {
                        self.state = State::Idle;
                    }
                }
                _ => {
                    let ready = |press: &Press| !press.open || press.held >= lead;
                    if !self.queue.front().is_some_and(ready) {
                        return;
                    }
                    let press = self.queue.pop_front();
                    let playing =
                        press.and_then(|press| Playing::begin(now, press, self.interdigit, out));
                    self.state = playing.map_or(State::Idle, State::Playing);
                }
            }
        }
    }

    fn enqueue(&mut self, press: Press) -> Result<(), DtmfQueueFull> {
        if self.way == DtmfWay::Signalling {
            return Ok(());
        }
        if self.queue.len() == QUEUE {
            return Err(DtmfQueueFull);
        }
        self.queue.push_back(press);
        Ok(())
    }

    fn open_press(&mut self) -> Option<&mut Press> {
        match &mut self.state {
            State::Sounding(tone) if tone.press.open => return Some(&mut tone.press),
            State::Playing(playing) if playing.press.open => return Some(&mut playing.press),
            _ => {}
        }
        self.queue.iter_mut().find(|press| press.open)
    }
}

impl Tone {
    fn begin(now: Instant, press: Press, out: &mut Outgoing) -> Option<Self> {
        let format = *out.format()?;
        format.telephone_event_out?;
        Some(Self {
            press,
            begun: now,
            next: now,
            interval: format.ptime.max(Duration::from_millis(10)),
            timestamp: out.begin_event(now),
            before: 0,
            event_rate: format.telephone_event_clock_rate.max(1),
            clock_rate: format.codec.clock_rate(),
            marker: true,
        })
    }

    /// A key that was let go is reported as soon as its whole length has passed.
    fn next_packet(&self) -> Instant {
        if self.press.open {
            return self.next;
        }
        let over = self.begun + self.press.held.to_duration().saturating_sub(self.interval);
        self.next.min(over)
    }

    /// Sends a report; says whether it was the first that ends the event.
    fn send(&mut self, now: Instant, out: &mut Outgoing) -> bool {
        let passed =
            Ticks::from_duration(now.saturating_duration_since(self.begun) + self.interval);
        // Times are cut to nanoseconds: a tick may be missing.
        let over = !self.press.open && passed.plus_one() >= self.press.held;
        let held = if over {
            self.press.held
        } else {
            self.press.held.min(passed)
        };
        let units = held.to_units(self.event_rate);
        while units - self.before.min(units) > MAX_SEGMENT {
            self.report(now, out, MAX_SEGMENT as u16, false);
            self.before += MAX_SEGMENT;
            let step = MAX_SEGMENT * u64::from(self.clock_rate) / u64::from(self.event_rate);
            self.timestamp = self.timestamp.wrapping_add(step as u32);
        }
        self.report(now, out, (units - self.before.min(units)) as u16, over);
        self.next = self.following(now);
        over
    }

    fn send_end(&mut self, now: Instant, out: &mut Outgoing) {
        let units = self.press.held.to_units(self.event_rate);
        self.report(now, out, (units - self.before.min(units)) as u16, true);
        self.next = self.following(now);
    }

    /// When the next packet leaves: in step with the ones before, unless this one is out of step.
    fn following(&self, now: Instant) -> Instant {
        let in_step = self.next <= now && now < self.next + self.interval;
        let this = if in_step { self.next } else { now };
        this + self.interval
    }

    fn report(&mut self, now: Instant, out: &mut Outgoing, duration: u16, end: bool) {
        let payload = EventPayload {
            event: self.press.digit.event(),
            end,
            volume: self.press.volume.0,
            duration,
        };
        out.event(
            now,
            self.timestamp,
            std::mem::take(&mut self.marker),
            &payload.to_bytes(),
        );
    }
}
