//! From layers to typed [`Settings`]: each value read and checked, then the whole.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layers::{Layers, Raw, Sources};
use super::mistakes::{Mistakes, Wrong};
use super::read::Reader;
use super::routes::Routes;
use super::{
    Calls, Http, Lab, Log, LogFormat, Media, OpusFec, OpusSettings, Prefer, RecordDestination,
    Records, Settings, Sip, SipTls, Trunk, https, stir, trunks, turn_section, users, value,
};
use crate::worker::Impairments;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SIP_PORT: u16 = 5060;
const LAB_PORT: u16 = 5070;

pub(super) fn assemble(sources: &Sources, routes: &dyn Routes) -> Result<Settings, Mistakes> {
    let mut reader = Reader::new(Layers::collect(sources));
    let settings = read_all(&mut reader, routes);
    let mistakes = reader.finish();
    if mistakes.is_empty() {
        Ok(settings)
    } else {
        Err(Mistakes(mistakes))
    }
}

fn read_all(reader: &mut Reader, routes: &dyn Routes) -> Settings {
    let default = Settings::defaults();
    let http = read_http(reader, default.http);
    let https = https::read(reader, default.https);
    let stir = stir::read(reader);
    let trunks = trunks::read(reader);
    let sip = read_sip(reader, default.sip, trunks.first(), routes);
    let calls = read_calls(reader, default.calls);
    let media = read_media(reader, default.media, &http, &calls, routes);
    let lab = read_lab(reader, &sip);
    let settings = Settings {
        turn: turn_section::read(reader, default.turn),
        opus: read_opus(reader, default.opus),
        records: read_records(reader),
        log: read_log(reader, default.log),
        users: users::read(reader),
        tokens: users::read_tokens(reader),
        http,
        https,
        dial_plan: trunks::read_dial_plan(reader),
        stir,
        sip,
        trunks,
        calls,
        media,
        lab,
    };
    check_ports(reader, &settings);
    https::check_port(reader, &settings);
    turn_section::check_port(reader, &settings);
    settings
}

/// `section.key` of every setting there is, sorted.
#[cfg(test)]
pub(super) fn every_setting() -> Vec<String> {
    let mut reader = Reader::new(Layers::default());
    read_all(&mut reader, &super::routes::SystemRoutes);
    reader.known()
}

fn read_http(reader: &mut Reader, default: Http) -> Http {
    Http {
        listen: reader.read("http", "listen", default.listen, value::socket_address),
        allowed_origins: reader.read_list(
            "http",
            "allowed_origins",
            default.allowed_origins,
            value::origin,
        ),
        max_sessions: reader.read(
            "http",
            "max_sessions",
            default.max_sessions,
            count(1_000_000),
        ),
        max_sessions_per_address: reader.read(
            "http",
            "max_sessions_per_address",
            default.max_sessions_per_address,
            count(1_000_000),
        ),
    }
}

/// A whole number from 1 to `most`.
pub(super) fn count(most: u32) -> impl FnOnce(&Raw) -> Result<usize, Wrong> {
    let number = value::number(1..=most);
    move |raw| number(raw).map(|value| usize::try_from(value).unwrap_or(usize::MAX))
}

fn read_sip(reader: &mut Reader, default: Sip, trunk: Option<&Trunk>, routes: &dyn Routes) -> Sip {
    let listen = reader.read("sip", "listen", None, value::socket_address_or_auto);
    let external_address = reader.read("sip", "external_address", None, |raw| {
        if value::text(raw)?.is_empty() {
            return Ok(None);
        }
        value::ip_address(raw).map(Some)
    });
    if listen.is_some_and(|listen| listen.ip().is_unspecified()) && external_address.is_none() {
        reader.wrong(
            "sip",
            "listen",
            Wrong::new(
                "telephones cannot be told to answer to an address that means any",
                "write \"auto\", one interface's address, or set sip.external_address",
            ),
        );
    }
    Sip {
        listen: listen.unwrap_or_else(|| SocketAddr::new(address_towards(trunk, routes), SIP_PORT)),
        external_address,
        external_name: reader.read("sip", "external_name", None, value::host_name),
        user_agent: reader.read("sip", "user_agent", default.user_agent, value::header_text),
        caller: reader.read("sip", "caller", default.caller, value::sip_user),
        dns_servers: reader.read_list("sip", "dns_servers", default.dns_servers, value::dns_server),
        tls: read_sip_tls(reader),
    }
}

fn read_sip_tls(reader: &mut Reader) -> SipTls {
    let listen = reader.read("sip", "tls_listen", None, |raw| {
        if value::text(raw)?.is_empty() {
            return Ok(None);
        }
        value::socket_address(raw).map(Some)
    });
    let mut file = |key| reader.read("sip", key, None, value::readable_file);
    let certificate = file("tls_certificate");
    let key = file("tls_key");
    let ca = file("tls_ca");
    let client_ca = file("tls_client_ca");
    reader.needs("sip", "tls_certificate", "tls_key");
    reader.needs("sip", "tls_key", "tls_certificate");
    reader.needs("sip", "tls_listen", "tls_certificate");
    reader.needs("sip", "tls_client_ca", "tls_listen");
    if listen.is_some_and(|listen| listen.ip().is_unspecified()) {
        let wrong = Wrong::new(
            "telephones cannot be told to answer to an address that means any",
            "write one interface's address",
        );
        reader.wrong("sip", "tls_listen", wrong);
    }
    SipTls {
        listen,
        identity: certificate.zip(key),
        ca,
        client_ca,
    }
}

/// The local address that reaches the trunk; loopback with none.
fn address_towards(trunk: Option<&Trunk>, routes: &dyn Routes) -> IpAddr {
    let Some(trunk) = trunk else {
        return LOOPBACK;
    };
    let destination = match &trunk.next_hop().host {
        sip::Host::Ip(address) => Some(*address),
        sip::Host::Name(name) => routes.resolve(name),
    };
    destination
        .and_then(|destination| routes.source_for(destination))
        .or_else(|| routes.default_source())
        .unwrap_or(LOOPBACK)
}

fn read_calls(reader: &mut Reader, default: Calls) -> Calls {
    Calls {
        // RFC 3261 §16.6 gives an INVITE more than three minutes before timer C may end it.
        ring_timeout: reader.read(
            "calls",
            "ring_timeout",
            default.ring_timeout,
            value::duration(seconds(1)..=seconds(180)),
        ),
        max: reader.read("calls", "max", default.max, count(100_000)),
        max_duration: reader.read(
            "calls",
            "max_duration",
            default.max_duration,
            value::duration(seconds(1)..=seconds(7 * 86_400)),
        ),
    }
}

pub(super) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn read_media(
    reader: &mut Reader,
    default: Media,
    http: &Http,
    calls: &Calls,
    routes: &dyn Routes,
) -> Media {
    let workers = reader.read("media", "workers", 0u16, value::number(0..=256));
    let listen = reader.read_list("media", "listen", vec![None], value::ip_address_or_auto);
    let prefer = [
        ("opus", Prefer::Opus),
        ("g711", Prefer::G711),
        ("cheapest", Prefer::Cheapest),
    ];
    let media = Media {
        workers: match workers {
            0 => default.workers,
            workers => usize::from(workers),
        },
        listen: media_addresses(&listen, http.listen.ip(), routes),
        port: reader.read("media", "port", default.port, value::number(0..=65_535)),
        external_addresses: reader.read_list(
            "media",
            "external_addresses",
            default.external_addresses,
            value::ip_address,
        ),
        stun_server: reader.read("media", "stun_server", None, value::host_and_port),
        rtp_ports: reader.read("media", "rtp_ports", default.rtp_ports, value::port_range),
        prefer: reader.read("media", "prefer", default.prefer, value::one_of(prefer)),
        timeout: reader.read(
            "media",
            "timeout",
            default.timeout,
            value::duration(seconds(1)..=seconds(3600)),
        ),
        consent_timeout: reader.read(
            "media",
            "consent_timeout",
            default.consent_timeout,
            // RFC 7675 §5.1: consent expires after 30 s; a longer time would not be consent.
            value::duration(seconds(5)..=seconds(30)),
        ),
        port_rest: reader.read(
            "media",
            "port_rest",
            default.port_rest,
            value::duration(Duration::ZERO..=seconds(3600)),
        ),
        ptime: packet_time(reader, default.ptime),
    };
    if listen.is_empty() {
        reader.wrong(
            "media",
            "listen",
            Wrong::new("browsers need an address to send to", "write [\"auto\"]"),
        );
    }
    let pairs = media.rtp_ports.len() / 2;
    if pairs < calls.max {
        // Put at the one somebody chose.
        let (section, key) = match reader.is_set("calls", "max") {
            true => ("calls", "max"),
            false => ("media", "rtp_ports"),
        };
        reader.wrong(
            section,
            key,
            Wrong::new(
                format!(
                    "{} calls need two ports each (four, where two telephones are joined), media.rtp_ports has {}",
                    calls.max,
                    media.rtp_ports.len()
                ),
                "widen media.rtp_ports or lower calls.max",
            ),
        );
    }
    media
}

fn packet_time(reader: &mut Reader, default: Duration) -> Duration {
    reader.read("media", "ptime_ms", default, |raw| {
        let milliseconds: u64 = value::number(10..=60)(raw)?;
        if milliseconds.is_multiple_of(10) {
            return Ok(Duration::from_millis(milliseconds));
        }
        Err(Wrong::new(
            format!("{milliseconds} ms is no packet time of telephony"),
            "write 10, 20, 30, 40, 50 or 60",
        ))
    })
}

/// `auto` is the default route's address, and loopback too when the page is served on loopback:
/// a browser on this machine may use either.
fn media_addresses(listen: &[Option<IpAddr>], http: IpAddr, routes: &dyn Routes) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for entry in listen {
        match entry {
            Some(address) => addresses.push(*address),
            None => {
                if http.is_loopback() {
                    addresses.push(http);
                }
                match routes.default_source() {
                    Some(address) => addresses.push(address),
                    None if !http.is_unspecified() => addresses.push(http),
                    None => addresses.push(LOOPBACK),
                }
            }
        }
    }
    let mut seen = Vec::new();
    addresses.retain(|address| {
        let new = !seen.contains(address);
        seen.push(*address);
        new
    });
    addresses
}

fn read_opus(reader: &mut Reader, default: OpusSettings) -> OpusSettings {
    OpusSettings {
        bitrate: reader.read(
            "opus",
            "bitrate",
            default.bitrate,
            value::number(6_000..=128_000),
        ),
        complexity: reader.read(
            "opus",
            "complexity",
            default.complexity,
            value::number(0..=10),
        ),
        max_complexity: reader.read(
            "opus",
            "max_complexity",
            default.max_complexity,
            value::number(0..=10),
        ),
        fec: reader.read(
            "opus",
            "fec",
            default.fec,
            value::one_of([
                ("auto", OpusFec::Auto),
                ("always", OpusFec::Always),
                ("off", OpusFec::Off),
            ]),
        ),
        dtx: reader.read("opus", "dtx", default.dtx, value::boolean),
    }
}

fn read_lab(reader: &mut Reader, sip: &Sip) -> Lab {
    let enabled = reader.read("lab", "enabled", true, value::boolean);
    let listen = reader.read("lab", "listen", None, value::socket_address_or_auto);
    if listen.is_some_and(|listen| listen.ip().is_unspecified()) {
        reader.wrong(
            "lab",
            "listen",
            Wrong::new(
                "the lab phone cannot be reached at an address that means any",
                "write \"auto\" or one interface's address",
            ),
        );
    }
    let address = match sip.listen.ip() {
        address if address.is_unspecified() => LOOPBACK,
        address => address,
    };
    // Who lets the system choose one port does not want the other fixed.
    let port = if sip.listen.port() == 0 { 0 } else { LAB_PORT };
    let listen = listen.unwrap_or_else(|| SocketAddr::new(address, port));
    let mut impairment = |key| reader.read("lab", key, Default::default(), value::impairment);
    let impairments = Impairments {
        browser: impairment("impair_browser"),
        phone: impairment("impair_phone"),
    };
    Lab {
        listen: enabled.then_some(listen),
        impairments,
    }
}

fn read_records(reader: &mut Reader) -> Records {
    let destination = reader.read("records", "file", None, |raw| match value::text(raw)? {
        "" => Ok(None),
        "-" => Ok(Some(RecordDestination::Stdout)),
        path => record_file(Path::new(path)).map(|path| Some(RecordDestination::File(path))),
    });
    let csv = reader.read("records", "csv", None, |raw| match value::text(raw)? {
        "" => Ok(None),
        path => record_file(Path::new(path)).map(Some),
    });
    Records { destination, csv }
}

fn record_file(path: &Path) -> Result<PathBuf, Wrong> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(Wrong::new(
            format!("there is no folder {}", folder.display()),
            "make it, or write the path of a file in one that is there",
        ));
    }
    if path.is_dir() {
        return Err(Wrong::new(
            format!("{} is a folder", path.display()),
            "write the path of a file",
        ));
    }
    Ok(PathBuf::from(path))
}

fn read_log(reader: &mut Reader, default: Log) -> Log {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    Log {
        level: reader.read("log", "level", default.level, value::log_filter),
        format: reader.read("log", "format", default.format, value::one_of(formats)),
    }
}

/// No two sockets on one port: found here rather than when the second is bound.
fn check_ports(reader: &mut Reader, settings: &Settings) {
    let media = &settings.media;
    let last = usize::from(media.port) + media.workers - 1;
    if media.port != 0 {
        if last > usize::from(u16::MAX) {
            reader.wrong(
                "media",
                "port",
                Wrong::new(
                    format!(
                        "{} workers from port {} run past 65535",
                        media.workers, media.port
                    ),
                    "write a lower port",
                ),
            );
        }
        let first = usize::from(*media.rtp_ports.start());
        if usize::from(media.port) <= usize::from(*media.rtp_ports.end()) && first <= last {
            let key = if reader.is_set("media", "rtp_ports") {
                "rtp_ports"
            } else {
                "port"
            };
            reader.wrong(
                "media",
                key,
                Wrong::new(
                    format!(
                        "ports {}-{last} of the media workers lie among media.rtp_ports",
                        media.port
                    ),
                    "move media.port or media.rtp_ports",
                ),
            );
        }
    }
    let sip = settings.sip.listen;
    if overlaps(sip, settings.http.listen) {
        let wrong = Wrong::new(
            format!("{sip} is taken by http.listen, and SIP is heard by TCP too"),
            "choose another port",
        );
        reader.wrong("sip", "listen", wrong);
    }
    let Some(lab) = settings.lab.listen else {
        return;
    };
    for (other, name) in [(sip, "sip.listen"), (settings.http.listen, "http.listen")] {
        if overlaps(lab, other) {
            let wrong = Wrong::new(format!("{lab} is taken by {name}"), "choose another port");
            reader.wrong("lab", "listen", wrong);
        }
    }
}

pub(super) fn overlaps(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.port() != 0
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}
