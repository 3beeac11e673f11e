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

    /// The first telephone will not: the second is taken.
    fn take_the_second(&mut self) {
        self.connect();
        self.consult();
        self.refer_is_refused();
        assert_eq!(self.consult(), Wish::Telephone);
    }

    fn second_agrees(&mut self, sdp: &str) {
        self.other(SipEvent::OfferAnswered {
            session: session(),
            offer: self.offered(),
            body: Some(sdp.into()),
        });
    }

    /// What the second telephone was offered last.
    fn offered(&self) -> Vec<u8> {
        self.first.bodies.last().cloned().unwrap().into_bytes()
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

    /// The browser is with the first telephone still.
    fn first_goes_on(&mut self) {
        assert!(self.failed(), "{:?}", self.first.browser.last());
        self.first.hangs_up();
        assert_eq!(self.first.cause(), CauseCode::Normal);
        assert_eq!(self.first.sip.last(), Some(&"BYE"));
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
    let told = origin(&String::from_utf8(two.second.dialed[0].body.clone()).unwrap());
    two.first.machine.hold(two.first.now, true);
    two.first.take_actions();
    two.first.sip.clear();
    two.connect();
    assert_eq!(two.consult(), Wish::Description);
    assert_eq!(two.first.sip, ["REFER to another call"]);
    two.refer_is_refused();
    assert_eq!(two.consult(), Wish::Telephone);
    // The second call is over, and its telephone is not hung up on, but offered the media of the first.
    assert_eq!(two.second.cause(), CauseCode::Transferred);
    two.second.media_closes();
    assert!(two.second.sip.is_empty());
    let record = two.second.record();
    assert_eq!(record.transfers[0].done_by, Some(EndedBy::Gateway));
    assert_eq!(two.first.other, ["re-INVITE"]);
    let offer = two.first.bodies.last().unwrap().clone();
    assert!(offer.contains("192.0.2.5") && offer.contains("m=audio 20100"));
    assert_eq!(origin(&offer), (told.0, told.1 + 1));
    assert!(two.first.told().last() != Some(&"hangup"), "not yet");
    two.second_agrees(OTHER_SDP);
    assert_eq!(two.first.cause(), CauseCode::Transferred);
    let reached = |leg| two.first.reached(leg).unwrap();
    assert_eq!(reached(LegName::Other).rtp.to_string(), "192.0.2.77:7000");
    assert_eq!(reached(LegName::Phone).rtp.to_string(), "192.0.2.9:4000");
    // Who was on hold is no longer, and is told so.
    assert!(reached(LegName::Phone).send && reached(LegName::Phone).receive);
    assert_eq!(two.first.sip, ["REFER to another call", "re-INVITE"]);
    assert!(two.first.bodies.last().unwrap().contains("a=sendrecv"));
    assert!(!matches!(
        two.first.media.last(),
        Some(MediaCommand::Close(_))
    ));
    // The two are one call: its end is that of both.
    two.other(SipEvent::Ended {
        session: session(),
        reason: None,
        by: SipEndedBy::Remote,
    });
    assert_eq!(two.first.sip.last(), Some(&"BYE"));
    assert!(matches!(
        two.first.media.last(),
        Some(MediaCommand::Close(_))
    ));
    two.first.media_closes();
    two.first.phone_ends(SipEndedBy::Local);
    let record = two.first.record();
    assert!(record.transfers[0].attended);
    assert_eq!(record.transfers[0].done_by, Some(EndedBy::Gateway));
}

#[test]
fn a_second_telephone_that_will_not_is_hung_up_on_and_the_first_goes_on() {
    let no_audio = OTHER_SDP.replace("m=audio 7000", "m=audio 0");
    for answer in [Some(None), Some(Some(no_audio)), None] {
        let mut two = Two::talking();
        two.take_the_second();
        let (session, offer) = (session(), two.offered());
        two.other(match answer {
            Some(body) => SipEvent::OfferAnswered {
                session,
                offer,
                body: body.map(String::into_bytes),
            },
            None => SipEvent::OfferRefused {
                session,
                offer,
                status: StatusCode::new(488),
            },
        });
        assert_eq!(two.first.other.last(), Some(&"abandoned"));
        two.first_goes_on();
    }
}

#[test]
fn a_telephone_that_does_not_come_back_from_hold_is_joined_with_nobody() {
    for held in [true, false] {
        let mut two = Two::talking();
        two.first.machine.hold(two.first.now, true);
        two.first.take_actions();
        if held {
            let answer = format!("{PHONE_SDP}a=recvonly\r\n");
            two.first.phone_answers_anew(&answer);
        }
        two.take_the_second();
        two.second_agrees(OTHER_SDP);
        two.first.sip(SipEvent::OfferRefused {
            session: session(),
            offer: Vec::new(),
            status: StatusCode::new(488),
        });
        // One that never took the hold is heard as before.
        let hung_up = two.first.sip.last() == Some(&"BYE");
        assert_eq!(hung_up, held);
        assert_eq!(two.first.other.last() == Some(&"BYE"), held);
    }
}

#[test]
fn what_comes_of_an_offer_that_the_other_call_made_is_no_answer_to_ours() {
    let mut two = Two::talking();
    two.take_the_second();
    let (session, offer) = (session(), b"of its hold".to_vec());
    two.other(SipEvent::OfferRefused {
        session,
        offer: offer.clone(),
        status: StatusCode::new(488),
    });
    two.other(SipEvent::OfferAnswered {
        session,
        offer,
        body: Some(PHONE_SDP.into()),
    });
    assert_eq!(two.first.other, ["re-INVITE"]);
    two.second_agrees(OTHER_SDP);
    let reached = two.first.reached(LegName::Other).unwrap();
    assert_eq!(reached.rtp.to_string(), "192.0.2.77:7000");
}

#[test]
fn telephones_of_two_trunks_are_connected_at_once_however_each_has_its_keys() {
    let mut both = trunks(&["pbx.example", "carrier.example"]);
    both[0].choice.numbers = vec![Pattern::parse("1*").unwrap()];
    both[0].srtp = TrunkSrtp::Opportunistic;
    let mut two = Two::by(&environment_of(both, DialPlan::default()));
    two.connect();
    two.consult();
    assert!(two.first.sip.is_empty(), "it is not asked");
    assert_eq!(two.consult(), Wish::Telephone);
    assert_eq!(two.first.other, ["re-INVITE"]);
    two.second_agrees(OTHER_SDP);
    assert_eq!(two.first.cause(), CauseCode::Transferred);
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
    // It ends while the first is asked.
    let mut two = Two::talking();
    two.connect();
    two.consult();
    two.second.phone_ends(SipEndedBy::Remote);
    two.refer_is_refused();
    two.consult();
    two.first_goes_on();
    // It says nothing, and its telephone comes too late.
    let mut two = Two::talking();
    two.connect();
    two.consult();
    two.refer_is_refused();
    two.first.time_passes();
    assert!(two.failed());
    two.consult();
    assert_eq!(two.first.other, ["abandoned"]);
}
