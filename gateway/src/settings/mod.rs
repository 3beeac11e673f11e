//! Settings: one TOML file, environment variables and command-line options, validated once into
//! typed values. The rest of the gateway sees only [`Settings`].
//!
//! Every mistake is reported at once, each with its place and what to do about it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::call::dial_plan::{DialPlan, NumberFormat};
use crate::call::machine::Forward;
use crate::permit::{Pattern, Permit};
use crate::stir::certificate::Roots;
use crate::token::Verifier;
use crate::worker::Impairments;

mod assemble;
mod https;
mod layers;
mod mistakes;
mod presets;
mod profile;
mod read;
mod routes;
mod stir;
mod summary;
#[cfg(test)]
mod tests;
mod trunks;
mod turn_section;
mod users;
mod value;

pub use layers::{Overrides, Sources};
pub use mistakes::{Mistake, Mistakes, Place};
pub(crate) use users::RING_TIME;

/// Everything an operator can choose, after defaults, file, environment and options.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The web server: page, signalling WebSocket.
    pub http: Http,
    /// The same by TLS.
    pub https: Https,
    /// The gateway's own SIP user agent.
    pub sip: Sip,
    /// Where numbers that are not the lab's go. With none, only the lab answers.
    pub trunks: Vec<Trunk>,
    /// How numbers are read.
    pub dial_plan: DialPlan,
    /// Who signs in, and whom calls from the trunk reach. With none, nobody has to and nobody is.
    pub users: Vec<User>,
    /// Whose tokens sign in.
    pub tokens: Option<Verifier>,
    /// Whose signatures of calls are believed.
    pub stir: Stir,
    /// Limits of a call.
    pub calls: Calls,
    /// The media plane.
    pub media: Media,
    /// STUN and TURN.
    pub turn: Turn,
    /// How the gateway encodes towards browsers.
    pub opus: OpusSettings,
    /// The lab phone.
    pub lab: Lab,
    /// Where call records go.
    pub records: Records,
    /// The log.
    pub log: Log,
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where the page and the signalling are served.
    pub listen: SocketAddr,
    /// Origins (`https://example.com`) that may open a session besides the page's own.
    pub allowed_origins: Vec<String>,
    /// Signalling sessions at once.
    pub max_sessions: usize,
    /// Signalling sessions at once from one address.
    pub max_sessions_per_address: usize,
}

/// `[https]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Https {
    /// Where TLS is heard, for the page and the signalling. `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// What is shown there.
    pub certificate: Certificate,
    /// Host names and addresses that the page is reached by.
    pub names: Vec<String>,
}

/// Where a certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// PEM files of the certificate, its chain behind it, and of its key.
    Files {
        /// The certificate's.
        certificate: PathBuf,
        /// Its key's.
        key: PathBuf,
    },
    /// It is made at the first start.
    SelfSigned {
        /// Where it is kept.
        folder: PathBuf,
    },
}

/// `[sip]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sip {
    /// Where SIP is heard, by UDP and by TCP. Port 0: any free one.
    pub listen: SocketAddr,
    /// Put in Via, Contact and SDP instead of the local address (1:1 NAT).
    pub external_address: Option<IpAddr>,
    /// The name that stands for it in Contact and From.
    pub external_name: Option<String>,
    /// The User-Agent header field.
    pub user_agent: String,
    /// The user part of the From URI.
    pub caller: String,
    /// Who is asked about the names of trunks; with none, whom the machine asks.
    pub dns_servers: Vec<SocketAddr>,
    /// TLS.
    pub tls: SipTls,
}

/// `[sip] tls_…`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SipTls {
    /// Where SIP is heard by TLS. `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// PEM files of our certificate, its chain behind it, and of its key. They are shown to whom we call, too.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// A PEM file of certificates that sign those of trunks, besides the system's.
    pub ca: Option<PathBuf>,
    /// A PEM file of certificates that sign those of peers who connect to us; with it, each must show one.
    pub client_ca: Option<PathBuf>,
}

/// `[trunk]` or `[trunks.NAME]`
#[derive(Debug, Clone)]
pub struct Trunk {
    /// What it is called.
    pub name: String,
    /// The next hop of outgoing calls. The host may be a name: it is resolved for each call.
    pub uri: sip::Uri,
    /// The trunk's quirks, as data.
    pub profile: sdp::trunk::Profile,
    /// RTP may come from elsewhere than the trunk's SDP announces.
    pub behind_nat: bool,
    /// How keys cross.
    pub dtmf: TrunkDtmf,
    /// How its media is protected.
    pub srtp: TrunkSrtp,
    /// Who we are to it.
    pub account: Option<TrunkAccount>,
    /// Where its requests are sent instead of to `uri`.
    pub outbound_proxy: Option<sip::Uri>,
    /// Where its calls come from, besides from where ours go.
    pub addresses: Vec<IpNet>,
    /// Where it is told who calls.
    pub identity: CallerIdentity,
    /// Headers that browsers may send to it, and that they see of its calls.
    pub headers_from_browser: Vec<String>,
    /// See there.
    pub headers_to_browser: Vec<String>,
    /// Whether its calls have to be signed.
    pub stir: TrunkStir,
    /// Its telephones may transfer their calls (REFER).
    pub transfers: bool,
    /// When calls go by it.
    pub choice: Choice,
    /// It is the gateway itself, on the way from one user to another, at this address.
    pub internal: Option<IpAddr>,
}

impl Trunk {
    /// A trunk at that URI, with nothing special about it.
    pub fn at(uri: sip::Uri) -> Self {
        Self {
            name: "trunk".to_owned(),
            uri,
            profile: sdp::trunk::Profile::default(),
            behind_nat: false,
            dtmf: TrunkDtmf::default(),
            srtp: TrunkSrtp::default(),
            account: None,
            outbound_proxy: None,
            addresses: Vec::new(),
            identity: CallerIdentity::default(),
            headers_from_browser: Vec::new(),
            headers_to_browser: Vec::new(),
            stir: TrunkStir::default(),
            transfers: true,
            choice: Choice::default(),
            internal: None,
        }
    }

    /// Where its requests are sent.
    pub fn next_hop(&self) -> &sip::Uri {
        self.outbound_proxy.as_ref().unwrap_or(&self.uri)
    }
}

/// When calls go by a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The numbers it is for; with none, all.
    pub numbers: Vec<Pattern>,
    /// Lower ones first (as RFC 2782 has it).
    pub priority: u16,
    /// Its share among those of its priority.
    pub weight: u16,
    /// Calls at once, in and out; beyond them calls out go elsewhere.
    pub max_calls: Option<u32>,
    /// Calls out that may begin in a second.
    pub max_calls_per_second: Option<u32>,
    /// How often it is asked whether it is there (OPTIONS, RFC 3261 §11).
    pub probe_interval: Option<Duration>,
    /// How numbers are written to it.
    pub number_format: NumberFormat,
    /// It takes emergency calls; with none that does, all do.
    pub emergency: bool,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            numbers: Vec::new(),
            priority: 10,
            weight: 10,
            max_calls: None,
            max_calls_per_second: None,
            probe_interval: None,
            number_format: NumberFormat::AsDialled,
            emergency: false,
        }
    }
}

/// `[trunk] username` and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkAccount {
    /// What its challenges are answered with.
    pub credentials: sip::digest::Credentials,
    /// For how long each REGISTER asks. `None`: we do not register.
    pub register: Option<Duration>,
    /// How often something goes to the registrar between REGISTERs, so that the way to us stays open (RFC 5626 §4.4).
    pub keep_alive: Option<Duration>,
}

/// `[users.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// What he signs in as, and can be called by.
    pub name: String,
    /// What he signs in with.
    pub password: sip::digest::Password,
    /// What people see.
    pub display_name: String,
    /// His numbers; the first is what the called see.
    pub numbers: Vec<String>,
    /// The called do not see who he is (RFC 3323).
    pub withheld: bool,
    /// What he may do.
    pub permit: Permit,
    /// Where his calls go on to, if he does not take them.
    pub forward: Forward,
    /// How long his devices ring before that.
    pub ring_time: Duration,
}

/// `[trunk] srtp`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrunkSrtp {
    /// Not at all.
    #[default]
    Off,
    /// Where the trunk takes the keys beside an offer of plain RTP (RFC 8643).
    Opportunistic,
    /// With keys in the SDP (RFC 4568), or no call.
    Sdes,
    /// With keys of a DTLS handshake (RFC 5763), or no call.
    Dtls,
}

/// `[trunk] identity`: where a trunk is told the user's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CallerIdentity {
    /// In From alone.
    #[default]
    From,
    /// In P-Asserted-Identity too (RFC 3325 §9.1): it trusts us.
    Asserted,
    /// In P-Preferred-Identity too (RFC 3325 §9.2): it has its own mind.
    Preferred,
}

/// `[trunk] stir`: what becomes of the signatures of a trunk's calls (RFC 8224).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrunkStir {
    /// Nobody looks at them.
    #[default]
    Off,
    /// The user is told what they come to.
    Verify,
    /// A call without a right one is refused.
    Require,
}

/// `[stir]`
#[derive(Debug, Clone, Default)]
pub struct Stir {
    /// Whose certificates are believed. `None`: nobody's, and no trunk asks for signatures.
    pub roots: Option<Roots>,
    /// Networks from which certificates may come though they are not public.
    pub allow: Vec<IpNet>,
}

/// `[trunk] dtmf`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrunkDtmf {
    /// As telephone-events where the trunk takes them, else as tones in the audio.
    #[default]
    Auto,
    /// As telephone-events (RFC 4733) or not at all.
    Rfc4733,
    /// By SIP INFO.
    Info,
    /// As tones in the audio.
    Inband,
}

/// `[calls]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calls {
    /// How long a phone may ring.
    pub ring_timeout: Duration,
    /// Calls at once.
    pub max: usize,
    /// The longest call.
    pub max_duration: Duration,
}

/// `[media]`
#[derive(Debug, Clone, PartialEq)]
pub struct Media {
    /// Media workers (threads), at least 1.
    pub workers: usize,
    /// Addresses on which browsers reach the media workers.
    pub listen: Vec<IpAddr>,
    /// Worker n uses port + n. 0: any free ones.
    pub port: u16,
    /// Offered to browsers instead of the local addresses (1:1 NAT).
    pub external_addresses: Vec<IpAddr>,
    /// Asked for it, where none is set: `host:port` of a STUN server.
    pub stun_server: Option<String>,
    /// Ports for RTP with telephones.
    pub rtp_ports: RangeInclusive<u16>,
    /// Which codec a browser is answered with.
    pub prefer: Prefer,
    /// A telephone silent for this long has gone.
    pub timeout: Duration,
    /// A browser that has not consented (RFC 7675) for this long gets nothing more.
    pub consent_timeout: Duration,
    /// How long a telephone-side port rests before the next call gets it.
    pub port_rest: Duration,
    /// Packet time towards telephones, 10 to 60 ms.
    pub ptime: Duration,
}

/// `[turn]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Whether it is served at all.
    pub enabled: bool,
    /// Where, by UDP and by TCP, on the addresses of `[media] listen`; ICE-TCP too. 0: any free one.
    pub port: u16,
    /// Where relays lead.
    pub relay: RelayTo,
    /// REALM.
    pub realm: String,
    /// What others make credentials with; none: only we do, with one that is new at each start.
    pub secret: Option<turn::Secret>,
    /// How long the credentials serve that are handed out at sign-in.
    pub credentials: Duration,
    /// The host that browsers are told; none: that of the page.
    pub name: Option<String>,
    /// Ports of relays that are open.
    pub relay_ports: RangeInclusive<u16>,
    /// Networks that those may reach although they are not public.
    pub allow_peers: Vec<IpNet>,
    /// Networks that those may not reach.
    pub deny_peers: Vec<IpNet>,
    /// Allocations at once, of each worker.
    pub max_allocations: usize,
    /// Those of one user.
    pub max_per_user: usize,
    /// Those from one address, of IPv6 from one /64.
    pub max_per_address: usize,
    /// What one may carry, both ways together, in bytes a second.
    pub bandwidth: Option<u64>,
    /// What one user's may.
    pub bandwidth_per_user: Option<u64>,
}

/// Where relays lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayTo {
    /// To this gateway's own media.
    Own,
    /// To any public address.
    Open,
}

/// `[media] prefer`: what a browser is answered with that offers both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prefer {
    /// Opus: loss is concealed well, and G.711 is transcoded.
    #[default]
    Opus,
    /// G.711.
    G711,
    /// What passes through to the trunk without transcoding, by the first codec of its profile.
    Cheapest,
}

impl Prefer {
    /// What that is for a call to a trunk; none is the lab phone, which has G.711.
    pub fn towards(self, trunk: Option<&Trunk>) -> sdp::Preference {
        let first = trunk.and_then(|trunk| trunk.profile.codecs.first());
        match (self, first) {
            (Self::Opus, _) | (Self::Cheapest, Some(sdp::Codec::Opus | sdp::Codec::G722)) => {
                sdp::Preference::Opus
            }
            (Self::G711, _)
            | (Self::Cheapest, None | Some(sdp::Codec::Pcmu | sdp::Codec::Pcma)) => {
                sdp::Preference::G711
            }
        }
    }
}

/// `[opus]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusSettings {
    /// bit/s, 6000 to 128000.
    pub bitrate: u32,
    /// 0 to 10.
    pub complexity: u8,
    /// What it rises to while a media worker has time to spare, 0 to 10; less than `complexity` means that it never
    /// does.
    pub max_complexity: u8,
    /// When packets carry the one before them again (RFC 6716 §2.1.7).
    pub fec: OpusFec,
    /// Silence of the telephone is not sent to the browser.
    pub dtx: bool,
}

/// `[opus] fec`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OpusFec {
    /// While the browser reports loss.
    #[default]
    Auto,
    /// From the start of a call.
    Always,
    /// Never.
    Off,
}

/// `[lab]`
#[derive(Debug, Clone, PartialEq)]
pub struct Lab {
    /// Where the lab phone listens, by UDP and by TCP. `None`: there is none.
    pub listen: Option<SocketAddr>,
    /// How bad the network of calls to it is meant to be.
    pub impairments: Impairments,
}

/// `[records]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    /// Where the JSON lines go. `None`: nowhere.
    pub destination: Option<RecordDestination>,
    /// A file of rows, for spreadsheets.
    pub csv: Option<PathBuf>,
}

/// Where call records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordDestination {
    /// Appended to this file.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A `tracing` filter: `info`, or `warn,gateway=debug`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Settings {
    /// Reads, merges and checks all sources.
    ///
    /// # Errors
    /// Every mistake in them at once.
    pub fn load(sources: &Sources) -> Result<Self, Mistakes> {
        assemble::assemble(sources, &routes::SystemRoutes)
    }

    /// The settings of a gateway with nothing configured, on a machine with the loopback
    /// interface alone: for tests. [`Settings::load`] adds the default route's address.
    pub fn defaults() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Settings {
            http: Http {
                listen: SocketAddr::new(loopback, 8080),
                allowed_origins: Vec::new(),
                max_sessions: 10_000,
                max_sessions_per_address: 100,
            },
            https: Https {
                listen: None,
                certificate: Certificate::SelfSigned {
                    folder: PathBuf::from("tls"),
                },
                names: Vec::new(),
            },
            sip: Sip {
                listen: SocketAddr::new(loopback, 5060),
                external_address: None,
                external_name: None,
                user_agent: "Switchhook/0.1".to_owned(),
                caller: "switchhook".to_owned(),
                dns_servers: Vec::new(),
                tls: SipTls::default(),
            },
            trunks: Vec::new(),
            dial_plan: DialPlan::default(),
            users: Vec::new(),
            tokens: None,
            stir: Stir::default(),
            calls: Calls {
                ring_timeout: Duration::from_secs(60),
                max: 1000,
                max_duration: Duration::from_secs(4 * 3600),
            },
            media: Media {
                workers: std::thread::available_parallelism().map_or(1, |n| n.get()),
                listen: vec![loopback],
                port: 7000,
                external_addresses: Vec::new(),
                stun_server: None,
                rtp_ports: 20_000..=29_999,
                prefer: Prefer::Opus,
                timeout: Duration::from_secs(30),
                consent_timeout: Duration::from_secs(30),
                port_rest: Duration::from_secs(30),
                ptime: Duration::from_millis(20),
            },
            turn: Turn::defaults(),
            opus: OpusSettings {
                bitrate: 32_000,
                complexity: 0,
                max_complexity: 5,
                fec: OpusFec::Auto,
                dtx: true,
            },
            lab: Lab {
                listen: Some(SocketAddr::new(loopback, 5070)),
                impairments: Impairments::default(),
            },
            records: Records {
                destination: None,
                csv: None,
            },
            log: Log {
                level: "info".to_owned(),
                format: LogFormat::Text,
            },
        }
    }
}
