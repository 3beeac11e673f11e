//! Chromium at a page that comes by TLS.

use std::path::Path;
use std::sync::Arc;

use switchhook_tests::browser::Page;
use switchhook_tests::certificates::Certificates;
use switchhook_tests::gateway::Gateway;
use switchhook_tests::scene::{Scene, wait_until};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::{A_SECOND, SOON, assert_hears_itself, talk};

fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_string_lossy())
}

const ANY_PORT: (&str, &str) = ("https.listen", "\"127.0.0.1:0\"");

#[test]
fn a_page_that_came_by_tls_calls_and_hears_itself() {
    let scene = Scene::begin();
    let folder = quoted(&scene.file("tls"));
    let gateway = Gateway::start(&scene, &[ANY_PORT, ("https.folder", &folder)]);
    let page = Page::open_by_tls(&gateway);
    let origin = gateway.url_by_tls();
    let origin = origin.trim_end_matches('/');
    assert_eq!(page.eval("location.origin"), origin);
    let protocol = "performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(page.eval(protocol), "h2");
    let session = origin.replacen("https", "wss", 1) + "/v1/signaling";
    assert_eq!(page.eval("switchhook.client.url"), session);
    talk(&page, "echo");
    assert_hears_itself(&page);
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    gateway.only_record().assert_ended("normal", "browser");
}

/// Whether the gateway shows a certificate that this authority has signed.
fn shows_one_of(gateway: &Gateway, ca: &Path) -> bool {
    let address = gateway.https.expect("it listens for TLS");
    let certificate = CertificateDer::from_pem_file(ca).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("an authority");
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let name = ServerName::from(address.ip());
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await.is_ok()
    })
}

#[test]
fn a_certificate_is_replaced_while_a_call_is_up() {
    let scene = Scene::begin();
    let files = Certificates::of(&scene);
    let settings = [
        ANY_PORT,
        ("https.certificate", &quoted(&files.certificate)),
        ("https.key", &quoted(&files.key)),
    ];
    let gateway = Gateway::start(&scene, &settings);
    assert!(shows_one_of(&gateway, &files.ca));
    let page = Page::open_by_tls(&gateway);
    talk(&page, "echo");
    // Another authority's, in the same files.
    let files = Certificates::of(&scene);
    wait_until("new certificate", A_SECOND * 3, || {
        shows_one_of(&gateway, &files.ca).then_some(())
    });
    assert_hears_itself(&page);
    page.hang_up();
    page.assert_ended("normal", "The call has ended.", SOON);
    gateway.only_record().assert_ended("normal", "browser");
}
