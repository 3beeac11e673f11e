use super::testing::{Web, response};
use super::*;
use std::net::IpAddr;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

fn limits(reach: Reach) -> Limits {
    Limits {
        deadline: Duration::from_secs(10),
        most: 1000,
        reach,
    }
}

async fn get(url: &str) -> Result<Fetched, Error> {
    let fetcher = Fetcher::believing(RootCertStore::empty(), Arc::default());
    let address = Address::parse(url).unwrap();
    fetcher.get(&address, &limits(Reach::Anywhere)).await
}

#[tokio::test]
async fn what_is_there_comes_with_how_long_it_is_fresh() {
    let web = Web::serve(|path| {
        let headers = match path {
            "/fresh?x=1" => "Cache-Control: public, Max-Age=600\r\nAge: 60\r\n",
            "/never" => "Cache-Control: max-age=600\r\nCache-Control: no-store\r\n",
            _ => "",
        };
        Some(response("200 OK", headers, path.as_bytes()))
    })
    .await;
    for (path, fresh) in [
        ("/fresh?x=1", Some(540)),
        ("/never", Some(0)),
        ("/unknown", None),
    ] {
        let fetched = get(&web.url(path)).await.unwrap();
        assert_eq!(fetched.body, path.as_bytes());
        assert_eq!(fetched.fresh, fresh.map(Duration::from_secs), "{path}");
    }
    assert_eq!(web.asked(), 3);
}

#[tokio::test]
async fn what_is_too_long_or_elsewhere_or_not_there_is_not_taken() {
    let web = Web::serve(|path| {
        let chunk = |length: usize| format!("{length:x}\r\n{}\r\n", "x".repeat(length));
        Some(match path {
            "/announced" => response("200 OK", "", &[b'x'; 1001]),
            "/chunks" => {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                format!("{head}{}{}0\r\n\r\n", chunk(900), chunk(101)).into_bytes()
            }
            "/moved" => response("302 Found", "Location: http://192.0.2.1/\r\n", b""),
            "/head" => {
                let long = "y".repeat(2 * MAX_HEAD);
                response("200 OK", &format!("X: {long}\r\n"), b"")
            }
            "/cut" => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345".to_vec(),
            "/no-http" => b"SSH-2.0-x\r\n\r\n".to_vec(),
            "/exact" => response("200 OK", "", &[b'x'; 1000]),
            _ => response("404 Not Found", "", b"no"),
        })
    })
    .await;
    let why = async |path: &str| get(&web.url(path)).await.unwrap_err().to_string();
    assert_eq!(why("/announced").await, "it is longer than 1000 octets");
    assert_eq!(why("/chunks").await, "it is longer than 1000 octets");
    assert!(why("/moved").await.contains("http://192.0.2.1/"));
    assert!(why("/head").await.contains("no HTTP"));
    assert!(why("/cut").await.contains("no HTTP"));
    assert!(why("/no-http").await.contains("no HTTP"));
    assert_eq!(why("/else").await, "the answer is 404, not 200");
    assert_eq!(get(&web.url("/exact")).await.unwrap().body.len(), 1000);
}

#[tokio::test]
async fn one_that_says_nothing_is_not_waited_for() {
    let web = Web::serve(|_| None).await;
    let fetcher = Fetcher::believing(RootCertStore::empty(), Arc::default());
    let limits = Limits {
        deadline: Duration::from_millis(50),
        ..limits(Reach::Anywhere)
    };
    let address = Address::parse(&web.url("/")).unwrap();
    let error = fetcher.get(&address, &limits).await.unwrap_err();
    assert!(matches!(error, Error::TooLate(_)), "{error}");
}

#[tokio::test]
async fn a_stranger_sends_us_to_public_addresses_and_ports_alone() {
    let web = Web::serve(|_| Some(response("200 OK", "", b"secret"))).await;
    let fetcher = Fetcher::believing(RootCertStore::empty(), Arc::default());
    let port = web.address.port();
    let public = limits(Reach::Public(vec![port], Vec::new()));
    // A name is no disguise.
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let address = Address::parse(&format!("http://{host}:{port}/")).unwrap();
        let error = fetcher.get(&address, &public).await.unwrap_err();
        assert!(matches!(error, Error::NotAllowed(_)), "{host}: {error}");
    }
    assert_eq!(web.asked(), 0);
    let allowed = limits(Reach::Public(
        Vec::new(),
        vec!["127.0.0.0/8".parse().unwrap()],
    ));
    let address = Address::parse(&web.url("/")).unwrap();
    assert_eq!(
        fetcher.get(&address, &allowed).await.unwrap().body,
        b"secret"
    );
    let public = Reach::Public(vec![443, 8443], Vec::new());
    let at = |port| SocketAddr::new(IpAddr::from([1, 1, 1, 1]), port);
    assert!(public.includes(at(443)) && public.includes(at(8443)));
    assert!(!public.includes(at(80)) && !public.includes(at(22)));
}

#[tokio::test]
async fn tls_is_with_the_one_that_the_address_names() {
    let key = rcgen::KeyPair::generate().unwrap();
    let name = vec!["localhost".to_owned()];
    let certificate = rcgen::CertificateParams::new(name).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let web = Web::serve_tls(acceptor, |_| Some(response("200 OK", "", b"ours"))).await;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let knows = Fetcher::believing(roots, Arc::default());
    let stranger = Fetcher::believing(RootCertStore::empty(), Arc::default());
    let port = web.address.port();
    let limits = limits(Reach::Anywhere);
    let by_name = Address::parse(&format!("https://localhost:{port}/")).unwrap();
    let by_ip = Address::parse(&format!("https://127.0.0.1:{port}/")).unwrap();
    assert_eq!(knows.get(&by_name, &limits).await.unwrap().body, b"ours");
    for (fetcher, address) in [(&knows, &by_ip), (&stranger, &by_name)] {
        let error = fetcher.get(address, &limits).await.unwrap_err();
        assert!(matches!(error, Error::Tls { .. }), "{error}");
    }
    assert_eq!(web.asked(), 1);
}
