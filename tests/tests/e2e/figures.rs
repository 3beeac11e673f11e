//! How long a call takes to be set up. The figures are printed (`--nocapture`), not judged: other
//! programs run on this machine too.

use switchhook_tests::browser::Page;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::scene::Scene;

use crate::{SOON, talk};

const CALLS: usize = 5;

#[test]
fn set_up_times_are_told() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let page = Page::open(&gateway);
    println!(
        "in ms         offer->answer  offer->media  offer->accepted | in the gateway: ->answer  ->INVITE  ->DTLS  ->accepted"
    );
    for call in 1..=CALLS {
        talk(&page, "echo");
        let state = page.wait_for_mark("media_connected", SOON);
        let since_offer = |mark: &str| {
            let at = |mark: &str| state["marks"][mark].as_f64().unwrap_or(f64::NAN);
            at(mark) - at("offer_sent")
        };
        let (answer, media, accepted) = (
            since_offer("answer_received"),
            since_offer("media_connected"),
            since_offer("accepted"),
        );
        page.hang_up();
        page.assert_ended("normal", "The call has ended.", SOON);
        let records = gateway.wait_for_records(call);
        let record = &records[call - 1];
        let step = |beginning: &str| {
            record
                .step(beginning)
                .unwrap_or_else(|| panic!("no {beginning:?}:\n{}", record.story()))
        };
        let (answered, invited) = (step("the browser is answered"), step("the INVITE is out"));
        let (dtls, accepted_at) = (
            step("DTLS is up"),
            record.number("/answered_ms").unwrap_or(f64::NAN),
        );
        println!(
            "call {call}        {answer:13.1} {media:13.1} {accepted:16.1} | {answered:24} {invited:9} {dtls:7} {accepted_at:11}"
        );
        assert!(answer > 0.0 && answer < 5000.0, "{answer}");
        assert!(
            answered <= invited && invited < 5000,
            "the answer does not wait for the INVITE:\n{}",
            record.story()
        );
    }
}
