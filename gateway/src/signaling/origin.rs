//! Which pages may open a signalling session. A browser sends `Origin` (RFC 6455 §10.2) wherever a
//! page opens a WebSocket, so a foreign page cannot place calls through its visitor.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

/// Why an origin is refused, in words for the log and the response.
pub(super) type Refused = String;

/// Admits a request without an origin (no browser), one of an allowed origin, and one of the
/// gateway's own page.
///
/// The own page is one whose origin names the very host the request was sent to. A host name other
/// than `localhost` must be in the list all the same: any name can be made to point here (DNS
/// rebinding), and then its pages would look like our own.
pub(super) fn check(headers: &HeaderMap, allowed: &[String]) -> Result<(), Refused> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let Ok(origin) = origin.to_str() else {
        return Err("the Origin header is not text".into());
    };
    let same = |entry: &String| entry.trim_end_matches('/').eq_ignore_ascii_case(origin);
    if allowed.iter().any(same) {
        return Ok(());
    }
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let own = origin
        .split_once("://")
        .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
    if own && is_local_or_literal(host) {
        return Ok(());
    }
    Err(format!(
        "pages of {origin} may not open a session here: add {origin:?} to [http] allowed_origins if they should"
    ))
}

/// `localhost` or an IP address, with or without a port.
fn is_local_or_literal(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    };
    let literal = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || literal.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(origin: Option<&str>, host: &str, allowed: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        let allowed: Vec<_> = allowed.iter().map(|&entry| entry.to_owned()).collect();
        check(&headers, &allowed).is_ok()
    }

    #[test]
    fn the_gateways_own_page_is_admitted() {
        assert!(admitted(
            Some("http://127.0.0.1:8080"),
            "127.0.0.1:8080",
            &[]
        ));
        assert!(admitted(
            Some("http://localhost:8080"),
            "localhost:8080",
            &[]
        ));
        assert!(admitted(Some("http://[::1]:8080"), "[::1]:8080", &[]));
        assert!(admitted(Some("https://192.0.2.5"), "192.0.2.5", &[]));
    }

    #[test]
    fn a_foreign_page_is_refused() {
        assert!(!admitted(
            Some("https://evil.example"),
            "127.0.0.1:8080",
            &[]
        ));
        assert!(!admitted(
            Some("http://127.0.0.1:9999"),
            "127.0.0.1:8080",
            &[]
        ));
        assert!(!admitted(Some("null"), "127.0.0.1:8080", &[]));
    }

    #[test]
    fn a_name_that_was_made_to_point_here_is_refused() {
        assert!(!admitted(
            Some("http://rebound.example:8080"),
            "rebound.example:8080",
            &[]
        ));
    }

    #[test]
    fn an_origin_in_the_list_is_admitted() {
        assert!(admitted(
            Some("https://phone.example.com"),
            "phone.example.com",
            &["https://phone.example.com"]
        ));
        assert!(admitted(
            Some("https://shop.example.com"),
            "gw.example.com",
            &["https://shop.example.com/"]
        ));
    }

    #[test]
    fn a_client_that_is_no_browser_is_admitted() {
        assert!(admitted(None, "gw.example.com", &[]));
    }
}
