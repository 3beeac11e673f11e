//! What stands at a web address: one GET (RFC 9110), bounded in size and time, over TLS. Nothing is followed: an address that
//! leads elsewhere is an error that says where to.

mod address;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

pub use self::address::{Address, BadAddress, is_public};
use crate::sip_driver::dns::Dns;

/// How many of a name's addresses are tried.
const MAX_PLACES: usize = 4;

/// The longest head of a response, in octets.
const MAX_HEAD: usize = 16 * 1024;

/// Fetches. Clones share what they know of certificates and names.
#[derive(Clone)]
pub struct Fetcher {
    tls: TlsConnector,
    dns: Arc<Dns>,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fetcher")
    }
}

/// Where a fetch may lead.
#[derive(Clone, Debug)]
pub enum Reach {
    /// Wherever it does: the operator wrote the address.
    Anywhere,
    /// A stranger wrote the address. It leads to these ports of addresses that are everybody's ([`is_public`]), or to any
    /// port of these networks.
    Public(Vec<u16>, Vec<IpNet>),
}

/// How far a fetch goes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long all of it may take.
    pub deadline: Duration,
    /// The most octets.
    pub most: usize,
    /// Where it may lead.
    pub reach: Reach,
}

/// What was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// All of it.
    pub body: Vec<u8>,
    /// For how long it is fresh (RFC 9111 §4.2.1), where that is said; zero where it is not to be kept.
    pub fresh: Option<Duration>,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name has no address.
    #[error("{0}")]
    NotResolved(String),
    /// It leads to where a stranger may not send us.
    #[error(
        "it leads to {0}, which is no public address and port, nor among those that are allowed"
    )]
    NotAllowed(SocketAddr),
    /// No connection.
    #[error("{to} cannot be connected to: {error}")]
    NotConnected {
        /// Where to.
        to: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// No TLS, or not with who it should be.
    #[error("TLS with {to}: {error}")]
    Tls {
        /// With whom.
        to: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// What came is no HTTP.
    #[error("the answer is no HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// There is something else.
    #[error("the answer is {0}, not 200")]
    Status(u16),
    /// It is elsewhere.
    #[error("it is elsewhere: write the address {0:?} instead")]
    Elsewhere(String),
    /// There is too much.
    #[error("it is longer than {0} octets")]
    TooLong(usize),
    /// It took too long.
    #[error("it did not come within {} s", .0.as_secs_f32())]
    TooLate(Duration),
}

impl Fetcher {
    /// One that believes the certificates that the machine does, and asks these about names.
    pub fn new(dns: Arc<Dns>) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in rustls_native_certs::load_native_certs().certs {
            // One that cannot be used is only one fewer.
            let _ = roots.add(certificate);
        }
        Self::believing(roots, dns)
    }

    fn believing(roots: RootCertStore, dns: Arc<Dns>) -> Self {
        let config = ClientConfig::builder().with_root_certificates(roots);
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            tls: TlsConnector::from(Arc::new(config)),
            dns,
        }
    }

    /// What is there.
    ///
    /// # Errors
    /// [`Error`] says why nothing was fetched.
    pub async fn get(&self, address: &Address, limits: &Limits) -> Result<Fetched, Error> {
        match timeout(limits.deadline, self.get_all(address, limits)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(Error::TooLate(limits.deadline)),
        }
    }

    async fn get_all(&self, address: &Address, limits: &Limits) -> Result<Fetched, Error> {
        let (to, stream) = self.connect(address, limits).await?;
        if !address.is_secure() {
            return exchange(stream, address, limits.most).await;
        }
        let tls = |error| Error::Tls { to, error };
        let name = ServerName::try_from(address.host().to_owned());
        let name = name.map_err(|error| tls(std::io::Error::other(error)))?;
        let stream = self.tls.connect(name, stream).await.map_err(tls)?;
        exchange(stream, address, limits.most).await
    }

    /// Connects to the first address that is there. It is the address itself that is asked whether it may be, and
    /// connected to: a name that leads elsewhere the next time helps nobody.
    async fn connect(
        &self,
        address: &Address,
        limits: &Limits,
    ) -> Result<(SocketAddr, TcpStream), Error> {
        let mut places = match address.ip() {
            Some(ip) => vec![ip],
            None => {
                let found = self.dns.addresses(address.host()).await;
                found.map_err(Error::NotResolved)?
            }
        };
        places.truncate(MAX_PLACES);
        let none = format!("{} has no address", address.host());
        let mut last = Error::NotResolved(none);
        let share = limits.deadline / u32::try_from(places.len().max(1)).unwrap_or(1);
        for ip in places {
            let to = SocketAddr::new(ip, address.port());
            if !limits.reach.includes(to) {
                last = Error::NotAllowed(to);
                continue;
            }
            match timeout(share, TcpStream::connect(to)).await {
                Ok(Ok(stream)) => return Ok((to, stream)),
                Ok(Err(error)) => last = Error::NotConnected { to, error },
                Err(_) => last = Error::TooLate(share),
            }
        }
        Err(last)
    }
}

impl Reach {
    fn includes(&self, to: SocketAddr) -> bool {
        let ip = to.ip().to_canonical();
        match self {
            Self::Anywhere => true,
            Self::Public(ports, networks) => {
                networks.iter().any(|network| network.contains(&ip))
                    || (ports.contains(&to.port()) && is_public(ip))
            }
        }
    }
}

async fn exchange<S>(stream: S, address: &Address, most: usize) -> Result<Fetched, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut client = http1::Builder::new();
    client.max_buf_size(MAX_HEAD);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await?;
    // It ends with this function, whichever way that ends.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = address.path().clone();
    let headers = request.headers_mut();
    headers.insert(header::HOST, address.authority().clone());
    for (name, value) in [
        (header::ACCEPT, "*/*"),
        (header::USER_AGENT, "Switchhook"),
        (header::CONNECTION, "close"),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    let response = sender.send_request(request).await?;
    read(response, most).await
}

async fn read(response: Response<Incoming>, most: usize) -> Result<Fetched, Error> {
    let status = response.status();
    if let (true, Some(to)) = (
        status.is_redirection(),
        response.headers().get(header::LOCATION),
    ) {
        let to = to.to_str().unwrap_or_default().chars().take(256).collect();
        return Err(Error::Elsewhere(to));
    }
    if status != StatusCode::OK {
        return Err(Error::Status(status.as_u16()));
    }
    let fresh = fresh(response.headers());
    let body = response.into_body();
    if usize::try_from(body.size_hint().lower()).is_ok_and(|least| least > most) {
        return Err(Error::TooLong(most));
    }
    match Limited::new(body, most).collect().await {
        Ok(body) => Ok(Fetched {
            body: body.to_bytes().to_vec(),
            fresh,
        }),
        Err(error) if error.is::<LengthLimitError>() => Err(Error::TooLong(most)),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => Err(Error::Http(*error)),
            Err(_) => Err(Error::TooLong(most)),
        },
    }
}

/// For how long an answer is fresh: `max-age` of Cache-Control (RFC 9111 §5.2.2.1), less its Age.
fn fresh(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(header::CACHE_CONTROL).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut fresh = None;
    for directive in values.flat_map(|value| value.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let name = name.trim();
        if ["no-store", "no-cache"]
            .iter()
            .any(|one| name.eq_ignore_ascii_case(one))
        {
            return Some(Duration::ZERO);
        }
        if name.eq_ignore_ascii_case("max-age") {
            fresh = value.trim().trim_matches('"').parse::<u32>().ok();
        }
    }
    let age = headers
        .get(header::AGE)
        .and_then(|age| age.to_str().ok()?.parse::<u32>().ok());
    fresh.map(|fresh| Duration::from_secs(fresh.saturating_sub(age.unwrap_or(0)).into()))
}
