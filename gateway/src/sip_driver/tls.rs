//! TLS for SIP (RFC 3261 §26.2, RFC 5922): who we are, and whom we believe.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::settings::SipTls;
use crate::tls::files::{add_roots, at, certificates, private_key};

/// The two sides of TLS. Clones share what is known of names.
#[derive(Clone)]
pub(super) struct Tls {
    acceptor: Option<TlsAcceptor>,
    connector: TlsConnector,
    names: Names,
}

/// The name by which an address was looked up: its certificate must be for that (RFC 5922 §7.1).
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Arc<Mutex<HashMap<SocketAddr, String>>>);

/// How many are kept; trunks have a few each.
const MAX_NAMES: usize = 1024;

impl Names {
    /// That name leads to these addresses.
    pub(super) fn learn(&self, name: &str, addresses: &[SocketAddr]) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MAX_NAMES {
            names.clear();
        }
        names.extend(addresses.iter().map(|address| (*address, name.to_owned())));
    }

    fn of(&self, remote: SocketAddr) -> io::Result<ServerName<'static>> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match names.get(&remote) {
            Some(name) => ServerName::try_from(name.clone()).map_err(io::Error::other),
            None => Ok(remote.ip().into()),
        }
    }
}

impl Tls {
    /// From the settings.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it should be; the message names it.
    pub(super) fn new(settings: &SipTls, names: Names) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in rustls_native_certs::load_native_certs().certs {
            // One that cannot be used is only one fewer.
            let _ = roots.add(certificate);
        }
        if let Some(path) = &settings.ca {
            add_roots(&mut roots, path)?;
        }
        let own = match &settings.identity {
            Some((certificate, key)) => Some((certificates(certificate)?, private_key(key)?)),
            None => None,
        };
        let client = ClientConfig::builder().with_root_certificates(roots);
        let client = match &own {
            Some((chain, key)) => client
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(io::Error::other)?,
            None => client.with_no_client_auth(),
        };
        let acceptor = match own {
            Some((chain, key)) => Some(acceptor(settings, chain, key)?),
            None => None,
        };
        Ok(Self {
            acceptor,
            connector: TlsConnector::from(Arc::new(client)),
            names,
        })
    }

    /// The server's side of a handshake.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<server::TlsStream<TcpStream>> {
        match &self.acceptor {
            Some(acceptor) => acceptor.accept(stream).await,
            None => Err(io::Error::other("there is no certificate")),
        }
    }

    /// The client's side of one.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let name = self.names.of(remote)?;
        self.connector.connect(name, stream).await
    }
}

/// Peers show a certificate too, where the settings say whose are believed.
fn acceptor(
    settings: &SipTls,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> io::Result<TlsAcceptor> {
    let server = match &settings.client_ca {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            add_roots(&mut roots, path)?;
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
                .build()
                .map_err(|error| at(path, &error))?;
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
        None => ServerConfig::builder().with_no_client_auth(),
    };
    let server = server
        .with_single_cert(chain, key)
        .map_err(|error| io::Error::other(format!("the certificate and its key: {error}")))?;
    Ok(TlsAcceptor::from(Arc::new(server)))
}

#[cfg(test)]
mod tests;
