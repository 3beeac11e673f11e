//! The gateway as a whole: binds everything, says what it bound, and ends it in order.

mod media;

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use peer::Identity;
use sip::Host;
use sip::endpoint::{Account, AccountConfig, Transport};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::call::inbound::Inbound;
use crate::call::machine::Environment;
use crate::call::record::Recorder;
use crate::call::registry::Registry;
use crate::call::route::{Internal, Routes};
use crate::directory::Directory;
use crate::fetch::Fetcher;
use crate::lab;
use crate::settings::{RecordDestination, RelayTo, Settings, Sip, SipTls, Trunk, TrunkSrtp};
use crate::signaling::gate::{FailedAttempts, Sessions, Signaling};
use crate::signaling::http::{Site, serve};
use crate::signaling::ice_servers::IceServers;
use crate::signaling::message::LabNumber;
use crate::sip_driver;
use crate::sip_driver::dns::Dns;
use crate::sip_driver::registration::{Registering, Registration};
use crate::stir::Verifier;
use crate::stir::chains::Chains;
use crate::tls;
use crate::tls::port::TlsPort;
use crate::trunks::{Trunks, probe};
use crate::turn_port::{self, TurnPort};
use crate::worker::{WorkerSettings, Workers};

use media::{
    relay_settings, start_workers, tcp_candidates, turn_secret, with_external_address,
    worker_settings,
};

/// How long running calls may take to end when the gateway goes down.
const CALLS_PATIENCE: Duration = Duration::from_secs(5);

/// How long their BYEs may take to be answered.
const SIP_PATIENCE: Duration = Duration::from_secs(5);

/// How long the registrar may take to let us go.
const REGISTRATION_PATIENCE: Duration = Duration::from_secs(2);

/// What a running gateway is bound to.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The page and the signalling.
    pub http: SocketAddr,
    /// The same by TLS.
    pub https: Option<SocketAddr>,
    /// SIP, by UDP and by TCP.
    pub sip: SocketAddr,
    /// SIP by TLS.
    pub sip_tls: Option<SocketAddr>,
    /// The lab phone's SIP.
    pub lab: Option<SocketAddr>,
    /// Where browsers reach the media workers.
    pub browsers: Vec<SocketAddr>,
    /// Where STUN, TURN and ICE-TCP are heard, on the same addresses.
    pub turn: Option<u16>,
}

/// A gateway whose every socket is bound. Nothing is served before [`Server::run`].
#[derive(Debug)]
pub struct Server {
    bound: Bound,
    listener: TcpListener,
    tls_port: Option<TlsPort>,
    turn_port: Option<TurnPort>,
    workers: Arc<Workers>,
    signaling: Arc<Signaling>,
    registry: Arc<Registry>,
    sip: sip_driver::SipHandle,
    registrations: Vec<Registration>,
    probes: JoinSet<()>,
    /// What is fetched again and again; it ends with the server.
    background: JoinSet<()>,
    inbound: tokio::task::JoinHandle<()>,
    lab: Option<lab::LabPhone>,
    writer: Option<tokio::task::JoinHandle<()>>,
    closing: watch::Sender<bool>,
}

impl Server {
    /// Binds every socket and starts workers, SIP endpoint and lab phone.
    ///
    /// # Errors
    /// Something cannot be bound or opened; the message says what, and which setting names it.
    pub async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        raise_descriptor_limit();
        let settings = &with_external_address(settings).await;
        let identity =
            Arc::new(Identity::generate().context("no certificate for DTLS could be made")?);
        let turn_secret = turn_secret(settings);
        let listener = TcpListener::bind(settings.http.listen)
            .await
            .with_context(|| format!("[http] listen: {}", settings.http.listen))?;
        let tls_port = TlsPort::bind(&settings.https, settings.own_names()).await?;
        let user_agent = settings.sip.user_agent.clone();
        let name = settings.sip.external_name.clone();
        let (sip, incoming) = sip_driver::spawn(
            settings.sip.listen,
            settings.sip.external_address,
            &settings.sip.tls,
            |config| sip::endpoint::EndpointConfig {
                user_agent,
                name,
                ..config
            },
        )
        .await
        .context("[sip] listen")?;
        let dns = Dns::new(&settings.sip.dns_servers).map_err(anyhow::Error::msg);
        let dns = Arc::new(dns.context("[sip] dns_servers")?);
        let sip = sip.with_dns(Arc::clone(&dns));
        let (mut background, stir) = fetching(settings, &dns);
        if let Some(port) = &tls_port {
            background.spawn(port.keep_certificate());
        }
        let lab = match settings.lab.listen {
            Some(listen) => Some(lab::spawn(listen).await.context("[lab] listen")?),
            None => None,
        };
        let (recorder, writer) = Recorder::open(&settings.records)
            .await
            .context("call records")?;
        let worker_settings = WorkerSettings {
            relay: relay_settings(settings, &turn_secret),
            ..worker_settings(settings, &identity)
        };
        let (workers, turn_port) = start_workers(worker_settings).await?;
        let workers = Arc::new(workers);
        warn_of_strangers(settings);
        for trunk in &settings.trunks {
            warn_of(trunk, &settings.sip.tls);
        }
        let bound = Bound {
            http: listener.local_addr()?,
            https: tls_port.as_ref().map(TlsPort::local_addr),
            sip: sip.local_addr(),
            sip_tls: sip.local_tls(),
            lab: lab.as_ref().map(lab::LabPhone::local_addr),
            browsers: workers.local_addresses(),
            turn: workers.relay_port(),
        };
        let mut trunks = Vec::new();
        for trunk in &settings.trunks {
            trunks.push((trunk.clone(), add_account(&sip, trunk).await));
        }
        let trunks = Trunks::new(trunks);
        let directory = Arc::new(Directory::new(
            settings.users.clone(),
            settings.tokens.clone(),
        ));
        let (internal, secret) = Internal::new(Arc::clone(&directory), bound.sip);
        let routes = Routes {
            lab: bound.lab,
            trunks: Arc::clone(&trunks),
            plan: settings.dial_plan.clone(),
            users: directory.has_users().then(|| internal.clone()),
            own: own_places(&settings.sip, &bound),
        };
        let environment = Environment {
            routes,
            prefer: settings.media.prefer,
            opus_bitrate: settings.opus.bitrate,
            lab_impairments: settings.lab.impairments,
            ptime: settings.media.ptime,
            ring_timeout: settings.calls.ring_timeout,
            max_duration: settings.calls.max_duration,
            fingerprint: identity.fingerprint(),
            tcp_candidates: tcp_candidates(settings, bound.turn),
        };
        let registry = Arc::new(Registry::new(
            environment,
            Arc::clone(&workers),
            sip.clone(),
            recorder,
            (settings.sip.caller.clone(), secret),
            settings.calls.max,
        ));
        let registrations = trunks
            .iter()
            .filter_map(|(_, trunk, account)| registering(account?, trunk))
            .map(|registering| Registration::spawn(sip.clone(), registering))
            .collect();
        let probes = probe::spawn(&sip, &trunks);
        let inbound = Inbound {
            registry: Arc::clone(&registry),
            directory: Arc::clone(&directory),
            trunks,
            internal,
            stir,
        };
        let inbound = tokio::spawn(inbound.run(incoming));
        let (closing, closed) = watch::channel(false);
        let ice_servers = IceServers::new(
            &settings.turn,
            turn_secret,
            bound.turn,
            bound.https.map(|address| address.port()),
        );
        let signaling = Arc::new(Signaling {
            registry: Arc::clone(&registry),
            directory,
            allowed_origins: allowed_origins(settings, bound.https),
            lab: lab.as_ref().map(|_| lab_numbers()).unwrap_or_default(),
            trunk: !settings.trunks.is_empty(),
            ice_servers,
            max_sessions: (
                settings.http.max_sessions,
                settings.http.max_sessions_per_address,
            ),
            closing: closed,
            sessions: Sessions::default(),
            attempts: FailedAttempts::default(),
        });
        Ok(Self {
            bound,
            listener,
            tls_port,
            turn_port,
            workers,
            signaling,
            registry,
            sip,
            registrations,
            probes,
            background,
            inbound,
            lab,
            writer,
            closing,
        })
    }

    /// What was bound.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Where calls begin and end.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Serves until `shutdown` is done; then refuses new calls, ends the running ones with BYE, and
    /// writes their records.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let site = Site::new(self.signaling);
        let mut http = JoinSet::new();
        if let Some(port) = self.tls_port {
            let turn = match &self.turn_port {
                Some(_) => {
                    let (sender, handed) = mpsc::channel(tls::port::HANDED_QUEUE);
                    http.spawn(turn_port::hand_over(handed, Arc::clone(&self.workers)));
                    sender
                }
                None => tls::port::nobody(),
            };
            http.spawn(port.run(site.clone(), turn));
        }
        http.spawn(serve(self.listener, site));
        let turn_port = self.turn_port.map(|port| {
            let mut tasks = JoinSet::new();
            tasks.spawn(port.run(Arc::clone(&self.workers)));
            tasks
        });
        shutdown.await;
        drop(turn_port);
        tracing::info!(
            calls = self.registry.len(),
            "going down: new calls are refused, running ones end"
        );
        drop(self.probes);
        drop(self.background);
        let ends = self.registrations.into_iter();
        let mut ends: JoinSet<()> = ends.map(|one| one.end(REGISTRATION_PATIENCE)).collect();
        while ends.join_next().await.is_some() {}
        if !self.registry.shut_down(CALLS_PATIENCE).await {
            tracing::warn!(
                calls = self.registry.len(),
                "some calls did not end in time"
            );
        }
        if !self.sip.drain(SIP_PATIENCE).await {
            tracing::warn!("some telephones did not confirm the end of their calls");
        }
        // The browsers hear why their calls ended before their sessions do.
        let _ = self.closing.send(true);
        while http.join_next().await.is_some() {}
        if let Some(lab) = self.lab {
            lab.stop().await;
        }
        self.inbound.abort();
        let _ = self.inbound.await;
        // The last recorder goes with the last session, and the writer with the last recorder.
        drop(self.registry);
        if let Some(writer) = self.writer
            && tokio::time::timeout(CALLS_PATIENCE, writer).await.is_err()
        {
            tracing::error!("the call records were not all written in time");
        }
        tracing::info!("down");
    }
}

/// Binds everything, says so, and serves until `shutdown` is done.
///
/// # Errors
/// See [`Server::bind`].
pub async fn run(settings: Settings, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let server = Server::bind(&settings).await?;
    server.bound().announce(&settings);
    server.run(shutdown).await;
    Ok(())
}

impl Bound {
    /// Where everything is, and the one URL to open: for standard output, unless records go there.
    fn announce(&self, settings: &Settings) {
        let lines = self.lines(settings).join("\n") + "\n";
        let written = match settings.records.destination {
            Some(RecordDestination::Stdout) => std::io::stderr().write_all(lines.as_bytes()),
            _ => std::io::stdout().write_all(lines.as_bytes()),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "the start-up lines could not be written");
        }
    }

    fn lines(&self, settings: &Settings) -> Vec<String> {
        let browsers: Vec<_> = self.browsers.iter().map(ToString::to_string).collect();
        let ports = &settings.media.rtp_ports;
        let uris: Vec<_> = settings
            .trunks
            .iter()
            .map(|one| one.uri.to_string())
            .collect();
        let trunk = match uris.as_slice() {
            [] => "none: only the lab numbers can be called (--trunk sip:HOST sets one)".into(),
            uris => uris.join(", "),
        };
        let lab = match self.lab {
            Some(lab) => {
                let numbers: Vec<_> = lab::NUMBERS.iter().map(|(number, _)| *number).collect();
                format!("{lab}: {}", numbers.join(", "))
            }
            None => "off".into(),
        };
        let tls = self
            .sip_tls
            .map(|address| format!(", TLS {address}"))
            .unwrap_or_default();
        vec![
            format!(
                "browsers' media  UDP {} ({} workers)",
                browsers.join(", "),
                settings.media.workers
            ),
            format!(
                "telephones' SIP  UDP and TCP {}{tls}, RTP ports {}-{}",
                self.sip,
                ports.start(),
                ports.end()
            ),
            format!("relay            {}", self.turn_line()),
            format!("trunk            {trunk}"),
            format!("lab phone        {lab}"),
            format!("Switchhook is ready: open {}", self.urls(settings)),
        ]
    }

    fn turn_line(&self) -> String {
        let Some(port) = self.turn else {
            return "none".to_owned();
        };
        let tls = self.https.map(|address| format!(", TLS {address}"));
        format!(
            "TURN by UDP and TCP, port {port}{}",
            tls.unwrap_or_default()
        )
    }

    /// The page, as a browser on this machine reaches it, and by TLS.
    fn urls(&self, settings: &Settings) -> String {
        let at = |address: SocketAddr| match address.ip().is_unspecified() {
            true => format!("localhost:{}", address.port()),
            false => address.to_string(),
        };
        let mut urls = format!("http://{}/", at(self.http));
        if let Some(https) = self.https {
            let host = match settings.https.names.first() {
                Some(name) => own_origin(name, https.port()),
                None => format!("https://{}", at(https)),
            };
            urls += &format!(" or {host}/");
        }
        urls
    }
}

/// The page by TLS at that name (RFC 6454 §6.2).
fn own_origin(name: &str, port: u16) -> String {
    let name = match name.contains(':') {
        true => format!("[{name}]"),
        false => name.to_owned(),
    };
    match port {
        443 => format!("https://{name}"),
        port => format!("https://{name}:{port}"),
    }
}

/// Whose pages may open sessions besides an address's own: those that the settings name, and ours by its names. A router may
/// have another port lead to ours, which is then the usual one.
fn allowed_origins(settings: &Settings, https: Option<SocketAddr>) -> Vec<String> {
    let mut allowed = settings.http.allowed_origins.clone();
    if let Some(https) = https {
        for name in &settings.https.names {
            allowed.extend([443, https.port()].map(|port| own_origin(name, port)));
        }
    }
    allowed
}

/// Whoever reaches the page may call where nobody has to sign in.
fn warn_of_strangers(settings: &Settings) {
    let anybody = settings.users.is_empty() && settings.tokens.is_none();
    let listening = [Some(settings.http.listen), settings.https.listen];
    let mut reached = listening.into_iter().flatten();
    let reached = reached.rfind(|listen| !listen.ip().is_loopback());
    let Some(listen) = reached.filter(|_| anybody) else {
        return;
    };
    if !settings.trunks.is_empty() {
        tracing::warn!(
            %listen,
            "there are no [users] and no tokens: whoever reaches this page can call through the trunk"
        );
    }
    if settings.turn.enabled && settings.turn.relay == RelayTo::Open {
        tracing::warn!(
            %listen,
            "there are no [users] and no tokens, and [turn] relay is \"open\": whoever reaches this page can relay to anywhere"
        );
    }
}

/// What stands elsewhere: the keys of tokens, which are kept in the background, and certificates of those who sign calls.
fn fetching(settings: &Settings, dns: &Arc<Dns>) -> (JoinSet<()>, Option<Verifier>) {
    let fetcher = || Fetcher::new(Arc::clone(dns));
    let mut background = JoinSet::new();
    if let Some(tokens) = &settings.tokens
        && let Some(jwks) = tokens.jwks()
    {
        if tokens.is_for_anybody() {
            tracing::warn!(
                "[sign_in] token_audience is not set: whatever else these keys sign tokens for, they sign users in here too"
            );
        }
        background.spawn(Arc::clone(jwks).keep(fetcher()));
    }
    let roots = settings.stir.roots.clone();
    let stir = roots.map(|roots| {
        let chains = Chains::new(fetcher(), settings.stir.allow.clone());
        Verifier::new(roots, chains)
    });
    (background, stir)
}

/// Where others find the gateway.
fn own_places(sip: &Sip, bound: &Bound) -> Vec<(Host, u16)> {
    let name = sip.external_name.clone().map(Host::Name);
    let addresses = [Some(bound.sip.ip()), sip.external_address];
    let hosts = addresses.into_iter().flatten().map(Host::Ip).chain(name);
    let ports = [Some(bound.sip), bound.sip_tls];
    let ports = ports.into_iter().flatten().map(|address| address.port());
    let at = |host: Host| ports.clone().map(move |port| (host.clone(), port));
    hosts.flat_map(at).collect()
}

/// What an operator should know of a trunk before it is used.
fn warn_of(trunk: &Trunk, tls: &SipTls) {
    let by_tls = Transport::of_uri(trunk.next_hop()) == Some(Transport::Tls);
    if matches!(trunk.srtp, TrunkSrtp::Sdes | TrunkSrtp::Opportunistic) && !by_tls {
        tracing::warn!(
            trunk = %trunk.uri,
            "the keys of SRTP go to the trunk in SDP, in the clear: whoever sees the signalling can decrypt the audio; srtp = \"dtls\" has no such keys"
        );
    }
    if by_tls && tls.listen.is_none() {
        tracing::warn!(
            trunk = %trunk.uri,
            "the trunk is reached by TLS, and nothing listens for it: a trunk that opens connections of its own cannot hang up or call; set [sip] tls_listen"
        );
    }
}

/// Who we are to the trunk: calls come from that user at the trunk's host.
async fn add_account(sip: &sip_driver::SipHandle, trunk: &Trunk) -> Option<Account> {
    let account = trunk.account.as_ref()?;
    let identity = sip::Uri {
        user: Some(account.credentials.username.clone()),
        params: sip::Params::new(),
        ..trunk.uri.clone()
    };
    sip.add_account(AccountConfig {
        identity,
        credentials: Some(account.credentials.clone()),
    })
    .await
}

fn registering(account: Account, trunk: &Trunk) -> Option<Registering> {
    Some(Registering {
        account,
        registrar: sip::Uri {
            params: sip::Params::new(),
            ..trunk.uri.clone()
        },
        next_hop: trunk.next_hop().clone(),
        expires: trunk.account.as_ref()?.register?,
        keep_alive: trunk.account.as_ref()?.keep_alive,
    })
}

/// Every call takes two descriptors and every browser one: the usual soft limit of 1024 is soon
/// reached, and the hard one is there to be used.
#[cfg(target_os = "linux")]
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

#[cfg(not(target_os = "linux"))]
fn raise_descriptor_limit() {}

fn lab_numbers() -> Vec<LabNumber> {
    let entry = |(number, description): &(&str, &str)| LabNumber {
        number: (*number).into(),
        description: (*description).into(),
    };
    lab::NUMBERS.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_at_our_own_names_may_open_sessions_by_tls_and_not_without() {
        let mut settings = Settings::defaults();
        settings.http.allowed_origins = vec!["https://shop.example.com".to_owned()];
        settings.https.names = vec!["phone.example.com".to_owned(), "2001:db8::1".to_owned()];
        let port = Some("192.0.2.1:8443".parse().unwrap());
        assert_eq!(
            allowed_origins(&settings, port),
            [
                "https://shop.example.com",
                "https://phone.example.com",
                "https://phone.example.com:8443",
                "https://[2001:db8::1]",
                "https://[2001:db8::1]:8443",
            ]
        );
        assert_eq!(
            allowed_origins(&settings, None),
            ["https://shop.example.com"]
        );
    }
}
