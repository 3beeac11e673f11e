//! What was said to each side, and what it agreed to.

use std::net::SocketAddr;
use std::time::SystemTime;

use media::StreamStart;
use peer::{Fingerprint, IceCredentials};
use rand::Rng;
use rand::rngs::StdRng;
use sdp::Negotiated;
use sdp::crypto::{Crypto, KeySalt, Suite};
use sdp::trunk::Keying;

use super::Environment;
use crate::call::CallId;
use crate::call::negotiation::{rtp_format, trunk_media};
use crate::settings::{Prefer, Trunk, TrunkDtmf, TrunkSrtp};
use crate::worker::{Impairments, OpenBrowser, OpenCall, TrunkMedia};

/// What was agreed with the browser.
#[derive(Debug)]
pub(super) struct BrowserLeg {
    pub(super) offer: sdp::browser::Offer,
    pub(super) agreed: Option<Negotiated>,
    pub(super) local: IceCredentials,
    session_id: u64,
    session_version: u64,
    ssrc: u32,
    cname: String,
    /// What the other side of the call is likely to hear, in Hz; none for all that Opus has.
    playback_rate: Option<u32>,
    prefer: sdp::Preference,
}

impl BrowserLeg {
    /// A leg for a first offer, with credentials and names of its own.
    pub(super) fn new(
        offer: sdp::browser::Offer,
        trunk: Option<&Trunk>,
        prefer: Prefer,
        rng: &mut StdRng,
    ) -> Self {
        Self {
            offer,
            agreed: None,
            local: IceCredentials::from_random(&rng.random()),
            // RFC 8866 §5.2 has it numeric; beyond 62 bits some readers overflow.
            session_id: rng.random::<u64>() >> 2,
            session_version: 1,
            ssrc: rng.random(),
            cname: cname(rng),
            playback_rate: playback_rate(trunk),
            prefer: prefer.towards(trunk),
        }
    }

    /// The same leg with the next offer.
    pub(super) fn next(&self, offer: sdp::browser::Offer, local: IceCredentials) -> Self {
        Self {
            offer,
            agreed: None,
            local,
            session_version: self.session_version + 1,
            cname: self.cname.clone(),
            ..*self
        }
    }

    /// The browser's ICE credentials.
    pub(super) fn remote(&self) -> IceCredentials {
        IceCredentials {
            ufrag: self.offer.audio.ufrag.clone(),
            pwd: self.offer.audio.pwd.clone(),
        }
    }

    /// What the media worker needs to begin.
    pub(super) fn open(
        &self,
        call: CallId,
        agreed: &Negotiated,
        wall: SystemTime,
        rng: &mut StdRng,
    ) -> OpenCall {
        let browser = OpenBrowser {
            local: self.local.clone(),
            remote: self.remote(),
            fingerprint: Fingerprint(self.offer.audio.fingerprint),
            format: rtp_format(agreed),
        };
        OpenCall {
            browser_start: StreamStart {
                ssrc: self.ssrc,
                ..stream_start(rng)
            },
            cname: self.cname.clone(),
            ..open_call(call, Some(browser), wall, rng)
        }
    }

    /// The answer to the browser's offer.
    pub(super) fn answer(
        &self,
        environment: &Environment,
        candidates: &[SocketAddr],
    ) -> Result<sdp::browser::Answer, sdp::Refusal> {
        let options = sdp::browser::AnswerOptions {
            prefer: self.prefer,
            ufrag: self.local.ufrag.clone(),
            pwd: self.local.pwd.clone(),
            fingerprint: environment.fingerprint.to_string(),
            candidates: candidates.to_vec(),
            tcp_candidates: environment.tcp_candidates.clone(),
            session_id: self.session_id,
            session_version: self.session_version,
            ssrc: self.ssrc,
            cname: self.cname.clone(),
            opus: sdp::browser::OpusOptions {
                max_average_bitrate: Some(environment.opus_bitrate),
                max_playback_rate: self.playback_rate,
                ..sdp::browser::OpusOptions::default()
            },
            ..sdp::browser::AnswerOptions::default()
        };
        sdp::browser::answer(&self.offer, &options)
    }
}

/// What the media worker needs to begin.
pub(super) fn open_call(
    call: CallId,
    browser: Option<OpenBrowser>,
    wall: SystemTime,
    rng: &mut StdRng,
) -> OpenCall {
    OpenCall {
        call,
        browser,
        browser_start: stream_start(rng),
        trunk_start: stream_start(rng),
        cname: cname(rng),
        seed: rng.random(),
        ntp_start: ntp(wall),
        impairments: Impairments::default(),
    }
}

/// Where a stream of ours begins (RFC 3550 §5.1).
pub(super) fn stream_start(rng: &mut StdRng) -> StreamStart {
    StreamStart {
        ssrc: rng.random(),
        sequence: rng.random(),
        timestamp: rng.random(),
    }
}

/// RFC 7022 §4.2.
fn cname(rng: &mut StdRng) -> String {
    format!("{:016x}", rng.random::<u64>())
}

/// What a telephone of that trunk hears, in Hz: what its first codec has. The browser is answered before the telephone
/// is, and would be heard less well, or cost more than it is worth, with another hint.
fn playback_rate(trunk: Option<&Trunk>) -> Option<u32> {
    match trunk.and_then(|trunk| trunk.profile.codecs.first()) {
        Some(sdp::Codec::Opus) => None,
        Some(sdp::Codec::G722) => Some(16_000),
        Some(sdp::Codec::Pcmu | sdp::Codec::Pcma) | None => Some(8_000),
    }
}

/// The suites of SDES, the best first. With AES-GCM a packet costs least; the other is what every telephone has.
const SUITES: [Suite; 2] = [Suite::AeadAes128Gcm, Suite::AesCm128HmacSha1_80];

/// How the telephone's media is to get its keys: each call's are its own.
pub(super) fn keying(srtp: TrunkSrtp, fingerprint: &Fingerprint, rng: &mut StdRng) -> Keying {
    match srtp {
        TrunkSrtp::Off => Keying::None,
        TrunkSrtp::Opportunistic => Keying::Opportunistic(keys(rng)),
        TrunkSrtp::Sdes => Keying::Sdes(keys(rng)),
        TrunkSrtp::Dtls => Keying::Dtls {
            fingerprint: fingerprint.to_string(),
            active: None,
        },
    }
}

fn keys(rng: &mut StdRng) -> Vec<Crypto> {
    let crypto = |(tag, suite): (u32, Suite)| {
        let mut bytes = vec![0; suite.key_len() + suite.salt_len()];
        rng.fill(&mut bytes[..]);
        let key = KeySalt::new(suite, &bytes)?;
        Some(Crypto { tag, suite, key })
    };
    (1..).zip(SUITES).filter_map(crypto).collect()
}

/// What we offered to the telephone.
#[derive(Clone, Debug)]
pub(super) struct TrunkOffer {
    pub(super) options: sdp::trunk::OfferOptions,
    pub(super) behind_nat: bool,
    pub(super) dtmf: TrunkDtmf,
}

impl TrunkOffer {
    /// What the telephone's SDP agrees to, early or final.
    pub(super) fn read_answer(&self, body: &[u8]) -> Result<(Negotiated, TrunkMedia), String> {
        let text = std::str::from_utf8(body).map_err(|_| "the SDP is not UTF-8".to_owned())?;
        let agreed =
            sdp::trunk::read_answer(text, &self.options).map_err(|refusal| refusal.to_string())?;
        let media = trunk_media(
            &agreed,
            self.behind_nat,
            self.dtmf,
            self.options.profile.rtcp_xr,
        )
        .ok_or("the SDP names no address for audio")?;
        Ok((agreed, media))
    }
}

/// The wall clock as NTP time (RFC 3550 §4): seconds since 1900, fractions in the lower half.
fn ntp(wall: SystemTime) -> u64 {
    const UNIX_EPOCH: u64 = 2_208_988_800;
    let since = wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (UNIX_EPOCH.wrapping_add(since.as_secs()) << 32) | fraction
}
