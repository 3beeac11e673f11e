//! One-way audio: noticed by packets and by energy, and named. It is what callers complain of most, and what they can
//! least explain.

use std::time::{Duration, Instant};

use media::{BridgeReport, LegReport};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often a call is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// A microphone is taken for muted after so many looks without a sound while the other side speaks: who listens is
/// silent too, for a while.
const MUTED_LOOKS: u32 = 3;
/// So many packets of ours that a browser does not report on are too many: ten seconds.
const UNREPORTED: u64 = 500;

/// Which way there is no audio, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OneWay {
    /// Nothing comes from the browser.
    BrowserSendsNothing,
    /// Nothing comes from the telephone.
    PhoneSendsNothing,
    /// What comes from the telephone is not authentic: it has other SRTP keys than were agreed on, or none.
    PhoneSendsUnauthentic,
    /// The browser sends silence, while the telephone is spoken into.
    BrowserSendsSilence,
    /// The telephone sends silence, while the browser is spoken into.
    PhoneSendsSilence,
    /// The browser's reports say that nothing of ours arrives.
    BrowserHearsNothing,
    /// The telephone's reports say that nothing of ours arrives.
    PhoneHearsNothing,
}

impl OneWay {
    /// For people, with what to look at.
    pub fn text(self) -> &'static str {
        match self {
            Self::BrowserSendsNothing => {
                "No audio comes from the browser: is something between it and the gateway dropping UDP?"
            }
            Self::PhoneSendsNothing => {
                "No audio comes from the telephone: is the gateway's RTP port range open, and the address in its SDP right?"
            }
            Self::PhoneSendsUnauthentic => {
                "The telephone's packets do not fit the SRTP keys that were agreed on: does it encrypt at all, and with the key of its last answer?"
            }
            Self::BrowserSendsSilence => {
                "The browser sends only silence: is the microphone muted, or the wrong one chosen?"
            }
            Self::PhoneSendsSilence => {
                "The telephone sends only silence: is it muted, or on hold without music?"
            }
            Self::BrowserHearsNothing => "None of our audio arrives at the browser, it reports.",
            Self::PhoneHearsNothing => {
                "None of our audio arrives at the telephone, it reports: is it behind NAT, and behind_nat not set?"
            }
        }
    }
}

/// What is expected of the telephone's leg: on hold nobody misses anything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    /// It takes our audio.
    pub(super) hears: bool,
    /// It is to send some.
    pub(super) speaks: bool,
    /// Packets of it so far that were not authentic.
    pub(super) unauthentic: u64,
}

/// Watches one call, from its answer on.
#[derive(Debug, Default)]
pub(super) struct Watch {
    next: Option<Instant>,
    browser: Seen,
    phone: Seen,
    unauthentic: u64,
    told: Option<OneWay>,
}

/// One leg at the last look.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    packets: u64,
    voiced: u64,
    /// Looks in a row in which the other side spoke and this one did not; `None` once this one has.
    mute: Option<u32>,
    known: bool,
}

impl Watch {
    /// The telephone has answered.
    pub(super) fn begin(&mut self, now: Instant) {
        self.next.get_or_insert(now + LOOK);
    }

    /// When [`Watch::look`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Looks, if it is time; the news, if there is any: what is wrong now, or that nothing is any more.
    pub(super) fn look(
        &mut self,
        now: Instant,
        report: impl FnOnce() -> BridgeReport,
        expected: Expected,
    ) -> Option<Option<OneWay>> {
        self.next.filter(|next| *next <= now)?;
        self.next = Some(now + LOOK);
        let report = report();
        let browser = self.browser.look(&report.browser);
        let phone = self.phone.look(&report.trunk);
        self.browser.count(browser, phone);
        self.phone.count(phone, browser);
        let forged = std::mem::replace(&mut self.unauthentic, expected.unauthentic);
        let forged = expected.unauthentic > forged;
        let found = match self.judge(&report, expected, browser, phone) {
            Some(OneWay::PhoneSendsNothing) if forged => Some(OneWay::PhoneSendsUnauthentic),
            found => found,
        };
        (found != self.told).then(|| {
            self.told = found;
            found
        })
    }

    fn judge(
        &self,
        report: &BridgeReport,
        expected: Expected,
        browser: News,
        phone: News,
    ) -> Option<OneWay> {
        if expected.speaks && !phone.packets {
            return Some(OneWay::PhoneSendsNothing);
        }
        if expected.hears && !browser.packets {
            return Some(OneWay::BrowserSendsNothing);
        }
        // Some telephones never write report blocks: that alone says nothing.
        if expected.hears && loses_all(&report.trunk) {
            return Some(OneWay::PhoneHearsNothing);
        }
        let unreported = report.browser.packets_out >= UNREPORTED && report.browser.unreported >= 2;
        if expected.speaks && (unreported || loses_all(&report.browser)) {
            return Some(OneWay::BrowserHearsNothing);
        }
        let mute = |seen: &Seen| seen.mute.is_some_and(|looks| looks >= MUTED_LOOKS);
        if expected.speaks && mute(&self.phone) {
            return Some(OneWay::PhoneSendsSilence);
        }
        (expected.hears && mute(&self.browser)).then_some(OneWay::BrowserSendsSilence)
    }
}

/// What a leg did since the last look.
#[derive(Debug, Clone, Copy)]
struct News {
    packets: bool,
    voice: bool,
}

impl Seen {
    fn look(&mut self, leg: &LegReport) -> News {
        let news = News {
            packets: leg.packets_in != self.packets,
            voice: leg.voiced != self.voiced,
        };
        (self.packets, self.voiced) = (leg.packets_in, leg.voiced);
        news
    }

    /// A side that was heard once has a microphone: what it does later is its own business.
    fn count(&mut self, own: News, other: News) {
        if own.voice {
            (self.mute, self.known) = (None, true);
        } else if !self.known && own.packets && other.voice {
            self.mute = Some(self.mute.unwrap_or(0) + 1);
        }
    }
}

/// They report, and what they say of our stream is that nothing came.
fn loses_all(leg: &LegReport) -> bool {
    leg.remote_loss > 0.99
}

#[cfg(test)]
mod tests {
    use super::*;

    const TALK: Expected = Expected {
        hears: true,
        speaks: true,
        unauthentic: 0,
    };

    /// A call of which `leg(look)` gives the packets and voiced packets of each look.
    struct Scene {
        now: Instant,
        watch: Watch,
        report: BridgeReport,
    }

    impl Scene {
        fn new() -> Self {
            let now = Instant::now();
            let mut watch = Watch::default();
            watch.begin(now);
            Self {
                now,
                watch,
                report: BridgeReport::default(),
            }
        }

        /// Five seconds, with what each side sends in them: packets and the voiced ones of them.
        fn pass(
            &mut self,
            expected: Expected,
            browser: (u64, u64),
            phone: (u64, u64),
        ) -> Option<Option<OneWay>> {
            self.now += LOOK;
            for (leg, (packets, voiced)) in [
                (&mut self.report.browser, browser),
                (&mut self.report.trunk, phone),
            ] {
                leg.packets_in += packets;
                leg.voiced += voiced;
                leg.packets_out += 250;
            }
            self.watch.look(self.now, || self.report, expected)
        }
    }

    #[test]
    fn a_call_in_which_both_speak_has_nothing_wrong() {
        let mut scene = Scene::new();
        for _ in 0..20 {
            assert_eq!(scene.pass(TALK, (250, 100), (250, 100)), None);
        }
        // A long silence of either is no fault once it was heard.
        for _ in 0..20 {
            assert_eq!(scene.pass(TALK, (250, 0), (250, 100)), None);
        }
    }

    #[test]
    fn a_side_that_sends_nothing_is_named_once_and_again_when_it_is_mended() {
        let mut scene = Scene::new();
        let news = scene.pass(TALK, (250, 100), (0, 0));
        assert_eq!(news, Some(Some(OneWay::PhoneSendsNothing)));
        assert_eq!(scene.pass(TALK, (250, 100), (0, 0)), None);
        assert_eq!(scene.pass(TALK, (250, 100), (250, 9)), Some(None));
        let news = scene.pass(TALK, (0, 0), (250, 9));
        assert_eq!(news, Some(Some(OneWay::BrowserSendsNothing)));
    }

    #[test]
    fn a_microphone_that_is_muted_is_known_by_its_silence_while_the_other_speaks() {
        let mut scene = Scene::new();
        for _ in 0..20 {
            assert_eq!(scene.pass(TALK, (250, 0), (250, 0)), None, "both listen");
        }
        for _ in 1..MUTED_LOOKS {
            assert_eq!(scene.pass(TALK, (250, 0), (250, 100)), None);
        }
        let news = scene.pass(TALK, (250, 0), (250, 100));
        assert_eq!(news, Some(Some(OneWay::BrowserSendsSilence)));
        assert_eq!(scene.pass(TALK, (250, 3), (250, 100)), Some(None));
    }

    #[test]
    fn a_telephone_with_the_wrong_keys_is_told_from_one_that_sends_nothing() {
        let mut scene = Scene::new();
        let forged = |unauthentic| Expected {
            unauthentic,
            ..TALK
        };
        let news = scene.pass(forged(250), (250, 100), (0, 0));
        assert_eq!(news, Some(Some(OneWay::PhoneSendsUnauthentic)));
        let news = scene.pass(forged(250), (250, 100), (0, 0));
        assert_eq!(news, Some(Some(OneWay::PhoneSendsNothing)));
    }

    #[test]
    fn on_hold_nothing_is_missed() {
        let mut scene = Scene::new();
        let held = Expected {
            hears: false,
            speaks: false,
            unauthentic: 0,
        };
        for _ in 0..20 {
            assert_eq!(scene.pass(held, (0, 0), (0, 0)), None);
        }
    }

    #[test]
    fn who_reports_that_nothing_arrives_hears_nothing() {
        let mut scene = Scene::new();
        scene.report.trunk.remote_loss = 1.0;
        let news = scene.pass(TALK, (250, 100), (250, 100));
        assert_eq!(news, Some(Some(OneWay::PhoneHearsNothing)));
        scene.report.trunk.remote_loss = 0.0;
        assert_eq!(scene.pass(TALK, (250, 100), (250, 100)), Some(None));
        scene.report.trunk.unreported = 9;
        assert_eq!(scene.pass(TALK, (250, 100), (250, 100)), None);
        scene.report.browser.unreported = 2;
        let news = scene.pass(TALK, (250, 100), (250, 100));
        assert_eq!(news, Some(Some(OneWay::BrowserHearsNothing)));
    }
}
