//! The signalling WebSocket, spoken to by hand.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use switchhook_tests::gateway::Gateway;
use switchhook_tests::scene::{Scene, free_port};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::stream::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{self, Error, Message, WebSocket};

const PATIENCE: Duration = Duration::from_secs(10);

struct Session(WebSocket<MaybeTlsStream<TcpStream>>);

fn connect(
    gateway: &Gateway,
    protocol: Option<&'static str>,
    origin: Option<&str>,
) -> Result<Session, Box<Error>> {
    let mut request = gateway
        .signaling()
        .into_client_request()
        .expect("an address");
    let headers = request.headers_mut();
    if let Some(protocol) = protocol {
        headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static(protocol));
    }
    if let Some(origin) = origin {
        headers.insert("Origin", HeaderValue::from_str(origin).expect("an origin"));
    }
    let (socket, _) = tungstenite::connect(request).map_err(Box::new)?;
    if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time-out can be set");
    }
    Ok(Session(socket))
}

impl Session {
    #[track_caller]
    fn open(gateway: &Gateway) -> Self {
        let mut session = connect(gateway, Some("switchhook.v1"), None).expect("a session");
        assert_eq!(session.receive()["type"], "welcome");
        session
    }

    #[track_caller]
    fn send(&mut self, message: impl Into<Message>) {
        self.0
            .send(message.into())
            .expect("the message can be sent");
    }

    #[track_caller]
    fn receive(&mut self) -> Value {
        loop {
            match self.0.read().expect("a message") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The code with which the gateway closes.
    #[track_caller]
    fn close_code(&mut self) -> CloseCode {
        loop {
            match self.0.read() {
                Ok(Message::Close(Some(frame))) => return frame.code,
                Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("{other:?} instead of a close"),
            }
        }
    }

    /// The session still takes messages: one about a call that it does not have.
    #[track_caller]
    fn assert_alive(&mut self) {
        self.send(json!({ "type": "hangup", "call": "none" }).to_string());
        let error = self.receive();
        assert_eq!(
            (&error["code"], &error["call"]),
            (&json!("unknown_call"), &json!("none"))
        );
    }
}

#[track_caller]
fn refused_with(result: Result<Session, Box<Error>>) -> StatusCode {
    match result.map_err(|error| *error) {
        Err(Error::Http(response)) => response.status(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("the session was opened"),
    }
}

#[test]
fn bad_messages_are_named_and_the_session_lives_on() {
    let scene = Scene::begin();
    let mut gateway = Gateway::start(&scene, &[]);
    let mut session = Session::open(&gateway);
    let cases = [
        ("{\"type\":", "bad_json", None),
        ("[1, 2]", "bad_json", None),
        (
            r#"{"type":"fly","call":"c1"}"#,
            "unknown_type",
            Some("type"),
        ),
        (
            r#"{"type":"call","call":"c1","to":"echo","sdp":"v=0","colour":"red"}"#,
            "bad_field",
            Some("colour"),
        ),
        (
            r#"{"type":"call","call":"c1","to":"echo"}"#,
            "bad_field",
            Some("sdp"),
        ),
        (
            r#"{"type":"call","call":"not a name","to":"echo","sdp":"v=0"}"#,
            "bad_field",
            Some("call"),
        ),
        (
            r#"{"type":"dtmf","call":"c1","digits":"12x"}"#,
            "bad_field",
            Some("digits"),
        ),
    ];
    for (message, code, field) in cases {
        session.send(message);
        let error = session.receive();
        assert_eq!(error["type"], "error", "{message}: {error}");
        assert_eq!(
            (error["code"].as_str(), error["field"].as_str()),
            (Some(code), field),
            "{message}: {error}"
        );
        assert!(
            error["text"].as_str().is_some_and(|text| !text.is_empty()),
            "{error}"
        );
    }
    session.assert_alive();
    assert!(gateway.records().is_empty(), "no call, no record");
    assert!(gateway.stop().is_some_and(|status| status.success()));
    assert!(gateway.records().is_empty());
}

#[test]
fn an_offer_that_is_no_sdp_ends_its_call_with_the_reason() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let mut session = Session::open(&gateway);
    session.send(
        json!({ "type": "call", "call": "c1", "to": "echo", "sdp": "this is no SDP" }).to_string(),
    );
    let hangup = session.receive();
    assert_eq!(
        (&hangup["type"], &hangup["call"], &hangup["cause"]["code"]),
        (&json!("hangup"), &json!("c1"), &json!("bad_request")),
        "{hangup}"
    );
    session.assert_alive();
    let record = gateway.only_record();
    assert_eq!(record.code(), "bad_request");
}

#[test]
fn a_page_of_another_site_gets_no_session() {
    let scene = Scene::begin();
    let gateway = Gateway::start(
        &scene,
        &[("http.allowed_origins", "[\"https://friend.example\"]")],
    );
    let attempt = |origin: &str| connect(&gateway, Some("switchhook.v1"), Some(origin));
    for origin in [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "https://friend.example.evil.example",
    ] {
        assert_eq!(
            refused_with(attempt(origin)),
            StatusCode::FORBIDDEN,
            "{origin}"
        );
    }
    let own = format!("http://{}", gateway.http);
    for origin in ["https://friend.example", &own] {
        assert_eq!(
            attempt(origin).expect("a session").receive()["type"],
            "welcome",
            "{origin}"
        );
    }
}

#[test]
fn a_page_is_told_of_turn_once_it_is_known_whose_it_is() {
    let scene = Scene::begin();
    let port = free_port().to_string();
    let stun = json!({ "urls": [format!("stun:127.0.0.1:{port}")] });
    let urls = ["udp", "tcp"].map(|over| format!("turn:127.0.0.1:{port}?transport={over}"));
    let alice = ("users.alice", "{ password = \"al1ce\" }");
    let assert_relays = |message: &Value, user: &Value| {
        let [first, relays] = message["ice_servers"]
            .as_array()
            .expect("a list")
            .as_slice()
        else {
            panic!("{message}");
        };
        assert_eq!((first, &relays["urls"]), (&stun, &json!(urls)));
        let name = relays["username"].as_str().expect("a name");
        let (end, whose) = name.split_once(':').expect("a time and a user");
        assert_eq!(whose, user.as_str().expect("a user"));
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
        let left = end.parse::<u64>().expect("seconds") - now.expect("a clock").as_secs();
        assert!((100..=120).contains(&left), "{left} s");
        assert_eq!(relays["credential"].as_str().map(str::len), Some(28));
    };
    let turn = [("turn.port", port.as_str()), ("turn.credentials", "\"2m\"")];

    let gateway = Gateway::start(&scene, &[turn[0], turn[1], alice]);
    let mut session = connect(&gateway, Some("switchhook.v1"), None).expect("a session");
    assert_eq!(session.receive()["ice_servers"], json!([stun]));
    session
        .send(json!({ "type": "authenticate", "user": "alice", "password": "al1ce" }).to_string());
    assert_relays(&session.receive(), &json!("alice"));
    drop(gateway);

    let gateway = Gateway::start(&scene, &turn);
    let mut session = connect(&gateway, Some("switchhook.v1"), None).expect("a session");
    let welcome = session.receive();
    assert_relays(&welcome, &welcome["session"]);
}

#[test]
fn a_page_gets_new_credentials_before_its_own_end() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[("turn.credentials", "\"1m\"")]);
    let mut session = connect(&gateway, Some("switchhook.v1"), None).expect("a session");
    let name = |message: &Value| message["ice_servers"][1]["username"].to_string();
    let first = name(&session.receive());
    if let MaybeTlsStream::Plain(stream) = session.0.get_ref() {
        let lifetime = Duration::from_secs(60);
        let set = stream.set_read_timeout(Some(lifetime));
        set.expect("a time-out can be set");
    }
    let renewed = session.receive();
    assert_eq!(renewed["type"], "ice_servers");
    assert!(name(&renewed) > first, "{renewed} after {first}");
}

#[test]
fn a_session_speaks_our_subprotocol_or_none() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    assert_eq!(
        refused_with(connect(&gateway, None, None)),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        refused_with(connect(&gateway, Some("sip"), None)),
        StatusCode::BAD_REQUEST
    );
    Session::open(&gateway).assert_alive();
}

#[test]
fn giant_and_binary_messages_close_the_session_and_no_other() {
    let scene = Scene::begin();
    let gateway = Gateway::start(&scene, &[]);
    let mut bystander = Session::open(&gateway);
    let mut giant = Session::open(&gateway);
    // The head of a text frame of 1 GiB (RFC 6455 §5.2): what it announces is enough.
    let MaybeTlsStream::Plain(stream) = giant.0.get_mut() else {
        panic!("there is no TLS")
    };
    let head = [0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4];
    stream.write_all(&head).expect("the head can be sent");
    assert_eq!(giant.close_code(), CloseCode::Size);
    let mut in_pieces = Session::open(&gateway);
    let piece = |code, last| {
        Message::Frame(Frame::message(
            "x".repeat(200 * 1024),
            OpCode::Data(code),
            last,
        ))
    };
    in_pieces.send(piece(Data::Text, false));
    in_pieces.send(piece(Data::Continue, true));
    assert_eq!(in_pieces.close_code(), CloseCode::Size);
    let mut binary = Session::open(&gateway);
    binary.send(vec![1, 2, 3]);
    assert_eq!(binary.close_code(), CloseCode::Unsupported);
    bystander.assert_alive();
}

/// Whoever signs tokens: his keys stand at an address, which is not there the first time that it is asked.
fn key_server(keys: String) -> (String, std::sync::mpsc::Receiver<()>) {
    use std::io::Read;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("bound"));
    let (asked, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for (count, stream) in listener.incoming().enumerate() {
            let mut stream = stream.expect("a connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a request");
                head.push(byte[0]);
            }
            let (status, body) = match count {
                0 => ("503 Service Unavailable", ""),
                _ => ("200 OK", keys.as_str()),
            };
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).expect("it is read");
            if asked.send(()).is_err() {
                return;
            }
        }
    });
    (url, told)
}

#[test]
fn a_token_signs_in_with_a_key_from_an_address_once_that_is_there() {
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    let scene = Scene::begin();
    let pair = rcgen::KeyPair::generate().expect("a key");
    let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).expect("a key");
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("its public half");
    jwk.common.key_id = Some("one".to_owned());
    let (url, asked) = key_server(json!({ "keys": [jwk] }).to_string());
    let header = Header {
        kid: Some("one".to_owned()),
        ..Header::new(Algorithm::ES256)
    };
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let exp = now.expect("a clock").as_secs() + 60;
    let claims = json!({ "sub": "carol", "exp": exp });
    let token = jsonwebtoken::encode(&header, &claims, &key).expect("a token");
    let sign_in = json!({ "type": "authenticate", "token": token }).to_string();

    let gateway = Gateway::start(&scene, &[("sign_in.jwks_url", &format!("{url:?}"))]);
    let mut session = Session::open(&gateway);
    asked.recv_timeout(PATIENCE).expect("it is asked at start");
    session.send(sign_in.clone());
    let refused = session.receive();
    assert_eq!(refused["code"], "unavailable", "{refused}");
    let text = refused["text"].as_str().unwrap_or_default();
    assert!(text.contains(&url) && text.contains("503"), "{text}");

    asked.recv_timeout(PATIENCE).expect("it is asked again");
    session.send(sign_in);
    let signed_in = session.receive();
    assert_eq!(signed_in["user"], "carol", "{signed_in}");
}
