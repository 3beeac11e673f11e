//! Where a URI leads: NAPTR, SRV and addresses (RFC 3263 §4, RFC 2782).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use rand::Rng;
use sip::endpoint::{Flow, Transport};
use sip::{Host, Scheme, Uri};
use tokio::time::timeout;

/// How long the addresses of a name may take.
const ADDRESSES: Duration = Duration::from_secs(2);

/// How long NAPTR and SRV may take, before addresses are asked for without them: most names have neither, and a server that
/// does not answer to them is no reason not to call.
const SERVICES: Duration = Duration::from_millis(1500);

/// The most places that are tried.
const MAX_FLOWS: usize = 16;

/// Who answers questions of names.
pub struct Dns {
    /// None where the machine has no DNS server.
    resolver: Option<TokioResolver>,
    /// Addresses are asked of the system, as everybody on the machine does: `/etc/hosts`, mDNS and whatever else it has.
    by_system: bool,
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns")
            .field("by_system", &self.by_system)
            .finish_non_exhaustive()
    }
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    priority: u16,
    weight: u16,
    port: u16,
    host: String,
}

/// A NAPTR record (RFC 3403) of a transport that we speak.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Service {
    order: u16,
    preference: u16,
    transport: Transport,
    replacement: String,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            resolver: None,
            by_system: true,
        }
    }
}

impl Dns {
    /// These servers; with none, the machine's own.
    ///
    /// # Errors
    /// The resolver cannot be set up; the message says why.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, String> {
        let by_system = servers.is_empty();
        let builder = match by_system {
            true => match TokioResolver::builder_tokio() {
                Ok(builder) => builder,
                Err(error) => {
                    tracing::debug!(%error, "no DNS server is known: neither SRV nor NAPTR");
                    return Ok(Self::default());
                }
            },
            false => {
                let server = |server: &SocketAddr| {
                    let mut config = NameServerConfig::udp_and_tcp(server.ip());
                    for connection in &mut config.connections {
                        connection.port = server.port();
                    }
                    config
                };
                let servers = servers.iter().map(server).collect();
                let config = ResolverConfig::from_name_servers(servers);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let resolver = builder.build().map_err(|error| error.to_string())?;
        Ok(Self {
            resolver: Some(resolver),
            by_system,
        })
    }

    /// The places where a URI leads, in the order in which they are to be tried; at least one.
    ///
    /// # Errors
    /// Why that is not known, in words.
    pub async fn resolve(&self, uri: &Uri) -> Result<Vec<Flow>, String> {
        let transport = Transport::of_uri(uri)
            .ok_or_else(|| format!("{uri} names a transport that is not spoken"))?;
        let port = uri.port.unwrap_or(transport.default_port());
        let name = match &uri.host {
            Host::Ip(ip) => {
                let remote = SocketAddr::new(*ip, port);
                return Ok(vec![Flow { transport, remote }]);
            }
            Host::Name(name) => name.as_str(),
        };
        let mut flows = Vec::new();
        // §4.2: who names a port wants no SRV.
        if uri.port.is_none() {
            let targets = timeout(SERVICES, self.targets(uri, name)).await;
            let mut last = None;
            for (transport, target) in targets.unwrap_or_default() {
                match self.addresses(&target.host).await {
                    Ok(addresses) => flows.extend(addresses.into_iter().map(|ip| {
                        let remote = SocketAddr::new(ip, target.port);
                        Flow { transport, remote }
                    })),
                    Err(error) => last = Some(error),
                }
            }
            if let (true, Some(error)) = (flows.is_empty(), last) {
                return Err(error);
            }
        }
        if flows.is_empty() {
            let addresses = self.addresses(name).await?;
            let flow = |ip| Flow {
                transport,
                remote: SocketAddr::new(ip, port),
            };
            flows.extend(addresses.into_iter().map(flow));
        }
        flows.truncate(MAX_FLOWS);
        match flows.is_empty() {
            true => Err(format!("{name} has no address")),
            false => Ok(flows),
        }
    }

    /// The targets of SRV records, in the order in which they are to be tried; none where there are no records.
    async fn targets(&self, uri: &Uri, name: &str) -> Vec<(Transport, Target)> {
        let secure = uri.scheme == Scheme::Sips;
        // §4.1: the transport that the URI names; else that of NAPTR; else of whatever SRV there is.
        if uri.params.get("transport").is_some() || secure {
            let transport = Transport::of_uri(uri).unwrap_or(Transport::Udp);
            return self.srv(transport, &service_name(transport, name)).await;
        }
        let services = self.naptr(name).await;
        let mut targets = Vec::new();
        for service in services {
            targets.extend(self.srv(service.transport, &service.replacement).await);
        }
        if !targets.is_empty() {
            return targets;
        }
        let names = [Transport::Udp, Transport::Tcp].map(|one| (one, service_name(one, name)));
        let [(udp, by_udp), (tcp, by_tcp)] = &names;
        let (by_udp, by_tcp) = tokio::join!(self.srv(*udp, by_udp), self.srv(*tcp, by_tcp));
        by_udp.into_iter().chain(by_tcp).collect()
    }

    async fn naptr(&self, name: &str) -> Vec<Service> {
        let mut services = Vec::new();
        for data in self.records(name, RecordType::NAPTR).await {
            let RData::NAPTR(naptr) = data else { continue };
            let transport = match naptr.services.to_ascii_uppercase().as_slice() {
                b"SIP+D2U" => Transport::Udp,
                b"SIP+D2T" => Transport::Tcp,
                b"SIPS+D2T" => Transport::Tls,
                _ => continue,
            };
            if naptr.flags.eq_ignore_ascii_case(b"s") {
                services.push(Service {
                    order: naptr.order,
                    preference: naptr.preference,
                    transport,
                    replacement: naptr.replacement.to_string(),
                });
            }
        }
        services.sort_by_key(|service| (service.order, service.preference));
        services
    }

    async fn srv(&self, transport: Transport, name: &str) -> Vec<(Transport, Target)> {
        let mut targets = Vec::new();
        for data in self.records(name, RecordType::SRV).await {
            let RData::SRV(srv) = data else { continue };
            // A target of "." says that there is no such service.
            if !srv.target.is_root() {
                targets.push(Target {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    host: srv.target.to_string(),
                });
            }
        }
        let ordered = in_order(targets, &mut rand::rng());
        ordered
            .into_iter()
            .map(|target| (transport, target))
            .collect()
    }

    /// What there is; nothing where it cannot be known.
    async fn records(&self, name: &str, kind: RecordType) -> Vec<RData> {
        let Some(resolver) = &self.resolver else {
            return Vec::new();
        };
        // Fully qualified: the machine's search list is of no concern.
        let name = format!("{}.", name.trim_end_matches('.'));
        match resolver.lookup(name.as_str(), kind).await {
            Ok(lookup) => {
                let records = lookup.answers().iter();
                records.map(|record| record.data.clone()).collect()
            }
            Err(error) => {
                tracing::debug!(%name, %kind, %error, "no such records");
                Vec::new()
            }
        }
    }

    /// All addresses of a name.
    ///
    /// # Errors
    /// Why they are not known, in words.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let name = name.trim_end_matches('.');
        let asked = async {
            match &self.resolver {
                Some(resolver) if !self.by_system => {
                    let found = resolver.lookup_ip(format!("{name}.")).await;
                    let found = found.map_err(|error| error.to_string())?;
                    Ok(found.iter().collect())
                }
                _ => {
                    let found = tokio::net::lookup_host((name, 0)).await;
                    let found = found.map_err(|error| error.to_string())?;
                    Ok(found.map(|address| address.ip()).collect())
                }
            }
        };
        match timeout(ADDRESSES, asked).await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err::<_, String>(error)) => Err(format!("{name} cannot be resolved: {error}")),
            Err(_) => Err(format!(
                "{name} was not resolved within {} s",
                ADDRESSES.as_secs()
            )),
        }
    }
}

/// What SRV records of a transport are called.
fn service_name(transport: Transport, name: &str) -> String {
    match transport {
        Transport::Udp => format!("_sip._udp.{name}"),
        Transport::Tcp => format!("_sip._tcp.{name}"),
        Transport::Tls => format!("_sips._tcp.{name}"),
    }
}

/// Lower priorities first, those of one priority by weight (RFC 2782).
fn in_order(mut targets: Vec<Target>, rng: &mut impl Rng) -> Vec<Target> {
    // Of one priority, those without weight come first: they are the least likely to be drawn.
    targets.sort_by_key(|target| (target.priority, target.weight));
    let mut ordered = Vec::new();
    while let Some(first) = targets.first().map(|target| target.priority) {
        let same = targets.iter().take_while(|target| target.priority == first);
        let total: u32 = same.clone().map(|target| u32::from(target.weight)).sum();
        let drawn = rng.random_range(0..=total);
        let mut sum = 0;
        let chosen = same
            .map(|target| u32::from(target.weight))
            .position(|weight| {
                sum += weight;
                sum >= drawn
            });
        ordered.push(targets.remove(chosen.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests;
