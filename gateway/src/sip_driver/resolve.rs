//! Where a next hop is.

use std::net::SocketAddr;
use std::time::Duration;

use sip::endpoint::{Flow, Transport};
use sip::{Host, Uri};

/// How long a name may take to resolve.
const RESOLVE: Duration = Duration::from_secs(2);

/// The transport that a URI names, the port it names or 5060, the first of its addresses.
pub(crate) async fn resolve(next_hop: &Uri) -> Result<Flow, String> {
    let transport = match next_hop.params.get("transport") {
        Some(name) if name.eq_ignore_ascii_case("tcp") => Transport::Tcp,
        _ => Transport::Udp,
    };
    let port = next_hop.port.unwrap_or(5060);
    let remote = match &next_hop.host {
        Host::Ip(ip) => SocketAddr::new(*ip, port),
        Host::Name(name) => {
            let looked_up =
                tokio::time::timeout(RESOLVE, tokio::net::lookup_host((name.as_str(), port)));
            match looked_up.await {
                Ok(Ok(mut addresses)) => {
                    addresses.next().ok_or(format!("{name} has no address"))?
                }
                Ok(Err(error)) => return Err(format!("{name} cannot be resolved: {error}")),
                Err(_) => {
                    return Err(format!(
                        "{name} was not resolved within {} s",
                        RESOLVE.as_secs()
                    ));
                }
            }
        }
    };
    Ok(Flow { transport, remote })
}
