//! How a browser reaches the gateway's media: what it is told to try, and which way it went.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One entry of an RTCPeerConnection's `iceServers`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// `stun:`, `turn:` and `turns:` URIs (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// The TURN user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The TURN password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl std::fmt::Debug for IceServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let credential = self.credential.as_ref().map(|_| "(redacted)");
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .field("credential", &credential)
            .finish()
    }
}

/// Which way a browser's media goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// By UDP, straight to the gateway.
    Udp,
    /// By TCP, straight to the gateway (RFC 6544).
    IceTcp,
    /// By UDP to the gateway's relay (RFC 8656).
    TurnUdp,
    /// By TCP to the gateway's relay.
    TurnTcp,
    /// By TLS to the gateway's relay.
    TurnTls,
}

impl Via {
    /// The same for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Udp => "The call goes straight to the gateway, by UDP.",
            Self::IceTcp => {
                "The call goes straight to the gateway, by TCP (ICE-TCP), since UDP does not get through."
            }
            Self::TurnUdp => "The call goes through the gateway's relay (TURN), by UDP.",
            Self::TurnTcp => "The call goes through the gateway's relay (TURN), by TCP.",
            Self::TurnTls => "The call goes through the gateway's relay (TURN), by TLS.",
        }
    }
}

impl From<peer::Transport> for Via {
    fn from(transport: peer::Transport) -> Self {
        match transport {
            peer::Transport::Udp => Self::Udp,
            peer::Transport::Tcp => Self::IceTcp,
            peer::Transport::Turn(relay) => match relay.over {
                peer::RelayOver::Udp => Self::TurnUdp,
                peer::RelayOver::Tcp => Self::TurnTcp,
                peer::RelayOver::Tls => Self::TurnTls,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use peer::{Relay, RelayOver, Transport};

    use super::*;

    #[test]
    fn every_way_has_its_name_and_its_words() {
        let turn = |over| Transport::Turn(Relay { server: 1, over });
        for (transport, name, words) in [
            (Transport::Udp, "udp", ["straight", "UDP"]),
            (Transport::Tcp, "ice_tcp", ["straight", "TCP (ICE-TCP)"]),
            (turn(RelayOver::Udp), "turn_udp", ["(TURN)", "UDP"]),
            (turn(RelayOver::Tcp), "turn_tcp", ["(TURN)", "TCP"]),
            (turn(RelayOver::Tls), "turn_tls", ["(TURN)", "TLS"]),
        ] {
            let via = Via::from(transport);
            assert_eq!(serde_json::to_value(via).unwrap(), name);
            for word in words {
                assert!(via.text().contains(word), "{name}: {}", via.text());
            }
        }
    }

    #[test]
    fn a_credential_stays_out_of_logs() {
        let server = IceServer {
            urls: vec!["turn:gw.example:3478".into()],
            username: Some("5:alice".into()),
            credential: Some("hidden".into()),
        };
        let shown = format!("{server:?}");
        assert!(shown.contains("5:alice") && shown.contains("redacted"));
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
