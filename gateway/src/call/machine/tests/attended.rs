//! The browser has asked somebody first, and lets him speak with the telephone: both are its own calls.

use super::dialing::{calling, trunks};
use super::*;
use crate::permit::Pattern;
use crate::signaling::message::TransferState;

const OTHER_SDP: &str = "v=0\r\no=- 7 7 IN IP4 192.0.2.77\r\ns=-\r\nc=IN IP4 192.0.2.77\r\nt=0 0\r\n\
    m=audio 7000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\n";

/// Two calls of one browser, by these trunks, with their telephones up.
struct Two {
    first: Story,
    second: Story,
}

impl Two {
    fn talking() -> Self {
        Self::by(&environment_of(
            trunks(&["pbx.example"]),
            DialPlan::default(),
        ))
    }

    fn by(environment: &Arc<Environment>) -> Self {
        let up = |to: &str, sdp| {
            let mut story = calling(to, environment, Permit::default());
            story.is_out(0);
            story.answered(Some(sdp));
            story.sip.clear();
            story.bodies.clear();
            story
        };
        Self {
            first: up("100", PHONE_SDP),
            second: up("200", OTHER_SDP),
        }
    }

    /// The browser connects the two.
    fn connect(&mut self) {
        let input = Input::TransferTo(Leg::numbered(2), CallId(2));
        self.first.input(input);
    }

    /// What the first call asks of the second is answered.
    fn consult(&mut self) -> Wish {
        let (call, wish) = self.first.consults.pop().expect("a consultation");
        assert_eq!(call, CallId(2));
        let now = self.second.now;
        let said = self.second.machine.consulted(now, CallId(1), wish);
        self.second.take_actions();
        self.first.input(Input::Consulted(wish, said.map(Box::new)));
        wish
    }

    fn refer_is_refused(&mut self) {
        self.first.sip(SipEvent::ReferAnswered {
            session: session(),
            status: StatusCode::new(603),
        });
    }

    /// The first telephone will not, and is offered what the second said.
    fn offer_the_first(&mut self) {
        self.connect();
        self.consult();
        self.refer_is_refused();
        self.consult();
    }

    fn first_agrees(&mut self) {
        self.first.sip(SipEvent::OfferAnswered {
            session: session(),
            body: Some(PHONE_SDP.into()),
        });
    }

    /// The second telephone, as the first call's other one.
    fn other(&mut self, event: SipEvent) {
        let input = Input::Sip(Box::new(event));
        self.first.input(Input::Other(Box::new(input)));
    }

    fn failed(&self) -> bool {
        matches!(
            self.first.browser.last(),
            Some(ServerMessage::Transfer {
                state: TransferState::Failed,
                ..
            })
        )
    }

    /// Both are as they were, and the browser can hang up on either.
    fn go_on(&mut self) {
        assert!(self.failed(), "{:?}", self.first.browser.last());
        for story in [&mut self.first, &mut self.second] {
            story.hangs_up();
            assert_eq!(story.cause(), CauseCode::Normal);
            assert_eq!(story.sip.last(), Some(&"BYE"));
            story.media_closes();
            story.phone_ends(SipEndedBy::Local);
            assert_eq!(story.record().cause.code, CauseCode::Normal);
        }
    }
}

fn origin(sdp: &str) -> (String, u64) {
    let line = sdp.lines().find_map(|line| line.strip_prefix("o="));
    let fields: Vec<_> = line.unwrap().split(' ').collect();
    (fields[1].to_owned(), fields[2].parse().unwrap())
}

#[test]
fn where_the_telephone_will_not_the_gateway_connects_it_with_the_other() {
    let mut two = Two::talking();
    two.first.machine.hold(two.first.now, true);
    two.first.take_actions();
    let held = origin(two.first.bodies.last().unwrap());
    two.first.sip.clear();
    two.connect();
    assert_eq!(two.consult(), Wish::Description);
    assert_eq!(two.first.sip, ["REFER to another call"]);
    two.refer_is_refused();
    assert_eq!(two.consult(), Wish::Description);
    // Its own session goes on, with the other's address; what was on hold no longer is.
    let offer = two.first.bodies.last().unwrap().clone();
    assert!(offer.contains("192.0.2.77") && offer.contains("m=audio 7000"));
    assert!(!offer.contains("a=sendonly"), "{offer}");
    assert_eq!(origin(&offer), (held.0, held.1 + 1));
    assert!(two.second.records.is_empty() && two.second.told().last() != Some(&"hangup"));
    two.first_agrees();
    assert_eq!(two.consult(), Wish::Telephone);
    assert_eq!(two.first.other, ["re-INVITE"]);
    let offer = two.first.bodies.last().unwrap();
    assert!(offer.contains("c=IN IP4 192.0.2.9"), "{offer}");
    for story in [&two.first, &two.second] {
        assert_eq!(story.cause(), CauseCode::Transferred);
        assert!(matches!(story.media.last(), Some(MediaCommand::Close(_))));
    }
    // The second call is over, and its telephone is not hung up on.
    two.second.media_closes();
    assert!(two.second.sip.is_empty());
    let record = two.second.record();
    assert_eq!(record.transfers[0].done_by, Some(EndedBy::Gateway));
    two.first.media_closes();
    let same = OTHER_SDP.replace("a=sendonly\r\n", "");
    two.other(SipEvent::OfferAnswered {
        session: session(),
        body: Some(same.into()),
    });
    assert_eq!(two.first.sip, ["REFER to another call", "re-INVITE"]);
    // The two are one call: its end is that of both.
    two.other(SipEvent::Ended {
        session: session(),
        reason: None,
        by: SipEndedBy::Remote,
    });
    assert_eq!(two.first.sip.last(), Some(&"BYE"));
    two.first.phone_ends(SipEndedBy::Local);
    let record = two.first.record();
    assert!(record.transfers[0].attended);
    assert_eq!(record.transfers[0].done_by, Some(EndedBy::Gateway));
}

#[test]
fn an_answer_that_changes_the_media_is_told_the_first() {
    let mut two = Two::talking();
    two.offer_the_first();
    two.first_agrees();
    two.consult();
    let moved = OTHER_SDP.replace("m=audio 7000", "m=audio 7002");
    let answer = || SipEvent::OfferAnswered {
        session: session(),
        body: Some(moved.clone().into()),
    };
    two.other(answer());
    assert_eq!(two.first.sip.last(), Some(&"re-INVITE"));
    assert!(two.first.bodies.last().unwrap().contains("m=audio 7002"));
    let said = two.first.sip.len();
    two.other(answer());
    assert_eq!(two.first.sip.len(), said, "it is told once");
}

#[test]
fn a_second_telephone_that_will_not_ends_what_nobody_would_hear() {
    let mut two = Two::talking();
    two.offer_the_first();
    two.first_agrees();
    two.consult();
    two.other(SipEvent::OfferRefused {
        session: session(),
        status: StatusCode::new(488),
    });
    assert_eq!(
        (two.first.sip.last(), two.first.other.last()),
        (Some(&"BYE"), Some(&"BYE"))
    );
}

#[test]
fn telephones_of_two_trunks_are_connected_at_once() {
    let mut both = trunks(&["pbx.example", "carrier.example"]);
    both[0].choice.numbers = vec![Pattern::parse("1*").unwrap()];
    let mut two = Two::by(&environment_of(both, DialPlan::default()));
    two.connect();
    two.consult();
    assert_eq!(two.first.sip, ["re-INVITE"]);
    two.first_agrees();
    two.consult();
    assert_eq!(two.first.other, ["re-INVITE"]);
}

#[test]
fn keys_that_each_has_with_the_gateway_keep_the_two_apart() {
    let mut both = trunks(&["pbx.example", "carrier.example"]);
    both[0].choice.numbers = vec![Pattern::parse("1*").unwrap()];
    both[0].srtp = TrunkSrtp::Opportunistic;
    let mut two = Two::by(&environment_of(both, DialPlan::default()));
    two.connect();
    two.consult();
    two.go_on();
}

#[test]
fn nothing_has_happened_where_the_first_telephone_does_not_agree() {
    let mut two = Two::talking();
    two.offer_the_first();
    two.first.sip(SipEvent::OfferRefused {
        session: session(),
        status: StatusCode::new(488),
    });
    two.go_on();
}

#[test]
fn an_answer_without_audio_is_no_agreement() {
    for body in [None, Some(PHONE_SDP.replace("m=audio 4000", "m=audio 0"))] {
        let mut two = Two::talking();
        two.offer_the_first();
        two.first.sip(SipEvent::OfferAnswered {
            session: session(),
            body: body.map(String::into_bytes),
        });
        assert!(two.first.consults.is_empty());
        two.go_on();
    }
}

#[test]
fn another_call_that_is_over_or_says_nothing_is_not_waited_for() {
    // It is being transferred itself.
    let mut two = Two::talking();
    two.second
        .input(Input::TransferTo(Leg::numbered(1), CallId(1)));
    two.connect();
    two.consult();
    assert!(two.failed());
    // It ends while the first is asked: the first is offered ours again.
    let mut two = Two::talking();
    two.offer_the_first();
    two.second.phone_ends(SipEndedBy::Remote);
    two.first_agrees();
    two.consult();
    assert!(two.failed());
    assert!(two.first.bodies.last().unwrap().contains("m=audio 20000"));
    // It says nothing, and its telephone comes too late.
    let mut two = Two::talking();
    two.offer_the_first();
    two.first_agrees();
    two.first.time_passes();
    assert!(two.failed());
    two.consult();
    assert_eq!(two.first.other, ["abandoned"]);
}

#[test]
fn the_first_telephone_changes_nothing_while_the_second_is_being_taken() {
    let mut calls = Two::talking();
    calls.offer_the_first();
    calls.first_agrees();
    for body in [Some(PHONE_SDP.into()), None] {
        let session = session();
        calls.first.sip(SipEvent::Offer { session, body });
        assert_eq!(calls.first.sip.last(), Some(&"re-491"));
    }
    assert_eq!(calls.consult(), Wish::Telephone);
    assert_eq!(calls.first.cause(), CauseCode::Transferred);
}
