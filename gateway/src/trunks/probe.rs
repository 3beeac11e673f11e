//! Asking trunks whether they are there (OPTIONS, RFC 3261 §11), so that a call need not find out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Outcome, Trunks};
use crate::settings::Trunk;
use crate::sip_driver::SipHandle;

/// How long a trunk may take to answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// Asks every trunk that is to be asked, for as long as the tasks are kept.
pub fn spawn(sip: &SipHandle, trunks: &Arc<Trunks>) -> JoinSet<()> {
    let mut probes = JoinSet::new();
    for (id, trunk, _) in trunks.iter() {
        if let Some(interval) = trunk.choice.probe_interval {
            let (sip, trunks, trunk) = (sip.clone(), Arc::clone(trunks), Arc::clone(trunk));
            probes.spawn(async move {
                loop {
                    let outcome = probe(&sip, &trunk).await;
                    trunks.report(Instant::now(), id, outcome);
                    sleep(interval).await;
                }
            });
        }
    }
    probes
}

/// Whether it is there, by any of its addresses. Whatever it answers, it is; unless it says that it cannot serve.
async fn probe(sip: &SipHandle, trunk: &Trunk) -> Outcome {
    let Ok(targets) = sip.resolve(trunk.next_hop()).await else {
        return Outcome::Lost;
    };
    for target in targets {
        let uri = sip::Uri {
            user: None,
            ..trunk.uri.clone()
        };
        let answer = timeout(PATIENCE, sip.probe(uri, target)).await;
        if answer
            .ok()
            .flatten()
            .is_some_and(|status| !matches!(status.code(), 408 | 503))
        {
            return Outcome::Found;
        }
    }
    Outcome::Lost
}
