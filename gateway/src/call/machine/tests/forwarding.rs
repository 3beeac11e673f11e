//! Calls that the user does not take, and that go on to another number.

use super::dialing::trunks;
use super::*;
use crate::permit::Pattern;

const CALLER_SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 8 0\r\n";
const OTHER_SDP: &str = "v=0\r\no=- 7 7 IN IP4 192.0.2.77\r\ns=-\r\nc=IN IP4 192.0.2.77\r\nt=0 0\r\n\
    m=audio 7000 RTP/AVP 8\r\n";

/// A call to a user with so many devices, whose calls go on like that.
fn called(devices: usize, forward: Forward, permit: Permit, diversions: usize) -> Story {
    let trunks = trunks(&["pbx.example"]);
    let arrival = arrival(devices, forward, permit, diversions);
    called_by(trunks, arrival)
}

pub(super) fn called_by(trunks: Vec<crate::settings::Trunk>, arrival: Arrival) -> Story {
    let start = Instant::now();
    let environment = environment_of(trunks, DialPlan::default());
    Story::of(Machine::called(start, environment, arrival), start)
}

pub(super) fn arrival(
    devices: usize,
    forward: Forward,
    permit: Permit,
    diversions: usize,
) -> Arrival {
    Arrival {
        id: CallId(1),
        name: CallName::incoming(CallId(1)),
        caller: Caller::default(),
        to: "100".into(),
        identity: identity(permit),
        forward,
        ring_time: Duration::from_secs(15),
        headers: BTreeMap::new(),
        diverted: diverted(diversions),
        signed: Default::default(),
        offer: CALLER_SDP.into(),
        trunk: Arc::new(crate::settings::Trunk::at(
            "sip:pbx.example".parse().unwrap(),
        )),
        seat: None,
        sessions: (0..devices).map(|device| format!("s{device}")).collect(),
        candidates: vec!["127.0.0.1:7000".parse().unwrap()],
        wall: SystemTime::UNIX_EPOCH,
        seed: [1; 32],
    }
}

fn diverted(times: usize) -> Diverted {
    let mut diverted = Diverted::default();
    for _ in 0..times {
        diverted.goes_on("sip:1@a", Why::Always);
    }
    diverted
}

fn to(number: &str) -> Option<String> {
    Some(number.to_owned())
}

fn other(story: &mut Story, event: SipEvent) {
    let input = Input::Sip(Box::new(event));
    story.input(Input::Other(Box::new(input)));
}

fn other_answers(story: &mut Story) {
    let answered = SipEvent::Answered {
        session: session(),
        fork: None,
        body: Some(OTHER_SDP.into()),
    };
    other(story, answered);
}

fn other_fails(story: &mut Story, status: u16) {
    let failure = Failure::Status {
        status: StatusCode::new(status).unwrap(),
        reason: String::new(),
        reason_header: None,
        retry_after: None,
        contacts: Vec::new(),
    };
    let session = session();
    other(story, SipEvent::Failed { session, failure });
}

fn assert_goes_on(story: &Story, reason: &str) {
    assert_eq!(story.other, ["INVITE"]);
    let dial = story.dialed.last().unwrap();
    assert_eq!(dial.target.to_string(), "sip:+4977@pbx.example");
    let offer = String::from_utf8(dial.body.clone()).unwrap();
    // What the caller likes best is asked for first.
    assert!(offer.contains("m=audio 20100 RTP/AVP 8 0"), "{offer}");
    assert!(story.opened.as_ref().unwrap().browser.is_none());
    let diversion = format!("<sip:100@pbx.example>;reason={reason}");
    assert_eq!(dial.headers[0], ("Diversion".to_owned(), diversion));
}

#[test]
fn a_call_that_is_not_answered_goes_on_and_the_caller_speaks_with_the_other() {
    let forward = Forward {
        no_answer: to("+4977"),
        ..Forward::default()
    };
    let mut story = called(2, forward, Permit::default(), 0);
    assert_eq!(story.told(), ["incoming", "incoming"]);
    assert_eq!(story.time_passes(), Duration::from_secs(15));
    assert_eq!(story.told()[2..], ["hangup", "hangup"]);
    assert_goes_on(&story, "no-answer");
    other_answers(&mut story);
    assert_eq!(story.sip, ["180", "200"]);
    assert!(story.bodies[0].contains("m=audio 20000"));
    let reached = |leg| story.reached(leg).unwrap().rtp.to_string();
    assert_eq!(reached(LegName::Phone), "192.0.2.9:4000");
    assert_eq!(reached(LegName::Other), "192.0.2.77:7000");
    story.now += Duration::from_secs(30);
    story.phone_ends(SipEndedBy::Remote);
    assert_eq!(story.other, ["INVITE", "BYE"]);
    let (session, reason, by) = (self::session(), None, SipEndedBy::Local);
    other(
        &mut story,
        SipEvent::Ended {
            session,
            reason,
            by,
        },
    );
    story.media_closes();
    let record = story.record();
    assert_eq!(record.cause.code, CauseCode::Normal);
    assert!(record.media.is_none(), "there was no browser");
    assert_eq!(
        (record.transfers[0].by, record.talk_ms),
        (EndedBy::Gateway, 30_000)
    );
}

#[test]
fn a_caller_who_gives_up_as_the_other_answers_leaves_nobody_up() {
    let forward = Forward {
        always: to("+4977"),
        ..Forward::default()
    };
    let mut story = called(1, forward, Permit::default(), 0);
    other_answers(&mut story);
    let (session, reason) = (session(), None);
    story.sip(SipEvent::Cancelled { session, reason });
    assert_eq!(story.other, ["INVITE", "BYE"]);
}

#[test]
fn a_call_goes_on_at_once_from_who_is_busy_not_there_or_wants_none() {
    let all = || Forward {
        busy: to("+4977"),
        unavailable: to("+4977"),
        ..Forward::default()
    };
    let mut busy = called(1, all(), Permit::default(), 0);
    busy.input(Input::Browser(
        Device(0),
        ClientMessage::busy(busy.machine.name.clone()),
    ));
    assert_goes_on(&busy, "user-busy");
    let nowhere = called(0, all(), Permit::default(), 0);
    assert_goes_on(&nowhere, "unavailable");
    let always = Forward {
        always: to("+4977"),
        ..Forward::default()
    };
    let none = called(3, always, Permit::default(), 0);
    assert_goes_on(&none, "unconditional");
    assert!(none.told().is_empty(), "no device rings");
}

#[test]
fn who_declines_is_not_forwarded_and_what_fails_is_told_the_caller() {
    let forward = || Forward {
        busy: to("+4977"),
        no_answer: to("+4977"),
        ..Forward::default()
    };
    let mut declined = called(1, forward(), Permit::default(), 0);
    declined.hangs_up();
    assert_eq!(declined.sip, ["180", "603"]);
    let mut story = called(1, forward(), Permit::default(), 0);
    story.time_passes();
    other_fails(&mut story, 486);
    assert_eq!(story.sip, ["180", "486"]);
    story.media_closes();
    let record = story.record();
    assert_eq!(record.cause.code, CauseCode::Busy);
    assert!(record.transfers[0].failure.is_some());
}

#[test]
fn a_call_goes_nowhere_that_the_user_may_not_call_and_not_in_circles() {
    let forward = || Forward {
        always: to("+4977"),
        ..Forward::default()
    };
    let permit = Permit {
        dial: Some(vec![Pattern::parse("+1*").unwrap()]),
        ..Permit::default()
    };
    let refused = called(1, forward(), permit, 0);
    assert!(refused.other.is_empty());
    assert_eq!(refused.told(), ["incoming"], "his devices ring instead");
    let circling = called(0, forward(), Permit::default(), 5);
    assert_eq!(
        (circling.other.len(), circling.sip.as_slice()),
        (0, &["480"][..])
    );
}

#[test]
fn a_caller_who_gives_up_meanwhile_cancels_the_other() {
    let forward = Forward {
        always: to("+4977"),
        ..Forward::default()
    };
    let mut story = called(1, forward, Permit::default(), 0);
    let (session, reason) = (session(), None);
    story.sip(SipEvent::Cancelled { session, reason });
    assert_eq!(story.other, ["INVITE", "BYE"]);
    other_fails(&mut story, 487);
    story.media_closes();
    assert_eq!(story.record().cause.code, CauseCode::Cancelled);
}

#[test]
fn whom_a_call_was_for_is_told_who_is_trusted_with_who_calls() {
    let forward = || Forward {
        always: to("+4977"),
        ..Forward::default()
    };
    for trusted in [true, false] {
        let mut trunks = trunks(&["pbx.example"]);
        if trusted {
            trunks[0].identity = crate::settings::CallerIdentity::Asserted;
        }
        let story = called_by(trunks, arrival(0, forward(), Permit::default(), 0));
        let headers = &story.dialed.last().unwrap().headers;
        let history = headers.iter().filter(|(name, _)| name == "History-Info");
        let history: Vec<_> = history.map(|(_, value)| value.as_str()).collect();
        let expected: &[&str] = match trusted {
            true => &[
                "<sip:100@pbx.example>;index=1",
                "<sip:+4977@pbx.example;cause=302>;index=1.1;mp=1",
            ],
            false => &[],
        };
        assert_eq!(history, expected);
    }
}

#[test]
fn a_call_goes_on_by_the_next_trunk_where_the_first_does_not_serve() {
    let forward = || Forward {
        always: to("+4977"),
        ..Forward::default()
    };
    let up = || {
        let trunks = trunks(&["a.example", "b.example"]);
        called_by(trunks, arrival(0, forward(), Permit::default(), 0))
    };
    let mut refused = up();
    other_fails(&mut refused, 503);
    assert_eq!(refused.other, ["INVITE", "INVITE"]);
    assert_ne!(refused.targets[0], refused.targets[1]);
    other_answers(&mut refused);
    assert_eq!(refused.sip, ["200"]);
    let mut silent = up();
    assert_eq!(silent.time_passes(), Duration::from_secs(3));
    assert_eq!(silent.other, ["INVITE", "abandoned", "INVITE"]);
    silent.time_passes();
    assert_eq!(silent.sip, ["480"]);
}

#[test]
fn a_caller_without_an_offer_is_sent_on_too() {
    let forward = Forward {
        always: to("+4977"),
        ..Forward::default()
    };
    let arrival = Arrival {
        offer: Vec::new(),
        ..arrival(0, forward, Permit::default(), 0)
    };
    let mut story = called_by(trunks(&["pbx.example"]), arrival);
    other_answers(&mut story);
    assert_eq!(story.sip, ["200"]);
    assert!(story.bodies[0].contains("m=audio 20000"));
    let body = Some(CALLER_SDP.into());
    let session = session();
    story.sip(SipEvent::Confirmed { session, body });
    let reached = |leg| story.reached(leg).unwrap().rtp.to_string();
    assert_eq!(reached(LegName::Phone), "192.0.2.9:4000");
}
