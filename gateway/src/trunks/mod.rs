//! The trunks: which of them a number goes by, in what order, and which have to be left alone.
//!
//! Told the time; what is shared between calls is behind one lock a trunk, held for a few instructions.

mod breaker;
pub mod probe;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::Rng;
use sip::endpoint::Account;

use self::breaker::Breaker;
use crate::settings::{Choice, Trunk};

/// A trunk, as the call machine and the settings count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrunkId(usize);

/// All trunks of a gateway.
#[derive(Debug, Default)]
pub struct Trunks {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    trunk: Arc<Trunk>,
    account: Option<Account>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    breaker: Breaker,
    calls: u32,
    rate: Option<Rate>,
}

/// A token bucket that holds a second's calls.
#[derive(Clone, Copy, Debug)]
struct Rate {
    tokens: f64,
    at: Instant,
}

/// What came of trying a trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, whatever.
    Served,
    /// It did not answer, or cannot serve, for so long at least.
    Failed(Option<Duration>),
    /// It is known to be gone: a probe was not answered.
    Lost,
    /// It answered a probe.
    Found,
}

/// Why a trunk takes no call now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// `max_calls`
    Calls(u32),
    /// `max_calls_per_second`
    PerSecond(u32),
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Calls(most) => write!(f, "it has {most} calls already (max_calls)"),
            Self::PerSecond(most) => write!(
                f,
                "{most} calls have begun in this second already (max_calls_per_second)"
            ),
        }
    }
}

/// A call's place on a trunk, given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    trunks: Arc<Trunks>,
    id: TrunkId,
}

impl Trunks {
    /// These, in this order, all of them well.
    pub fn new(trunks: impl IntoIterator<Item = (Trunk, Option<Account>)>) -> Arc<Self> {
        let entry = |(trunk, account)| Entry {
            trunk: Arc::new(trunk),
            account,
            state: Mutex::default(),
        };
        let entries = trunks.into_iter().map(entry).collect();
        Arc::new(Self { entries })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every trunk.
    pub fn iter(&self) -> impl Iterator<Item = (TrunkId, &Arc<Trunk>, Option<Account>)> {
        let entries = self.entries.iter().enumerate();
        entries.map(|(index, entry)| (TrunkId(index), &entry.trunk, entry.account))
    }

    /// One of them.
    pub fn get(&self, id: TrunkId) -> (&Arc<Trunk>, Option<Account>) {
        let entry = &self.entries[id.0];
        (&entry.trunk, entry.account)
    }

    /// The trunks that a number may go by, in the order in which they are to be tried: lower priorities first, those of one
    /// priority by weight (RFC 2782), those that are left alone at the very end.
    pub fn order(
        &self,
        now: Instant,
        takes: impl Fn(&Choice) -> bool,
        rng: &mut impl Rng,
    ) -> Vec<TrunkId> {
        let mut left: Vec<(bool, u16, u16, TrunkId)> = Vec::new();
        for (index, entry) in self.entries.iter().enumerate() {
            let choice = &entry.trunk.choice;
            if takes(choice) {
                let rests = !entry.lock().breaker.allows(now);
                left.push((rests, choice.priority, choice.weight, TrunkId(index)));
            }
        }
        let mut order = Vec::new();
        while let Some(first) = left
            .iter()
            .map(|(rests, priority, ..)| (*rests, *priority))
            .min()
        {
            let same = |one: &&(bool, u16, u16, TrunkId)| (one.0, one.1) == first;
            let total: u32 = left.iter().filter(same).map(|one| u32::from(one.2)).sum();
            let mut at = rng.random_range(0..total.max(1));
            let chosen = left.iter().position(|one| {
                let weight = u32::from(one.2);
                let hit = same(&one) && at < weight.max(1);
                if same(&one) {
                    at = at.saturating_sub(weight);
                }
                hit
            });
            match chosen {
                Some(chosen) => order.push(left.remove(chosen).3),
                None => break,
            }
        }
        order
    }

    /// A call out begins on it; one for help always may.
    ///
    /// # Errors
    /// [`Full`]: it takes none now.
    pub fn begin(self: &Arc<Self>, now: Instant, id: TrunkId, help: bool) -> Result<Seat, Full> {
        let entry = &self.entries[id.0];
        let choice = &entry.trunk.choice;
        let mut state = entry.lock();
        if let Some(most) = choice.max_calls
            && state.calls >= most
            && !help
        {
            return Err(Full::Calls(most));
        }
        if let Some(most) = choice.max_calls_per_second {
            let most_tokens = f64::from(most);
            let mut rate = state.rate.unwrap_or(Rate {
                tokens: most_tokens,
                at: now,
            });
            let passed = now.saturating_duration_since(rate.at).as_secs_f64();
            rate.tokens = (rate.tokens + passed * most_tokens).min(most_tokens);
            rate.at = now;
            let full = rate.tokens < 1.0 && !help;
            if !full {
                rate.tokens = (rate.tokens - 1.0).max(0.0);
            }
            state.rate = Some(rate);
            if full {
                return Err(Full::PerSecond(most));
            }
        }
        state.breaker.begin(now);
        state.calls += 1;
        drop(state);
        Ok(self.seat(id))
    }

    /// A call in has begun on it: that it takes calls is its own affair.
    pub fn arrive(self: &Arc<Self>, id: TrunkId) -> Seat {
        self.entries[id.0].lock().calls += 1;
        self.seat(id)
    }

    fn seat(self: &Arc<Self>, id: TrunkId) -> Seat {
        Seat {
            trunks: Arc::clone(self),
            id,
        }
    }

    /// What came of trying it, by a call or a probe.
    pub fn report(&self, now: Instant, id: TrunkId, outcome: Outcome) {
        let entry = &self.entries[id.0];
        let breaker = &mut entry.lock().breaker;
        let rest = match outcome {
            Outcome::Served => {
                if breaker.succeeded(now) {
                    tracing::info!(trunk = entry.trunk.name, "the trunk is back");
                }
                None
            }
            Outcome::Found => {
                if breaker.found(now) {
                    tracing::info!(trunk = entry.trunk.name, "the trunk is back");
                }
                None
            }
            Outcome::Failed(least) => breaker.failed(now, least),
            Outcome::Lost => breaker.lost(now),
        };
        if let Some(rest) = rest {
            tracing::warn!(
                trunk = entry.trunk.name,
                seconds = rest.as_secs(),
                "the trunk fails: calls go by others first"
            );
        }
    }

    /// How many calls it has.
    pub fn calls(&self, id: TrunkId) -> u32 {
        self.entries[id.0].lock().calls
    }
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Whose it is.
    pub fn trunk(&self) -> TrunkId {
        self.id
    }

    /// The call that tried the trunk says nothing of it.
    pub fn withdraw(&self, now: Instant) {
        self.trunks.entries[self.id.0].lock().breaker.withdraw(now);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.trunks.entries[self.id.0].lock();
        state.calls = state.calls.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn trunks(choices: impl IntoIterator<Item = Choice>) -> Arc<Trunks> {
        let trunk = |choice| {
            let trunk = Trunk {
                choice,
                ..Trunk::at("sip:192.0.2.1".parse().unwrap())
            };
            (trunk, None)
        };
        Trunks::new(choices.into_iter().map(trunk))
    }

    fn prioritised(priority: u16, weight: u16) -> Choice {
        Choice {
            priority,
            weight,
            ..Choice::default()
        }
    }

    #[test]
    fn lower_priorities_come_first_and_weights_share_one_priority() {
        let trunks = trunks([prioritised(20, 1), prioritised(10, 30), prioritised(10, 10)]);
        let now = Instant::now();
        let mut rng = StdRng::from_seed([1; 32]);
        let mut first = [0; 3];
        for _ in 0..4000 {
            let order = trunks.order(now, |_| true, &mut rng);
            assert_eq!((order.len(), order[2]), (3, TrunkId(0)));
            first[order[0].0] += 1;
        }
        assert!((2850..3150).contains(&first[1]), "{first:?}");
    }

    #[test]
    fn what_rests_is_tried_last_and_a_trial_by_one_call() {
        let trunks = trunks([prioritised(1, 1), prioritised(2, 1)]);
        let now = Instant::now();
        let mut rng = StdRng::from_seed([1; 32]);
        let mut order = |now| trunks.order(now, |_| true, &mut rng);
        assert_eq!(order(now), [TrunkId(0), TrunkId(1)]);
        trunks.report(now, TrunkId(0), Outcome::Lost);
        assert_eq!(order(now), [TrunkId(1), TrunkId(0)]);
        let later = now + Duration::from_secs(10);
        assert_eq!(order(later), [TrunkId(0), TrunkId(1)]);
        let seat = trunks.begin(later, TrunkId(0), false).unwrap();
        assert_eq!(order(later), [TrunkId(1), TrunkId(0)]);
        seat.withdraw(later);
        assert_eq!(order(later), [TrunkId(0), TrunkId(1)]);
        trunks.report(later, TrunkId(0), Outcome::Served);
        assert_eq!(order(later), [TrunkId(0), TrunkId(1)]);
    }

    #[test]
    fn a_full_trunk_takes_no_call_but_one_for_help() {
        let trunks = trunks([Choice {
            max_calls: Some(2),
            ..Choice::default()
        }]);
        let (now, id) = (Instant::now(), TrunkId(0));
        let first = trunks.begin(now, id, false).unwrap();
        let incoming = trunks.arrive(id);
        assert_eq!(trunks.begin(now, id, false).unwrap_err(), Full::Calls(2));
        let help = trunks.begin(now, id, true).unwrap();
        drop((first, help));
        let next = trunks.begin(now, id, false).unwrap();
        drop((next, incoming));
        assert_eq!(trunks.calls(id), 0);
    }

    #[test]
    fn so_many_calls_a_second_begin_and_no_more() {
        let trunks = trunks([Choice {
            max_calls_per_second: Some(2),
            ..Choice::default()
        }]);
        let (mut now, id) = (Instant::now(), TrunkId(0));
        let mut begun = 0;
        for _ in 0..100 {
            begun += u32::from(trunks.begin(now, id, false).is_ok());
            now += Duration::from_millis(50);
        }
        assert!((11..=12).contains(&begun), "{begun} in 5 s");
    }
}
