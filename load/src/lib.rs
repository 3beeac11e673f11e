//! A load: calls placed at a rate against a running gateway, with real signalling, ICE, DTLS, SRTP and Opus, and what
//! they cost it.
//!
//! Everything of a call but its certificate and the encoding of what it says is done for each call anew. The telephones
//! are in this process too, if asked for: then the gateway's process does the gateway's work and nothing else.

mod browser;
pub mod call;
pub mod cost;
pub mod dtls;
pub mod ear;
pub mod figures;
pub mod floor;
pub mod link;
pub mod offer;
pub mod pesq;
mod phone;
mod recorder;
pub mod sound;
pub mod speech;
pub mod wav;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use ::media::ImpairmentSettings;
use codecs::g711::Law;
use codecs::opus::EncoderSettings;
use tokio::sync::{oneshot, watch};

use self::call::{Figures, Shared};
use self::cost::Usage;
use self::figures::{Report, Sample};
use self::floor::Floor;
use self::link::{Heard, Link, Links};
use self::sound::Sound;

/// So many calls are recorded for PESQ: decoding all would be the load's main work.
const RECORDED: usize = 4;

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
    /// What everybody says: WAV files, one after the other; without any, something like speech.
    pub speech: Vec<PathBuf>,
    /// How bad the browsers' network is.
    pub impair_browser: ImpairmentSettings,
    /// How bad the network of this program's telephones is.
    pub impair_phone: ImpairmentSettings,
    /// A line every second on standard error that tells how far it is.
    pub progress: bool,
    /// How the gateway encodes.
    pub opus: EncoderSettings,
    /// A Python that judges what the first calls sound like, by PESQ.
    pub pesq: Option<PathBuf>,
}

/// Places the calls and measures.
///
/// # Errors
/// The load itself could not be set up. Calls that fail are in the report.
pub async fn run(options: Options) -> Result<Report, String> {
    let (stop, stopped) = watch::channel(false);
    let report = run_until(options, stopped).await;
    drop(stop);
    report
}

/// The same; when `stop` becomes true, the calls end early and what was measured is reported.
///
/// # Errors
/// As [`run`].
pub async fn run_until(options: Options, stop: watch::Receiver<bool>) -> Result<Report, String> {
    let pcm = pcm(&options.speech)?;
    if let Some(python) = &options.pesq {
        // That it cannot judge is better known now than when all calls are over.
        pesq::judge(python, &pcm, &[])?;
    }
    let sound = match options.codec {
        Codec::Opus => Sound::opus_of(&pcm),
        Codec::Fullband => Sound::fullband(),
        Codec::Pcmu => Ok(Sound::g711(Law::Mu, &pcm)),
    };
    let sound = sound.map_err(|error| error.to_string())?;
    let shared = Arc::new(Shared {
        url: options.url.clone(),
        talk: Duration::from_secs_f64(options.seconds),
        sound: sound.clone(),
        certificate: dtls::certificate()?,
        impair_browser: options.impair_browser,
        phone_talks: options.answer.is_some(),
        over: Default::default(),
        stop: stop.clone(),
        talking: AtomicUsize::new(0),
    });
    let links = Links::default();
    if let Some(listen) = options.answer {
        let seed = peer::Fingerprint::of(&shared.certificate.certificate).0;
        let telephones = Arc::clone(&links);
        phone::spawn(listen, seed, &pcm, options.impair_phone, telephones)
            .map_err(|error| format!("{listen}: {error}"))?;
    }
    let progress = options
        .progress
        .then(|| tokio::spawn(progress(options.calls, Arc::clone(&shared))));
    let before = usage(options.pid)?;
    let (done, stopped) = oneshot::channel();
    let own = usage(Some(std::process::id()))?;
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
    let mut outcomes = place_all(&options, &shared, &links, stop.clone()).await;
    drop(done);
    if let Some(progress) = progress {
        progress.abort();
        eprintln!();
    }
    let samples = looks.await.map_err(|error| error.to_string())?;
    let load = usage(Some(std::process::id()))?;
    let floor = match measuring.await {
        Ok(Ok(floor)) => floor?,
        Ok(Err(error)) | Err(error) => return Err(error.to_string()),
    };
    // The last call's end is the gateway's work too.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = usage(options.pid)?;
    // A telephone's BYE comes after its browser was told of the end.
    for (number, (figures, _)) in outcomes.iter_mut().enumerate() {
        let links = links.lock().unwrap_or_else(PoisonError::into_inner);
        let link = links.get(&dialled(&options, number));
        figures.phone = link.and_then(|link| link.heard());
    }
    let pesq = match &options.pesq {
        Some(python) => {
            let mut directions = vec![recordings(&outcomes, |figures| Some(&figures.browser))];
            if options.answer.is_some() {
                directions.insert(0, recordings(&outcomes, |figures| figures.phone.as_ref()));
            }
            Some(pesq::judge(python, &pcm, &directions)?)
        }
        None => None,
    };
    Ok(Report {
        options,
        pesq,
        outcomes,
        before,
        samples,
        after,
        floor,
        own: own.zip(load).map(|(before, after)| {
            (
                after.cpu.saturating_sub(before.cpu),
                after.at.saturating_duration_since(before.at),
            )
        }),
    })
}

/// What one side of the calls that went well heard.
fn recordings(
    outcomes: &[(Figures, Result<(), String>)],
    side: impl Fn(&Figures) -> Option<&Heard>,
) -> Vec<&pesq::Recording> {
    let good = outcomes.iter().filter(|(_, result)| result.is_ok());
    good.filter_map(|(figures, _)| side(figures)?.recording.as_ref())
        .collect()
}

/// Each call in a task of its own, begun when its time has come.
async fn place_all(
    options: &Options,
    shared: &Arc<Shared>,
    links: &Links,
    mut stop: watch::Receiver<bool>,
) -> Vec<(Figures, Result<(), String>)> {
    let start = Instant::now();
    let mut tasks = Vec::new();
    for number in 0..options.calls {
        let begin = start + Duration::from_secs_f64(number as f64 / options.rate);
        let stopped = stop.wait_for(|stop| *stop);
        // Whoever could stop it and is gone will not.
        if matches!(
            tokio::time::timeout_at(begin.into(), stopped).await,
            Ok(Ok(_))
        ) {
            break;
        }
        tokio::time::sleep_until(begin.into()).await;
        let (shared, to) = (Arc::clone(shared), dialled(options, number));
        let link = Arc::new(Link::new(options.pesq.is_some() && number < RECORDED));
        if options.answer.is_some() {
            let mut links = links.lock().unwrap_or_else(PoisonError::into_inner);
            links.insert(to.clone(), Arc::clone(&link));
        }
        tasks.push(tokio::spawn(async move {
            call::place(&shared, link, number, to).await
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

/// What everybody says, at 8 kHz.
fn pcm(files: &[PathBuf]) -> Result<Vec<i16>, String> {
    if files.is_empty() {
        return Ok(speech::speech(sound::SECONDS, codecs::SAMPLE_RATE));
    }
    let mut pcm = Vec::new();
    for file in files {
        pcm.extend(wav::read(file)?);
    }
    Ok(pcm)
}

/// Says every second how far the calls are.
async fn progress(calls: usize, shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    let start = Instant::now();
    loop {
        interval.tick().await;
        let [over, failed] = shared
            .over
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed));
        let talking = shared.talking.load(Ordering::Relaxed);
        eprint!(
            "\r{:4} s: {talking} of {calls} calls talk, {over} are over, {failed} of them failed  ",
            start.elapsed().as_secs()
        );
    }
}
