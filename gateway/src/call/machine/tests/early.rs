//! What is agreed on with each of those that ring, before one of them answers.

use super::dialing::{calling, trunks};
use super::forwarding::{arrival, called_by};
use super::*;

const MOVED: &str = "v=0\r\no=- 1 2 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";
const ELSEWHERE: &str = "v=0\r\no=- 5 5 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

fn offers(story: &mut Story, fork: Fork, sdp: &str) {
    story.sip(SipEvent::Offer {
        session: session(),
        fork: Some(fork),
        body: Some(sdp.into()),
    });
}

fn reached(story: &Story) -> String {
    story.reached(LegName::Phone).unwrap().rtp.to_string()
}

/// A telephone's keys for one suite.
fn keyed(sdp: &str, suite: &str) -> String {
    let key = match suite {
        "AEAD_AES_128_GCM" => "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3OA==",
        _ => "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw",
    };
    let tag = if suite == "AEAD_AES_128_GCM" { 1 } else { 2 };
    let sdp = sdp.replace("RTP/AVP", "RTP/SAVP");
    format!("{sdp}a=crypto:{tag} {suite} inline:{key}\r\n")
}

#[test]
fn of_several_that_ring_the_one_that_answers_is_heard_where_it_has_moved_to() {
    let mut story = Story::calling();
    story.progress_of(Fork(1), 183, Some(PHONE_SDP));
    offers(&mut story, Fork(1), MOVED);
    story.progress_of(Fork(2), 183, Some(ELSEWHERE));
    assert_eq!(reached(&story), "192.0.2.20:4000");
    story.answered_by(Fork(1), None);
    assert_eq!(reached(&story), "192.0.2.10:4000");
    assert_eq!(story.told(), ["answer", "early", "accepted"]);
}

#[test]
fn what_one_has_agreed_on_binds_no_other() {
    let mut trunks = trunks(&["pbx.example"]);
    trunks[0].srtp = TrunkSrtp::Sdes;
    let environment = environment_of(trunks, DialPlan::default());
    let mut story = calling("+4930", &environment, Permit::default());
    let old = "AES_CM_128_HMAC_SHA1_80";
    story.progress_of(Fork(1), 183, Some(&keyed(PHONE_SDP, old)));
    offers(&mut story, Fork(1), &keyed(MOVED, old));
    assert_eq!(story.sip.last(), Some(&"re-200"));
    let best = keyed(ELSEWHERE, "AEAD_AES_128_GCM");
    story.answered_by(Fork(2), Some(&best));
    assert_eq!(story.told().last(), Some(&"accepted"));
    assert_eq!(reached(&story), "192.0.2.20:4000");
}

#[test]
fn the_record_has_the_srtp_of_the_one_that_answers() {
    let mut trunks = trunks(&["pbx.example"]);
    trunks[0].srtp = TrunkSrtp::Opportunistic;
    let environment = environment_of(trunks, DialPlan::default());
    let mut story = calling("+4930", &environment, Permit::default());
    let keyed = keyed(PHONE_SDP, "AES_CM_128_HMAC_SHA1_80");
    story.progress_of(Fork(1), 183, Some(&keyed));
    story.answered_by(Fork(2), Some(ELSEWHERE));
    story.hangs_up();
    story.media_closes();
    story.phone_ends(SipEndedBy::Local);
    assert_eq!(story.record().phone_srtp, None);
}

#[test]
fn a_telephone_that_holds_before_it_is_picked_up_is_known_to_hold() {
    let mut story = Story::calling();
    story.progress(183, Some(PHONE_SDP));
    offers(&mut story, Fork(1), &format!("{MOVED}a=sendonly\r\n"));
    story.answered(None);
    assert_eq!(
        story.told(),
        ["answer", "early", "accepted", "hold"],
        "the browser is told"
    );
    assert!(!story.reached(LegName::Phone).unwrap().send);
    story.sip(SipEvent::Offer {
        session: session(),
        fork: None,
        body: Some(format!("{MOVED}a=sendrecv\r\n").into()),
    });
    let last = story.browser.last();
    let taken_back = matches!(last, Some(ServerMessage::Hold { there: false, .. }));
    assert!(taken_back, "{last:?}");
}

#[test]
fn another_telephone_may_change_too_what_it_has_said_while_it_rings() {
    let forward = Forward {
        always: Some("+4977".to_owned()),
        ..Forward::default()
    };
    let arrival = arrival(0, forward, Permit::default(), 0);
    let mut story = called_by(trunks(&["pbx.example"]), arrival);
    let (session, fork) = (session(), Some(Fork(1)));
    let mut other = |event: SipEvent| {
        let input = Input::Sip(Box::new(event));
        story.input(Input::Other(Box::new(input)));
        story.other.last().copied()
    };
    let offer = || SipEvent::Offer {
        session,
        fork,
        body: Some(MOVED.into()),
    };
    assert_eq!(other(offer()), Some("re-491"), "ours is not answered");
    other(SipEvent::Progress {
        session,
        status: StatusCode::SESSION_PROGRESS,
        fork,
        body: Some(PHONE_SDP.into()),
    });
    assert_eq!(other(offer()), Some("re-200"));
    other(SipEvent::Answered {
        session,
        fork,
        body: None,
    });
    assert_eq!(story.sip, ["200"]);
    let reached = story.reached(LegName::Other).unwrap();
    assert_eq!(reached.rtp.to_string(), "192.0.2.10:4000");
}

/// RFC 6228.
#[test]
fn who_is_given_up_leaves_his_place_to_others() {
    let mut story = Story::calling();
    for fork in 1..=20 {
        story.progress_of(Fork(fork), 183, Some(PHONE_SDP));
        story.progress_of(Fork(fork), 199, None);
    }
    story.progress_of(Fork(21), 183, Some(ELSEWHERE));
    story.answered_by(Fork(21), None);
    assert_eq!(story.told().last(), Some(&"accepted"));
    assert_eq!(reached(&story), "192.0.2.20:4000");
}
