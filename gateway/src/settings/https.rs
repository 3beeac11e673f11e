//! `[https]`: the page by TLS, and its certificate.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::assemble::overlaps;
use super::layers::Raw;
use super::mistakes::Wrong;
use super::read::Reader;
use super::{Certificate, Https, Settings, value};
use crate::tls::files;

pub(super) fn read(reader: &mut Reader, default: Https) -> Https {
    let listen = reader.read("https", "listen", None, |raw| {
        if value::text(raw)?.is_empty() {
            return Ok(None);
        }
        value::socket_address(raw).map(Some)
    });
    let certificate = reader.read("https", "certificate", None, value::readable_file);
    let key = reader.read("https", "key", None, value::readable_file);
    reader.needs("https", "certificate", "key");
    reader.needs("https", "key", "certificate");
    reader.needs("https", "certificate", "listen");
    if let (Some(certificate), Some(key)) = (&certificate, &key) {
        check_pair(reader, certificate, key);
    }
    let folder = reader.read("https", "folder", PathBuf::from("tls"), folder);
    let names = reader.read_list("https", "names", default.names, host);
    reader.needs("https", "names", "listen");
    Https {
        listen,
        certificate: match (certificate, key) {
            (Some(certificate), Some(key)) => Certificate::Files { certificate, key },
            _ => Certificate::SelfSigned { folder },
        },
        names,
    }
}

/// Read here so that it is said with the other mistakes; read again where they are used.
fn check_pair(reader: &mut Reader, certificate: &Path, key: &Path) {
    let (setting, error, advice) = if let Err(error) = files::certificates(certificate) {
        let advice = "write the path of a PEM file with the certificate, and its chain behind it";
        ("certificate", error, advice)
    } else if let Err(error) = files::certified(certificate, key) {
        let advice = "write the path of a PEM file with the private key of the certificate";
        ("key", error, advice)
    } else {
        return;
    };
    reader.wrong("https", setting, Wrong::new(error.to_string(), advice));
}

/// A folder that is there, or that can be made in one that is.
fn folder(raw: &Raw) -> Result<PathBuf, Wrong> {
    let path = Path::new(value::text(raw)?);
    if path.as_os_str().is_empty() {
        return Ok(PathBuf::from("."));
    }
    if path.exists() && !path.is_dir() {
        return Err(Wrong::new(
            format!("{} is no folder", path.display()),
            "write the path of a folder",
        ));
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match parent.is_dir() {
        true => Ok(path.to_owned()),
        false => Err(Wrong::new(
            format!("there is no folder {}", parent.display()),
            "make it, or write the path of one that is there",
        )),
    }
}

/// A host name or an IP address.
pub(super) fn host(raw: &Raw) -> Result<String, Wrong> {
    let text = value::text(raw)?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let name = value::host_name(raw).ok().flatten();
    name.map(|name| name.to_ascii_lowercase()).ok_or_else(|| {
        Wrong::new(
            format!("{text:?} is neither a host name nor an IP address"),
            "write one like \"phone.example.com\", without https:// and port",
        )
    })
}

/// Nobody else listens where TLS is heard.
pub(super) fn check_port(reader: &mut Reader, settings: &Settings) {
    let Some(listen) = settings.https.listen else {
        return;
    };
    let others = [
        (Some(settings.http.listen), "http.listen"),
        (Some(settings.sip.listen), "sip.listen"),
        (settings.sip.tls.listen, "sip.tls_listen"),
        (settings.lab.listen, "lab.listen"),
    ];
    for (other, name) in others {
        if other.is_some_and(|other| overlaps(listen, other)) {
            let wrong = Wrong::new(
                format!("{listen} is taken by {name}"),
                "choose another port",
            );
            reader.wrong("https", "listen", wrong);
        }
    }
}

impl Settings {
    /// What a certificate of our own making is for: what browsers may reach this machine by, the best known first.
    pub fn own_names(&self) -> Vec<String> {
        let listen = self.https.listen.map(|listen| listen.ip());
        let listen = listen.filter(|address| !address.is_unspecified());
        let addresses = listen.into_iter();
        let addresses = addresses.chain(self.media.external_addresses.iter().copied());
        let addresses = addresses.chain(self.media.listen.iter().copied());
        let addresses = addresses.map(|address| address.to_string());
        let known = self.https.names.iter().chain(&self.sip.external_name);
        let local = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut names: Vec<String> = Vec::new();
        for name in known.cloned().chain(addresses).chain(local) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}
