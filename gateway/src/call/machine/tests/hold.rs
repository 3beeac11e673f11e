//! Hold from either side, and what else the telephone changes.

use super::*;
use crate::signaling::message::HoldCall;
use crate::worker::TrunkMedia;

/// The telephone's SDP in another direction, of another version.
fn phone_sdp(version: u32, attribute: &str) -> String {
    PHONE_SDP.replace("o=- 1 1", &format!("o=- 1 {version}")) + attribute + "\r\n"
}

impl Story {
    fn holds(&mut self, held: bool) {
        let call = self.machine.name.clone();
        let hold = ClientMessage::Hold(HoldCall { call, held });
        self.input(Input::Browser(Device::CALLER, hold));
    }

    fn phone_offers(&mut self, sdp: Option<&str>) {
        self.sip(SipEvent::Offer {
            session: session(),
            fork: Some(Fork(1)),
            body: sdp.map(|sdp| sdp.as_bytes().to_vec()),
        });
    }

    pub(super) fn phone_answers_anew(&mut self, sdp: &str) {
        self.sip(SipEvent::OfferAnswered {
            session: session(),
            offer: Vec::new(),
            body: Some(sdp.as_bytes().to_vec()),
        });
    }

    /// What the worker was told of the telephone's media last.
    fn joined(&self) -> &TrunkMedia {
        let bridged = self.media.iter().rev().find_map(|command| match command {
            MediaCommand::Bridge(_, _, media) => Some(media),
            _ => None,
        });
        bridged.expect("media that is joined")
    }

    fn crosses(&self) -> (bool, bool) {
        let media = self.joined();
        (media.send, media.receive)
    }

    /// Who holds whom, as the browser was told last.
    fn held(&self) -> (bool, bool) {
        let hold = self.browser.iter().rev().find_map(|message| match message {
            ServerMessage::Hold { here, there, .. } => Some((*here, *there)),
            _ => None,
        });
        hold.expect("a word on hold")
    }
}

fn version(sdp: &str) -> u64 {
    let origin = sdp.lines().find(|line| line.starts_with("o=")).unwrap();
    origin.split(' ').nth(2).unwrap().parse().unwrap()
}

#[test]
fn a_browser_holds_the_telephone_and_takes_it_back() {
    let mut story = Story::talking();
    assert_eq!(story.crosses(), (true, true));
    story.holds(true);
    assert_eq!(story.crosses(), (false, false), "at once");
    assert_eq!(story.held(), (true, false));
    assert_eq!(story.sip.last(), Some(&"re-INVITE"));
    assert!(
        story.bodies[0].contains("a=sendonly"),
        "{}",
        story.bodies[0]
    );
    story.phone_answers_anew(&phone_sdp(2, "a=recvonly"));
    assert_eq!(story.crosses(), (false, false));

    story.holds(false);
    assert!(!story.bodies[1].contains("a=sendonly"));
    assert!(version(&story.bodies[1]) > version(&story.bodies[0]));
    story.phone_answers_anew(&phone_sdp(3, "a=sendrecv"));
    assert_eq!(story.crosses(), (true, true));
    assert_eq!(story.held(), (false, false));
    story.hangs_up();
    assert_eq!(story.sip.last(), Some(&"BYE"));
}

#[test]
fn a_telephone_holds_in_every_spelling_and_comes_back() {
    for (attribute, crosses, answered) in [
        ("a=sendonly", (false, true), "a=recvonly"),
        ("a=inactive", (false, false), "a=inactive"),
    ] {
        let mut story = Story::talking();
        story.phone_offers(Some(&phone_sdp(2, attribute)));
        assert_eq!(story.sip.last(), Some(&"re-200"));
        assert!(story.bodies[0].contains(answered), "{}", story.bodies[0]);
        assert_eq!(story.crosses(), crosses, "{attribute}");
        assert_eq!(story.held(), (false, true));
        story.phone_offers(Some(&phone_sdp(3, "a=sendrecv")));
        assert_eq!(story.crosses(), (true, true));
        assert_eq!(story.held(), (false, false));
        assert!(version(&story.bodies[1]) > version(&story.bodies[0]));
    }
    let mut story = Story::talking();
    let old = phone_sdp(2, "a=sendrecv").replace("c=IN IP4 192.0.2.9", "c=IN IP4 0.0.0.0");
    story.phone_offers(Some(&old));
    assert_eq!(story.sip.last(), Some(&"re-200"));
    assert_eq!(story.crosses(), (false, true));
    assert_eq!(story.joined().rtp, "192.0.2.9:4000".parse().unwrap());
    assert_eq!(story.held(), (false, true));
}

#[test]
fn both_hold_and_one_coming_back_is_not_enough() {
    let mut story = Story::talking();
    story.holds(true);
    story.phone_answers_anew(&phone_sdp(2, "a=recvonly"));
    story.phone_offers(Some(&phone_sdp(3, "a=inactive")));
    assert_eq!(story.held(), (true, true));
    story.phone_offers(Some(&phone_sdp(4, "a=sendrecv")));
    assert!(story.bodies.last().unwrap().contains("a=sendonly"));
    assert_eq!(story.held(), (true, false));
    assert_eq!(story.crosses(), (false, false));
    story.holds(false);
    story.phone_answers_anew(&phone_sdp(5, "a=sendrecv"));
    assert_eq!(story.crosses(), (true, true));
}

#[test]
fn a_hold_that_is_taken_back_before_it_is_answered_leaves_the_call_as_it_was() {
    let mut story = Story::talking();
    story.holds(true);
    story.holds(false);
    story.phone_answers_anew(&phone_sdp(2, "a=recvonly"));
    story.phone_answers_anew(&phone_sdp(3, "a=sendrecv"));
    assert_eq!(story.crosses(), (true, true));
    assert_eq!(story.held(), (false, false));
}

#[test]
fn a_held_telephone_that_answers_inactive_does_not_hold_us() {
    let mut story = Story::talking();
    story.holds(true);
    story.phone_answers_anew(&phone_sdp(2, "a=inactive"));
    assert_eq!(story.held(), (true, false));
    story.holds(false);
    story.phone_answers_anew(&phone_sdp(3, "a=sendrecv"));
    assert_eq!(story.crosses(), (true, true));
    assert_eq!(story.held(), (false, false));
}

#[test]
fn a_telephone_that_refuses_to_be_held_is_held_all_the_same() {
    let mut story = Story::talking();
    story.holds(true);
    story.sip(SipEvent::OfferRefused {
        session: session(),
        offer: Vec::new(),
        status: StatusCode::new(488),
    });
    assert_eq!(story.crosses(), (false, false));
    assert_eq!(story.held(), (true, false));
    story.holds(false);
    assert_eq!(story.crosses(), (true, true));
    assert!(!story.machine.is_ended());
}

#[test]
fn a_telephone_moves_and_changes_its_codec_within_the_call() {
    let mut story = Story::talking();
    let moved = phone_sdp(2, "a=sendrecv")
        .replace("192.0.2.9", "192.0.2.10")
        .replace("m=audio 4000 RTP/AVP 0 101", "m=audio 5000 RTP/AVP 8");
    story.phone_offers(Some(&moved));
    let media = story.joined();
    assert_eq!(media.rtp, "192.0.2.10:5000".parse().unwrap());
    assert_eq!(media.format.codec, ::media::Codec::Pcma);
    assert!(!story.told().contains(&"hold"));
}

#[test]
fn a_change_that_cannot_be_is_refused_and_the_call_goes_on() {
    let mut story = Story::talking();
    let joined = story.media.len();
    for offer in [
        "rubbish".to_owned(),
        phone_sdp(2, "").replace("RTP/AVP 0 101", "RTP/AVP 18"),
    ] {
        story.phone_offers(Some(&offer));
        assert_eq!(story.sip.last(), Some(&"re-488"), "{offer}");
    }
    assert_eq!(story.media.len(), joined);
    assert!(!story.machine.is_ended());
}

#[test]
fn a_change_without_an_offer_is_offered_one_and_the_ack_decides() {
    let mut story = Story::talking();
    story.phone_offers(None);
    assert_eq!(story.sip.last(), Some(&"re-200"));
    assert!(story.bodies[0].contains("m=audio 20000 RTP/AVP 0 8 101"));
    let moved = PHONE_SDP.replace("4000", "4444");
    story.sip(SipEvent::Confirmed {
        session: session(),
        body: Some(moved.into_bytes()),
    });
    assert_eq!(story.joined().rtp, "192.0.2.9:4444".parse().unwrap());
}

#[test]
fn only_a_call_that_is_answered_can_be_held() {
    let mut story = Story::calling();
    story.holds(true);
    assert_eq!(story.told().last(), Some(&"error"));
    assert_eq!(story.sip, ["INVITE"]);
    let mut story = Story::talking();
    story.holds(false);
    assert_eq!(story.told(), ["answer", "accepted"], "nothing changed");
}

#[test]
fn the_telephone_may_change_its_early_media_before_it_is_picked_up() {
    let mut story = Story::calling();
    let moved = phone_sdp(2, "").replace("192.0.2.9", "192.0.2.10");
    story.phone_offers(Some(&moved));
    assert_eq!(story.sip, ["INVITE", "re-491"], "ours is not answered");
    story.progress(183, Some(PHONE_SDP));
    let before = story.joined().rtp;
    story.phone_offers(Some(&moved));
    assert_eq!(story.sip, ["INVITE", "re-491", "re-200"]);
    let offer = String::from_utf8(story.dialed[0].body.clone()).unwrap();
    assert_eq!(version(&story.bodies[0]), version(&offer) + 1);
    let after = story.joined().rtp;
    assert_ne!(before, after);
    story.answered(None);
    assert_eq!(story.told(), ["answer", "early", "accepted"]);
    assert_eq!(story.joined().rtp, after);
    // What is said from now on goes on from there.
    story.holds(true);
    assert_eq!(version(story.bodies.last().unwrap()), version(&offer) + 2);
}
