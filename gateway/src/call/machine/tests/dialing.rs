//! The ways to a telephone, one after the other.

use super::*;
use crate::call::dial_plan::DialPlan;
use crate::permit::Pattern;
use crate::settings::{Choice, Trunk};

/// Trunks of which the first has the lowest priority number: they are tried in this order.
pub(super) fn trunks(hosts: &[&str]) -> Vec<Trunk> {
    let trunk = |(priority, host): (u16, &&str)| Trunk {
        name: host.split('.').next().unwrap_or_default().to_owned(),
        choice: Choice {
            priority,
            ..Choice::default()
        },
        ..Trunk::at(format!("sip:{host}").parse().unwrap())
    };
    (1..).zip(hosts).map(trunk).collect()
}

/// A call to that number whose media is open.
pub(super) fn calling(to: &str, environment: &Arc<Environment>, permit: Permit) -> Story {
    let start = Instant::now();
    let setup = Setup {
        identity: Some(identity(permit)),
        ..setup(to, OFFER)
    };
    let machine = Machine::new(start, Arc::clone(environment), setup);
    let mut story = Story::of(machine, start);
    if story.opened.is_some() {
        story.media(MediaEvent::Opened {
            rtp: RTP.parse().unwrap(),
            rtcp: RTCP.parse().unwrap(),
        });
    }
    story
}

fn by_two() -> Story {
    let environment = environment_of(trunks(&["one.example", "two.example"]), DialPlan::default());
    calling("+4930", &environment, Permit::default())
}

/// The INVITEs so far went to these hosts.
fn assert_tried(story: &Story, hosts: &[&str]) {
    let tried: Vec<_> = story
        .targets
        .iter()
        .map(|target| target.split('@').nth(1))
        .collect();
    let hosts: Vec<_> = hosts.iter().map(|host| Some(*host)).collect();
    assert_eq!(tried, hosts);
}

#[test]
fn a_trunk_that_cannot_serve_is_passed_and_the_caller_does_not_notice() {
    for failure in [500, 502, 503, 504, 408] {
        let mut story = by_two();
        story.is_out(0);
        story.progress(100, None);
        story.fails(failure);
        assert_tried(&story, &["one.example", "two.example"]);
        story.is_out(0);
        story.progress(180, None);
        story.answered(Some(PHONE_SDP));
        assert_eq!(story.told(), ["answer", "ringing", "accepted"], "{failure}");
        story.hangs_up();
        story.media_closes();
        story.phone_ends(SipEndedBy::Local);
        assert_eq!(story.record().trunk.as_deref(), Some("two"));
        assert_eq!(
            story.record().target.as_deref(),
            Some("sip:+4930@two.example")
        );
    }
}

#[test]
fn what_the_called_says_is_final() {
    for failure in [403, 404, 480, 486, 488, 600, 603] {
        let mut story = by_two();
        story.is_out(0);
        story.fails(failure);
        assert_tried(&story, &["one.example"]);
        assert_eq!(story.told(), ["answer", "hangup"], "{failure}");
    }
}

#[test]
fn a_telephone_that_has_rung_is_not_called_again_by_another_way() {
    for early in [None, Some(PHONE_SDP)] {
        let mut story = by_two();
        story.is_out(1);
        story.progress(if early.is_some() { 183 } else { 180 }, early);
        story.fails(503);
        assert_eq!(story.sip, ["INVITE"]);
        assert_eq!(story.told().last(), Some(&"hangup"));
    }
}

#[test]
fn where_nothing_is_heard_the_next_is_tried_within_four_seconds() {
    let mut story = by_two();
    story.is_out(0);
    assert!(story.time_passes() <= Duration::from_secs(4));
    assert_eq!(story.sip, ["INVITE", "abandoned", "INVITE"]);
    assert_tried(&story, &["one.example", "two.example"]);
    // There is no third: this one has all the time that telephones have.
    story.is_out(0);
    assert!(story.time_passes() > Duration::from_secs(50));
    assert_eq!(story.cause(), CauseCode::Unreachable);
}

#[test]
fn what_has_been_heard_of_is_waited_for() {
    let mut story = by_two();
    story.is_out(0);
    story.progress(100, None);
    assert_eq!(story.time_passes(), Duration::from_secs(60));
    assert_tried(&story, &["one.example"]);
    assert_eq!(story.cause(), CauseCode::NoAnswer);
}

#[test]
fn a_trunks_other_addresses_are_tried_before_another_trunk() {
    let mut story = by_two();
    story.is_out(2);
    story.fails_because(Failure::Transport(
        sip::endpoint::TransportError::Unreachable,
    ));
    assert_eq!(story.sip, ["INVITE", "next address"]);
    story.is_out(1);
    story.time_passes();
    assert_eq!(
        story.sip,
        ["INVITE", "next address", "abandoned", "next address"]
    );
    story.is_out(0);
    story.fails(503);
    assert_tried(&story, &["one.example", "two.example"]);
}

#[test]
fn the_last_ones_cause_is_told_when_no_way_leads_anywhere() {
    let mut story = by_two();
    story.input(Input::DialFailed("no such name".into()));
    assert_tried(&story, &["one.example", "two.example"]);
    story.is_out(0);
    story.fails(503);
    assert_eq!(story.told(), ["answer", "hangup"]);
    assert_eq!(story.cause(), CauseCode::Overloaded);
    story.media_closes();
    assert_eq!(story.record().cause.sip, Some(503));
}

#[test]
fn a_trunk_that_fails_again_and_again_is_tried_last() {
    let environment = environment_of(trunks(&["one.example", "two.example"]), DialPlan::default());
    for _ in 0..3 {
        let mut story = calling("+4930", &environment, Permit::default());
        story.fails(503);
        assert_tried(&story, &["one.example", "two.example"]);
        story.answered(Some(PHONE_SDP));
    }
    let story = calling("+4930", &environment, Permit::default());
    assert_tried(&story, &["two.example"]);
}

#[test]
fn a_full_trunk_is_passed_over_and_its_place_is_free_again_after_the_call() {
    let mut both = trunks(&["one.example", "two.example"]);
    both[0].choice.max_calls = Some(1);
    both[1].choice.max_calls = Some(1);
    let environment = environment_of(both, DialPlan::default());
    let call = || calling("+4930", &environment, Permit::default());
    let mut first = call();
    assert_tried(&first, &["one.example"]);
    let second = call();
    assert_tried(&second, &["two.example"]);
    let third = call();
    assert_eq!((third.cause(), third.sip.len()), (CauseCode::Overloaded, 0));
    first.answered(Some(PHONE_SDP));
    first.hangs_up();
    first.media_closes();
    first.phone_ends(SipEndedBy::Local);
    let fourth = call();
    assert_tried(&fourth, &["one.example"]);
}

#[test]
fn numbers_find_their_trunks_and_are_written_as_those_want_them() {
    let mut both = trunks(&["germany.example", "world.example"]);
    both[0].choice.numbers = vec![Pattern::parse("+49*").unwrap()];
    both[0].choice.number_format = crate::call::dial_plan::NumberFormat::National;
    both[1].choice.number_format = crate::call::dial_plan::NumberFormat::Digits;
    let plan = DialPlan {
        country_code: "49".into(),
        ..DialPlan::default()
    };
    let environment = environment_of(both, plan);
    for (dialled, target) in [
        ("+49 30 123", "sip:030123@germany.example"),
        ("030123", "sip:030123@germany.example"),
        ("0044 20 7946", "sip:44207946@world.example"),
        ("100", "sip:100@world.example"),
    ] {
        let story = calling(dialled, &environment, Permit::default());
        assert_eq!(story.targets, [target]);
    }
}

#[test]
fn a_permit_asks_what_the_number_is_not_how_it_was_dialled() {
    let plan = DialPlan {
        country_code: "49".into(),
        emergency: vec!["112".into()],
        blocked: vec![Pattern::parse("+49900*").unwrap()],
        ..DialPlan::default()
    };
    let environment = environment_of(trunks(&["one.example"]), plan);
    let call = |to: &str| {
        let permit = Permit {
            dial: Some(vec![Pattern::parse("+49*").unwrap()]),
            ..Permit::default()
        };
        calling(to, &environment, permit)
    };
    for dialled in ["030123", "004930123", "+4930123", "112", "tel:112"] {
        assert_eq!(call(dialled).targets.len(), 1, "{dialled}");
    }
    for dialled in [
        "0900123#",
        "*31#0900123",
        "*21*0900123#",
        "0044207",
        "+44207",
        "0900123",
        "0049900123",
        "sip:0900123@one.example",
    ] {
        let story = call(dialled);
        assert_eq!(story.cause(), CauseCode::Forbidden, "{dialled}");
        assert!(story.targets.is_empty());
    }
}

#[test]
fn help_is_called_by_the_trunks_that_have_it_full_or_not() {
    let mut both = trunks(&["cheap.example", "local.example"]);
    both[1].choice.emergency = true;
    both[1].choice.max_calls = Some(1);
    let plan = DialPlan {
        emergency: vec!["112".into()],
        ..DialPlan::default()
    };
    let environment = environment_of(both, plan);
    for _ in 0..3 {
        let nobody = Permit {
            dial: Some(Vec::new()),
            ..Permit::default()
        };
        let story = calling("112", &environment, nobody);
        assert_eq!(story.targets, ["sip:112@local.example"]);
        std::mem::forget(story);
    }
}

#[test]
fn a_redirection_is_followed_where_the_caller_may_go() {
    let mut one = trunks(&["one.example"]);
    one[0].addresses = vec!["198.51.100.0/24".parse().unwrap()];
    let environment = environment_of(one, DialPlan::default());
    let call = || {
        let permit = Permit {
            dial: Some(vec![Pattern::parse("+49*").unwrap()]),
            ..Permit::default()
        };
        let mut story = calling("+4930", &environment, permit);
        story.is_out(0);
        story
    };
    let mut story = call();
    story.fails_to(
        302,
        &["sip:+4989@one.example", "sip:+4930@198.51.100.7:5070"],
    );
    assert_eq!(story.targets[1..], ["sip:+4989@one.example"]);
    story.fails(503);
    assert_eq!(story.targets[2..], ["sip:+4930@198.51.100.7:5070"]);
    for elsewhere in [
        "sip:+1900@one.example",
        "sip:+1900@198.51.100.7",
        "sip:+4930@203.0.113.1",
        "sip:one.example",
    ] {
        let mut story = call();
        story.fails_to(302, &[elsewhere]);
        assert_eq!(story.targets.len(), 1, "{elsewhere}");
        assert_eq!(story.told(), ["answer", "hangup"], "{elsewhere}");
    }
}

#[test]
fn a_trunk_is_told_who_calls_where_it_wants_that_and_whether_the_called_may_see_it() {
    use crate::settings::CallerIdentity;
    let told = |identity, withheld| {
        let mut one = trunks(&["one.example"]);
        one[0].identity = identity;
        let environment = environment_of(one, DialPlan::default());
        let setup = Setup {
            identity: Some(Identity {
                number: Some("+4930".into()),
                withheld,
                ..super::identity(Permit::default())
            }),
            ..setup("+4989", OFFER)
        };
        let start = Instant::now();
        let mut story = Story::of(Machine::new(start, environment, setup), start);
        story.media(MediaEvent::Opened {
            rtp: RTP.parse().unwrap(),
            rtcp: RTCP.parse().unwrap(),
        });
        let headers = story.dialed[0].headers.iter();
        headers
            .map(|(name, value)| format!("{name}: {value}"))
            .collect::<Vec<_>>()
    };
    assert!(told(CallerIdentity::From, false).is_empty());
    let asserted = told(CallerIdentity::Asserted, true);
    assert_eq!(
        asserted,
        [
            "P-Asserted-Identity: <sip:+4930@one.example>",
            "Privacy: id"
        ]
    );
    let preferred = told(CallerIdentity::Preferred, false);
    assert_eq!(preferred, ["P-Preferred-Identity: <sip:+4930@one.example>"]);
}

#[test]
fn a_browsers_headers_go_where_they_are_taken_and_nowhere_else() {
    let mut both = trunks(&["one.example", "two.example"]);
    both[1].headers_from_browser = vec!["X-Customer".into()];
    let environment = environment_of(both, DialPlan::default());
    let call = |name: &str| {
        let setup = Setup {
            headers: [(name.to_owned(), "7".to_owned())].into(),
            ..setup("+4989", OFFER)
        };
        let start = Instant::now();
        Story::of(Machine::new(start, Arc::clone(&environment), setup), start)
    };
    let mut story = call("x-customer");
    story.media(MediaEvent::Opened {
        rtp: RTP.parse().unwrap(),
        rtcp: RTCP.parse().unwrap(),
    });
    story.fails(503);
    let sent: Vec<_> = story.dialed.iter().map(|dial| dial.headers.len()).collect();
    assert_eq!(sent, [0, 1]);
    for name in ["X-Other", "P-Asserted-Identity", "Via"] {
        let refused = call(name);
        assert_eq!(refused.cause(), CauseCode::BadRequest, "{name}");
        assert!(refused.opened.is_none());
    }
}

#[test]
fn a_redirection_that_leads_in_circles_ends() {
    let environment = environment_of(trunks(&["one.example"]), DialPlan::default());
    let mut story = calling("+4930", &environment, Permit::default());
    for _ in 0..20 {
        story.fails_to(302, &["sip:+4930@one.example"]);
    }
    assert_eq!(story.targets.len(), 6);
    assert_eq!(story.cause(), CauseCode::TrunkError);
}

#[test]
fn a_caller_who_gives_up_between_two_ways_cancels_the_one_that_is_tried() {
    let mut story = by_two();
    story.is_out(0);
    story.time_passes();
    story.hangs_up();
    assert_eq!(story.sip, ["INVITE", "abandoned", "INVITE", "CANCEL"]);
    story.media_closes();
    story.fails_because(Failure::Cancelled);
    assert_eq!(story.record().cause.code, CauseCode::Cancelled);
}
