//! What the media workers are started with, and where browsers are told to find them.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use peer::Identity;

use crate::external_address;
use crate::settings::{OpusFec, RelayTo, Settings};
use crate::turn_port::TurnPort;
use crate::worker::{OpenRelay, RelaySettings, WorkerSettings, Workers, candidates};

/// The loss, in percent, that Opus prepares for before any is reported, where FEC is wanted from the start.
const ALWAYS_EXPECTED_LOSS: u8 = 10;

pub(super) fn worker_settings(settings: &Settings, identity: &Arc<Identity>) -> WorkerSettings {
    let media = &settings.media;
    WorkerSettings {
        workers: media.workers,
        listen: media.listen.clone(),
        port: media.port,
        external_addresses: media.external_addresses.clone(),
        rtp_address: settings.sip.listen.ip(),
        rtp_external: settings.sip.external_address,
        rtp_ports: media.rtp_ports.clone(),
        port_rest: media.port_rest,
        timeout: media.timeout,
        consent_timeout: media.consent_timeout,
        dtx: settings.opus.dtx,
        max_complexity: settings.opus.max_complexity,
        opus: codecs::opus::EncoderSettings {
            bitrate: settings.opus.bitrate,
            complexity: settings.opus.complexity,
            fec: settings.opus.fec != OpusFec::Off,
            expected_loss: match settings.opus.fec {
                OpusFec::Always => ALWAYS_EXPECTED_LOSS,
                OpusFec::Auto | OpusFec::Off => 0,
            },
            ..codecs::opus::EncoderSettings::default()
        },
        identity: Arc::clone(identity),
        relay: None,
    }
}

/// How many ports are tried where any will do.
const ANY_PORT: usize = 16;

/// The workers, with TURN's port by UDP, and the same port by TCP. Where any port will do, one that is free by TCP may not be
/// by UDP: then it is another.
pub(super) async fn start_workers(
    mut settings: WorkerSettings,
) -> anyhow::Result<(Workers, Option<TurnPort>)> {
    let wanted = settings.relay.as_ref().map(|relay| relay.port);
    let mut tries = if wanted == Some(0) { ANY_PORT } else { 1 };
    loop {
        tries -= 1;
        let again = |error: &io::Error| tries > 0 && error.kind() == ErrorKind::AddrInUse;
        let turn_port = match wanted {
            None => None,
            Some(port) => match TurnPort::bind(&settings.listen, port).await {
                Err(error) if again(&error) => continue,
                bound => Some(bound.context("[turn] port")?),
            },
        };
        if let (Some(relay), Some(bound)) = (&mut settings.relay, &turn_port) {
            relay.port = bound.port();
        }
        match Workers::start(&settings) {
            Err(error) if again(&error) => {}
            started => return Ok((started.context("[media], [turn]")?, turn_port)),
        }
    }
}

pub(super) fn relay_settings(settings: &Settings, secret: &turn::Secret) -> Option<RelaySettings> {
    let turn = &settings.turn;
    let own = [
        Some(settings.sip.listen.ip()),
        settings.sip.external_address,
        settings.lab.listen.map(|listen| listen.ip()),
    ];
    let open = OpenRelay {
        ports: turn.relay_ports.clone(),
        allow: turn.allow_peers.clone(),
        deny: turn.deny_peers.clone(),
        external: settings.media.external_addresses.clone(),
        own: own.into_iter().flatten().collect(),
    };
    turn.enabled.then(|| RelaySettings {
        port: turn.port,
        realm: turn.realm.clone(),
        secret: secret.clone(),
        open: (turn.relay == RelayTo::Open).then_some(open),
        limits: turn::Limits {
            allocations: turn.max_allocations,
            allocations_per_user: turn.max_per_user,
            allocations_per_address: turn.max_per_address,
            bandwidth_per_allocation: turn.bandwidth,
            bandwidth_per_user: turn.bandwidth_per_user,
            ..turn::Limits::default()
        },
    })
}

/// The settings with the addresses that a STUN server sees, where one is to be asked. Of those that it does not see browsers
/// are told as they are.
pub(super) async fn with_external_address(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    let media = &mut settings.media;
    let Some(server) = media.stun_server.as_ref() else {
        return settings;
    };
    if !media.external_addresses.is_empty() {
        return settings;
    }
    let mut told = Vec::new();
    for own in &media.listen {
        let seen = external_address::ask(server, *own).await;
        match &seen {
            Ok(seen) if media.listen.contains(seen) => {
                tracing::info!(%seen, server, "the STUN server sees an address of our own");
            }
            Ok(seen) => tracing::info!(
                %seen, %own, server, "browsers are told the address that the STUN server sees"
            ),
            Err(error) => tracing::warn!(
                %error, %own,
                "[media] stun_server: it is not known what our address is to browsers; they are told our own"
            ),
        }
        let seen = seen.unwrap_or(*own);
        if !told.contains(&seen) {
            told.push(seen);
        }
    }
    if told != media.listen {
        media.external_addresses = told;
    }
    settings
}

/// Where browsers reach the media by ICE-TCP, as they are told.
pub(super) fn tcp_candidates(settings: &Settings, port: Option<u16>) -> Vec<SocketAddr> {
    let media = &settings.media;
    let port = port.into_iter();
    port.flat_map(|port| {
        let local = media.listen.iter().map(|ip| SocketAddr::new(*ip, port));
        let local: Vec<_> = local.collect();
        candidates(&local, &media.external_addresses).to_vec()
    })
    .collect()
}

/// What TURN credentials are made with: what the settings say, so that others can make them too, or what nobody else knows.
pub(super) fn turn_secret(settings: &Settings) -> turn::Secret {
    let own = || turn::Secret::new(rand::random::<[u8; 32]>());
    settings.turn.secret.clone().unwrap_or_else(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_address_that_a_stun_server_sees_is_told_where_none_is_set() {
        let seen = "203.0.113.9:4000".parse().unwrap();
        let server = external_address::tests::server(0, seen).await;
        let mut settings = Settings::defaults();
        settings.media.stun_server = Some(server.to_string());
        let told = |settings: Settings| settings.media.external_addresses;
        assert_eq!(told(with_external_address(&settings).await), [seen.ip()]);
        settings.media.external_addresses = vec!["192.0.2.1".parse().unwrap()];
        let set = settings.media.external_addresses.clone();
        assert_eq!(told(with_external_address(&settings).await), set);
        settings.media.external_addresses.clear();
        let own = external_address::tests::server(0, "127.0.0.1:4000".parse().unwrap()).await;
        settings.media.stun_server = Some(own.to_string());
        assert!(told(with_external_address(&settings).await).is_empty());
        // Of an address that the server cannot see, browsers are told as it is.
        let server = external_address::tests::server(0, seen).await;
        settings.media.stun_server = Some(server.to_string());
        let other = "::1".parse().unwrap();
        settings.media.listen.push(other);
        let both = told(with_external_address(&settings).await);
        assert_eq!(both, [seen.ip(), other]);
    }

    #[tokio::test]
    async fn any_port_for_turn_is_the_same_by_udp_and_tcp_and_one_that_is_taken_is_named() {
        let identity = Arc::new(Identity::generate().unwrap());
        let mut settings = Settings::defaults();
        (settings.media.port, settings.turn.port) = (0, 0);
        let with = |settings: &Settings| WorkerSettings {
            relay: relay_settings(settings, &turn::Secret::new("north")),
            ..worker_settings(settings, &identity)
        };
        let (workers, turn_port) = start_workers(with(&settings)).await.unwrap();
        let port = turn_port.as_ref().map(TurnPort::port);
        assert!(port > Some(0) && port == workers.relay_port());
        settings.turn.port = port.unwrap();
        let error = start_workers(with(&settings)).await.unwrap_err();
        assert!(format!("{error:#}").contains(&settings.turn.port.to_string()));
        workers.stop();
    }

    #[test]
    fn fec_is_spent_on_reported_loss_from_the_start_or_never() {
        let identity = Arc::new(Identity::generate().unwrap());
        for (fec, allowed, expected_loss) in [
            (OpusFec::Auto, true, 0),
            (OpusFec::Always, true, ALWAYS_EXPECTED_LOSS),
            (OpusFec::Off, false, 0),
        ] {
            let mut settings = Settings::defaults();
            assert_eq!(settings.opus.fec, OpusFec::Auto);
            settings.opus.fec = fec;
            let opus = worker_settings(&settings, &identity).opus;
            assert_eq!((opus.fec, opus.expected_loss), (allowed, expected_loss));
        }
    }

    #[test]
    fn turn_credentials_are_made_with_the_secret_that_is_set_or_with_a_new_one() {
        let mut settings = Settings::defaults();
        let own = || turn_secret(&Settings::defaults());
        assert!(own() != own());
        let shared = turn::Secret::new("0123456789abcdef");
        settings.turn.secret = Some(shared.clone());
        assert!(turn_secret(&settings) == shared);
    }
}
