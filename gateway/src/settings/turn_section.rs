//! `[turn]`: STUN and TURN for browsers, and who else may relay.

use std::time::Duration;

use super::assemble::{count, seconds};
use super::layers::Raw;
use super::mistakes::Wrong;
use super::read::Reader;
use super::{RelayTo, Settings, Turn, value};

/// The shortest secret that others make credentials with, in octets.
const SHORTEST_SECRET: usize = 16;

pub(super) fn read(reader: &mut Reader, default: Turn) -> Turn {
    let ways = value::one_of([("own", RelayTo::Own), ("open", RelayTo::Open)]);
    let relay = reader.read("turn", "relay", None, |raw| ways(raw).map(Some));
    // One that is wrong may have been meant to be open.
    let leads_nowhere = match relay {
        Some(relay) => relay == RelayTo::Own,
        None => !reader.is_set("turn", "relay"),
    };
    let relay = relay.unwrap_or(default.relay);
    let secret = reader.read("turn", "secret", None, value::secret(SHORTEST_SECRET));
    let bandwidth = |raw: &Raw| {
        let kilobits: u64 = value::number(0..=10_000_000)(raw)?;
        Ok(Some(kilobits * 1000 / 8).filter(|bytes| *bytes > 0))
    };
    let turn = Turn {
        enabled: reader.read("turn", "enabled", default.enabled, value::boolean),
        port: reader.read("turn", "port", default.port, value::number(0..=65_535)),
        relay,
        realm: reader.read("turn", "realm", default.realm, realm),
        secret: secret.map(turn::Secret::new),
        credentials: reader.read(
            "turn",
            "credentials",
            default.credentials,
            value::duration(seconds(60)..=seconds(7 * 86_400)),
        ),
        name: reader.read("turn", "name", None, |raw| {
            if value::text(raw)?.is_empty() {
                return Ok(None);
            }
            super::https::host(raw).map(Some)
        }),
        relay_ports: reader.read(
            "turn",
            "relay_ports",
            default.relay_ports,
            value::port_range,
        ),
        allow_peers: reader.read_list("turn", "allow_peers", Vec::new(), value::network),
        deny_peers: reader.read_list("turn", "deny_peers", Vec::new(), value::network),
        max_allocations: reader.read(
            "turn",
            "max_allocations",
            default.max_allocations,
            count(1_000_000),
        ),
        max_per_user: reader.read(
            "turn",
            "max_per_user",
            default.max_per_user,
            count(1_000_000),
        ),
        max_per_address: reader.read(
            "turn",
            "max_per_address",
            default.max_per_address,
            count(1_000_000),
        ),
        bandwidth: reader.read("turn", "max_kbit", None, bandwidth),
        bandwidth_per_user: reader.read("turn", "max_kbit_per_user", None, bandwidth),
    };
    let unheard = [
        ("allow_peers", !turn.allow_peers.is_empty()),
        ("deny_peers", !turn.deny_peers.is_empty()),
        ("relay_ports", turn.relay_ports != Turn::RELAY_PORTS),
    ];
    for (key, _) in unheard.iter().filter(|(_, set)| *set) {
        if leads_nowhere {
            let wrong = Wrong::new(
                "means nothing while relays lead to this gateway alone",
                "leave it out, or set turn.relay = \"open\"",
            );
            reader.wrong("turn", key, wrong);
        }
    }
    turn
}

/// What a challenge has room for, and needs no quoting.
fn realm(raw: &Raw) -> Result<String, Wrong> {
    let text = value::text(raw)?;
    let plain = |c: u8| (c.is_ascii_graphic() && c != b'"' && c != b'\\') || c == b' ';
    match (1..=turn::MAX_REALM).contains(&text.len()) && text.bytes().all(plain) {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new(
            format!("{text:?} is no realm for TURN"),
            format!(
                "write 1 to {} letters, digits and signs, without quotation marks",
                turn::MAX_REALM
            ),
        )),
    }
}

/// Nobody else listens where TURN is heard, by UDP or by TCP; and relays do not take the ports of telephones.
pub(super) fn check_port(reader: &mut Reader, settings: &Settings) {
    let turn = &settings.turn;
    if !turn.enabled {
        return;
    }
    let others = [
        (Some(settings.http.listen), "http.listen"),
        (settings.https.listen, "https.listen"),
        (Some(settings.sip.listen), "sip.listen"),
        (settings.sip.tls.listen, "sip.tls_listen"),
        (settings.lab.listen, "lab.listen"),
    ];
    let taken = |other: std::net::SocketAddr| {
        let same_ip = other.ip().is_unspecified() || settings.media.listen.contains(&other.ip());
        turn.port != 0 && same_ip && other.port() == turn.port
    };
    let mut taken: Vec<_> = others
        .into_iter()
        .filter(|(other, _)| other.is_some_and(taken))
        .map(|(_, name)| name)
        .collect();
    let workers = u32::try_from(settings.media.workers).unwrap_or(u32::MAX);
    let first = u32::from(settings.media.port);
    if turn.port != 0 && first != 0 && (first..first + workers).contains(&turn.port.into()) {
        taken.push("media.port");
    }
    for name in taken {
        let wrong = Wrong::new(
            format!("{} is taken by {name}", turn.port),
            "choose another port",
        );
        reader.wrong("turn", "port", wrong);
    }
    let rtp = &settings.media.rtp_ports;
    let relays = &turn.relay_ports;
    if turn.relay == RelayTo::Open && rtp.start() <= relays.end() && relays.start() <= rtp.end() {
        let wrong = Wrong::new(
            format!(
                "{}-{} overlaps media.rtp_ports, {}-{}",
                relays.start(),
                relays.end(),
                rtp.start(),
                rtp.end()
            ),
            "choose other ports",
        );
        reader.wrong("turn", "relay_ports", wrong);
    }
}

impl Turn {
    /// The ports of an open relay, where nothing is set (RFC 8656 §7.2).
    pub const RELAY_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

    pub(super) fn defaults() -> Self {
        Self {
            enabled: true,
            port: 3478,
            relay: RelayTo::Own,
            realm: "switchhook".to_owned(),
            secret: None,
            credentials: Duration::from_secs(12 * 3600),
            name: None,
            relay_ports: Self::RELAY_PORTS,
            allow_peers: Vec::new(),
            deny_peers: Vec::new(),
            max_allocations: 10_000,
            max_per_user: 20,
            max_per_address: 1_000,
            bandwidth: None,
            bandwidth_per_user: None,
        }
    }
}
