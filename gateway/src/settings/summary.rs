//! What the settings come to, in words.

use std::fmt::Write as _;

use super::value::show_duration;
use super::{
    Certificate, OpusFec, Prefer, RecordDestination, RelayTo, Settings, Trunk, TrunkSrtp, TrunkStir,
};

impl Settings {
    /// What would be bound and what was chosen, a line for each section.
    pub fn summary(&self) -> String {
        let lines = [
            ("http", self.http_line()),
            ("https", self.https_line()),
            ("sip", self.sip_line()),
            ("trunk", self.trunks_line()),
            ("users", self.users_line()),
            ("calls", self.calls_line()),
            ("media", self.media_line()),
            ("turn", self.turn_line()),
            ("opus", self.opus_line()),
            ("lab", self.lab_line()),
            ("records", self.records_line()),
            (
                "log",
                format!("{}, {:?}", self.log.level, self.log.format).to_lowercase(),
            ),
        ];
        let mut summary = String::new();
        for (section, line) in lines {
            // Writing to a String cannot fail.
            let _ = writeln!(summary, "{section:<8} {line}");
        }
        summary
    }

    fn http_line(&self) -> String {
        let http = &self.http;
        let mut line = format!("TCP {}: http://{}/", http.listen, http.listen);
        if !http.allowed_origins.is_empty() {
            let _ = write!(line, ", also for {}", http.allowed_origins.join(", "));
        }
        line
    }

    fn https_line(&self) -> String {
        let https = &self.https;
        let Some(listen) = https.listen else {
            return "none".to_owned();
        };
        let certificate = match &https.certificate {
            Certificate::Files { certificate, .. } => {
                format!("certificate {}", certificate.display())
            }
            Certificate::SelfSigned { folder } => {
                format!("a certificate of our own making in {}", folder.display())
            }
        };
        let host = match https.names.first() {
            Some(name) if listen.port() == 443 => name.clone(),
            Some(name) => format!("{name}:{}", listen.port()),
            None => listen.to_string(),
        };
        format!("TCP {listen}: https://{host}/, {certificate}")
    }

    fn sip_line(&self) -> String {
        let sip = &self.sip;
        let mut line = format!("UDP and TCP {}", sip.listen);
        if let Some(external) = sip.external_address {
            let _ = write!(line, ", known outside as {external}");
        }
        let _ = write!(line, "; calls come from {:?}", sip.caller);
        line
    }

    fn trunks_line(&self) -> String {
        if self.trunks.is_empty() {
            return "none: only the lab phone can be called".to_owned();
        }
        let lines: Vec<String> = self.trunks.iter().map(trunk_line).collect();
        lines.join("; ")
    }

    fn users_line(&self) -> String {
        if self.users.is_empty() {
            return "none: nobody signs in, and calls from the trunk reach nobody".to_owned();
        }
        let users = self.users.iter().map(|user| match user.numbers.as_slice() {
            [] => user.name.clone(),
            numbers => format!("{} ({})", user.name, numbers.join(", ")),
        });
        users.collect::<Vec<_>>().join(", ")
    }

    fn calls_line(&self) -> String {
        let calls = &self.calls;
        format!(
            "{} at once, ringing up to {}, lasting up to {}",
            calls.max,
            show_duration(calls.ring_timeout),
            show_duration(calls.max_duration)
        )
    }

    fn turn_line(&self) -> String {
        let turn = &self.turn;
        if !turn.enabled {
            return "none".to_owned();
        }
        let relay = match turn.relay {
            RelayTo::Own => "relays lead to this gateway alone".to_owned(),
            RelayTo::Open => format!(
                "open relays on ports {}-{}",
                turn.relay_ports.start(),
                turn.relay_ports.end()
            ),
        };
        let port = match turn.port {
            0 => "any free port".to_owned(),
            port => format!("port {port}"),
        };
        let tls = self.https.listen.map(|listen| format!(", TLS {listen}"));
        format!("UDP and TCP {port}{}; {relay}", tls.unwrap_or_default())
    }

    fn media_line(&self) -> String {
        let media = &self.media;
        let last = usize::from(media.port) + media.workers - 1;
        let ports = match (media.port, media.workers) {
            (0, 1) => "any free port".to_owned(),
            (0, _) => "any free ports".to_owned(),
            (port, 1) => format!("port {port}"),
            (port, _) => format!("ports {port}-{last}"),
        };
        let workers = if media.workers == 1 {
            "worker"
        } else {
            "workers"
        };
        let addresses = |list: &[std::net::IpAddr]| {
            let list: Vec<String> = list.iter().map(ToString::to_string).collect();
            list.join(", ")
        };
        let mut line = format!(
            "{} {workers}; browsers: UDP {} on {ports}",
            media.workers,
            addresses(&media.listen)
        );
        if !media.external_addresses.is_empty() {
            let external = addresses(&media.external_addresses);
            let _ = write!(line, ", known outside as {external}");
        }
        let _ = write!(
            line,
            "; telephones: UDP {} ports {}-{}; prefers {}",
            self.sip.listen.ip(),
            media.rtp_ports.start(),
            media.rtp_ports.end(),
            match media.prefer {
                Prefer::Opus => "Opus",
                Prefer::G711 => "G.711",
                Prefer::Cheapest => "what passes through",
            }
        );
        line
    }

    fn opus_line(&self) -> String {
        let opus = &self.opus;
        format!(
            "{} bit/s, complexity {} to {}, FEC {}",
            opus.bitrate,
            opus.complexity,
            opus.max_complexity.max(opus.complexity),
            match opus.fec {
                OpusFec::Auto => "while loss is reported",
                OpusFec::Always => "always",
                OpusFec::Off => "off",
            }
        )
    }

    fn lab_line(&self) -> String {
        match self.lab.listen {
            Some(listen) if self.lab.impairments.is_none() => format!("UDP and TCP {listen}"),
            Some(listen) => format!(
                "UDP and TCP {listen}; a network bad on purpose: {} with browsers, {} with the phone",
                self.lab.impairments.browser, self.lab.impairments.phone
            ),
            None => "none".to_owned(),
        }
    }

    fn records_line(&self) -> String {
        let json = match &self.records.destination {
            None => None,
            Some(RecordDestination::Stdout) => Some("standard output".to_owned()),
            Some(RecordDestination::File(path)) => Some(format!("appended to {}", path.display())),
        };
        let csv = self.records.csv.as_ref();
        let csv = csv.map(|path| format!("rows appended to {}", path.display()));
        match (json, csv) {
            (None, None) => "none".to_owned(),
            (json, csv) => json.into_iter().chain(csv).collect::<Vec<_>>().join(", "),
        }
    }
}

fn trunk_line(trunk: &Trunk) -> String {
    let mut line = trunk.uri.to_string();
    if let Some(proxy) = &trunk.outbound_proxy {
        let _ = write!(line, " by way of {proxy}");
    }
    if let Some(account) = &trunk.account {
        let _ = write!(line, ", as {:?}", account.credentials.username);
        if let Some(expires) = account.register {
            let expires = show_duration(expires);
            let _ = write!(line, ", registered for {expires} at a time");
        }
    }
    if trunk.behind_nat {
        line.push_str(", behind NAT");
    }
    line.push_str(match trunk.srtp {
        TrunkSrtp::Off => "",
        TrunkSrtp::Opportunistic => ", SRTP where it takes the keys in SDP",
        TrunkSrtp::Sdes => ", SRTP with keys in SDP",
        TrunkSrtp::Dtls => ", SRTP by DTLS",
    });
    line.push_str(match trunk.stir {
        TrunkStir::Off => "",
        TrunkStir::Verify => ", its calls' signatures are looked at",
        TrunkStir::Require => ", its calls have to be signed",
    });
    if let Some(interval) = trunk.choice.probe_interval {
        let _ = write!(line, ", asked every {}", show_duration(interval));
    }
    line
}
