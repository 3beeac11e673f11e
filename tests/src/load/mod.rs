//! A load: calls placed at a rate against a running gateway, with real signalling, ICE, DTLS, SRTP and Opus, and what
//! they cost it.
//!
//! Everything of a call but its certificate and the encoding of what it says is done for each call anew. The telephones
//! are in this process too, if asked for: then the gateway's process does the gateway's work and nothing else.

pub mod answerer;
pub mod call;
pub mod cost;
pub mod figures;
pub mod floor;
mod media;
pub mod sound;
pub mod speech;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use codecs::opus::EncoderSettings;
use tokio::sync::oneshot;

use self::answerer::Invites;
use self::call::{Figures, Shared};
use self::cost::Usage;
use self::figures::{Report, Sample};
use self::floor::Floor;
use self::sound::Sound;

/// Time between two looks at the gateway's process.
const LOOK: Duration = Duration::from_millis(200);

/// What the browsers can speak, and do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Codec {
    /// Opus, and only what a telephone can use of it, as they are asked to.
    #[default]
    Opus,
    /// Opus, all of it.
    Fullband,
    /// G.711 alone: the gateway relays it.
    Pcmu,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The gateway's signalling.
    pub url: String,
    /// What is dialled; with [`Options::answer`], followed by the call's number.
    pub to: String,
    /// How many calls.
    pub calls: usize,
    /// How many of them begin in a second.
    pub rate: f64,
    /// How long each lasts once it is accepted.
    pub seconds: f64,
    /// The gateway's process.
    pub pid: Option<u32>,
    /// Where this program answers calls itself.
    pub answer: Option<SocketAddr>,
    /// What the browsers speak.
    pub codec: Codec,
    /// How the gateway encodes.
    pub opus: EncoderSettings,
}

/// Places the calls and measures.
///
/// # Errors
/// The load itself could not be set up. Calls that fail are in the report.
pub async fn run(options: Options) -> Result<Report, String> {
    let sound = match options.codec {
        Codec::Opus => Sound::opus(),
        Codec::Fullband => Sound::fullband(),
        Codec::Pcmu => Ok(Sound::pcmu()),
    };
    let sound = sound.map_err(|error| error.to_string())?;
    let shared = Arc::new(Shared {
        url: options.url.clone(),
        talk: Duration::from_secs_f64(options.seconds),
        sound: sound.clone(),
        certificate: peer::testing::certificate(),
        talking: AtomicUsize::new(0),
    });
    let invites = match options.answer {
        Some(listen) => {
            let seed = peer::Fingerprint::of(&shared.certificate.certificate).0;
            let spawned = answerer::spawn(listen, seed);
            Some(spawned.map_err(|error| format!("{listen}: {error}"))?)
        }
        None => None,
    };
    let before = usage(options.pid)?;
    let (stop, stopped) = oneshot::channel();
    let looks = tokio::spawn(look(options.pid, Arc::clone(&shared), stopped));
    let measuring = {
        // In the middle of the load, so that both are measured on the same busy machine.
        let begin =
            Duration::from_secs_f64(options.calls as f64 / options.rate + options.seconds * 0.4);
        let (calls, opus) = (options.calls, options.opus);
        tokio::spawn(async move {
            tokio::time::sleep(begin).await;
            tokio::task::spawn_blocking(move || Floor::measure(&sound, calls, opus)).await
        })
    };
    let outcomes = place_all(&options, &shared).await;
    drop(stop);
    let samples = looks.await.map_err(|error| error.to_string())?;
    let floor = match measuring.await {
        Ok(Ok(floor)) => floor?,
        Ok(Err(error)) | Err(error) => return Err(error.to_string()),
    };
    // The last call's end is the gateway's work too.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = usage(options.pid)?;
    let invited = invites.map(|invites| invited(&options, &invites, &outcomes));
    Ok(Report {
        options,
        outcomes,
        invited: invited.unwrap_or_default(),
        before,
        samples,
        after,
        floor,
    })
}

/// Each call in a task of its own, begun when its time has come.
async fn place_all(options: &Options, shared: &Arc<Shared>) -> Vec<(Figures, Result<(), String>)> {
    let start = Instant::now();
    let mut tasks = Vec::new();
    for number in 0..options.calls {
        let begin = start + Duration::from_secs_f64(number as f64 / options.rate);
        tokio::time::sleep_until(begin.into()).await;
        let (shared, to) = (Arc::clone(shared), dialled(options, number));
        tasks.push(tokio::spawn(async move {
            call::place(&shared, number, to).await
        }));
    }
    let mut outcomes = Vec::new();
    for task in tasks {
        let outcome = task.await;
        outcomes.push(outcome.unwrap_or_else(|error| (Figures::default(), Err(error.to_string()))));
    }
    outcomes
}

fn dialled(options: &Options, number: usize) -> String {
    match options.answer {
        Some(_) => format!("{}{number:05}", options.to),
        None => options.to.clone(),
    }
}

fn usage(pid: Option<u32>) -> Result<Option<Usage>, String> {
    let usage = pid.map(Usage::of).transpose();
    usage.map_err(|error| error.to_string())
}

async fn look(
    pid: Option<u32>,
    shared: Arc<Shared>,
    mut stopped: oneshot::Receiver<()>,
) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut interval = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = &mut stopped => return samples,
            _ = interval.tick() => {}
        }
        if let Ok(Some(usage)) = usage(pid) {
            let talking = shared.talking.load(Ordering::Relaxed);
            samples.push(Sample { usage, talking });
        }
    }
}

/// From each offer to its INVITE.
fn invited(
    options: &Options,
    invites: &Invites,
    outcomes: &[(Figures, Result<(), String>)],
) -> Vec<Duration> {
    let invites = invites.lock().unwrap_or_else(PoisonError::into_inner);
    let times = outcomes
        .iter()
        .enumerate()
        .filter_map(|(number, (figures, _))| {
            let came = invites.get(&dialled(options, number))?;
            Some(came.saturating_duration_since(figures.offered?))
        });
    times.collect()
}
