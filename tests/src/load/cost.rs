//! What the gateway costs, and what its codecs alone would.

use std::time::{Duration, Instant};

use codecs::g711::{self, Law};
use codecs::opus::{Decoder, Encoder, EncoderSettings};

/// A process's clock ticks a second: 100 on every Linux that we run on (`getconf CLK_TCK`).
const TICKS: u64 = 100;

/// 20 ms at 8 kHz.
pub const FRAME: usize = 160;

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// When it was looked at.
    pub at: Instant,
    /// CPU time of all its threads, in user space and in the kernel.
    pub cpu: Duration,
    /// Its resident memory (VmRSS), in bytes.
    pub memory: u64,
}

impl Usage {
    /// Looks at a process.
    ///
    /// # Errors
    /// There is no such process, or its figures cannot be read.
    pub fn of(pid: u32) -> std::io::Result<Self> {
        let missing = |what: &str| std::io::Error::other(format!("/proc/{pid}: no {what}"));
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field, the name, may hold spaces and parentheses: count from behind it.
        let after_name = stat.rsplit_once(") ").ok_or_else(|| missing("name"))?.1;
        let mut fields = after_name.split(' ').skip(11).map(str::parse::<u64>);
        let (Some(Ok(user)), Some(Ok(system))) = (fields.next(), fields.next()) else {
            return Err(missing("utime and stime"));
        };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
        Ok(Self {
            at: Instant::now(),
            cpu: Duration::from_millis((user + system) * 1000 / TICKS),
            memory: kilobytes.ok_or_else(|| missing("VmRSS"))? * 1024,
        })
    }
}

/// What libopus takes for one second of one call.
#[derive(Debug, Clone, Copy)]
pub struct CodecCost {
    /// To decode what the browser sends.
    pub decode: Duration,
    /// To encode what it gets, at the gateway's settings.
    pub encode: Duration,
}

impl CodecCost {
    /// Both.
    pub fn total(&self) -> Duration {
        self.decode + self.encode
    }

    /// Measures it with `packets` of 20 ms: what a call transcodes, there and back through G.711.
    ///
    /// Other programs run meanwhile, so each frame counts with the median of its times, not with their sum.
    pub fn measure(
        packets: &[Vec<u8>],
        settings: EncoderSettings,
    ) -> Result<Self, codecs::opus::Error> {
        const ROUNDS: usize = 9;
        let (mut decodes, mut encodes) = (
            vec![Vec::new(); packets.len()],
            vec![Vec::new(); packets.len()],
        );
        for _ in 0..ROUNDS {
            let (mut decoder, mut encoder) = (Decoder::new()?, Encoder::new(settings)?);
            let (mut pcm, mut out) = ([0; 5760], [0; 1500]);
            for (number, packet) in packets.iter().enumerate() {
                let start = Instant::now();
                decoder.decode(packet, &mut pcm)?;
                let decoded = Instant::now();
                for sample in &mut pcm[..FRAME] {
                    *sample = g711::decode(Law::Mu, g711::encode(Law::Mu, *sample));
                }
                let transcoded = Instant::now();
                encoder.encode(&pcm[..FRAME], &mut out)?;
                encodes[number].push(transcoded.elapsed());
                decodes[number].push(decoded - start);
            }
        }
        let second = |times: &mut Vec<Vec<Duration>>| {
            let frames = times.len().max(1) as u32;
            let medians = times.iter_mut().map(|times| {
                times.sort_unstable();
                times[ROUNDS / 2]
            });
            medians.sum::<Duration>() * 50 / frames
        };
        Ok(Self {
            decode: second(&mut decodes),
            encode: second(&mut encodes),
        })
    }
}

/// The Opus packets of `pcm`, as a browser makes them that was answered with `maxplaybackrate=8000`.
///
/// # Errors
/// libopus's.
pub fn encode(pcm: &[i16]) -> Result<Vec<Vec<u8>>, codecs::opus::Error> {
    let settings = EncoderSettings {
        complexity: 9,
        bitrate: 24_000,
        ..EncoderSettings::default()
    };
    let mut encoder = Encoder::new(settings)?;
    let frames = pcm.chunks_exact(FRAME).map(|frame| {
        let mut packet = vec![0; 1500];
        let len = encoder.encode(frame, &mut packet)?;
        packet.truncate(len);
        Ok(packet)
    });
    frames.collect()
}
