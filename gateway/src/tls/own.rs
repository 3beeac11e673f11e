//! The certificate that the TLS port shows. Its files may be replaced at any time: who connects from then on sees the new one,
//! and nobody who is connected notices.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::files::{Validity, certified, is_for, is_open_to_others, validity};
use super::self_signed;
use crate::settings::{Certificate, Https};

/// How often the files are looked at. What is new is taken at the second look: by then nobody still writes it.
const LOOK: Duration = Duration::from_millis(250);

/// How often its end is thought of.
const DAY: Duration = Duration::from_secs(86_400);

/// How long before its end that is spoken of, and one of our own making is made anew.
const AHEAD: Duration = Duration::from_secs(14 * 86_400);

/// The certificate of the port, and where it comes from.
pub(crate) struct Own {
    certificate: PathBuf,
    key: PathBuf,
    /// The names that one of our own making is made for; nothing is made in place of somebody else's.
    ours: Option<Vec<String>>,
    shown: RwLock<Arc<CertifiedKey>>,
    seen: Mutex<Seen>,
}

/// What is known of the files.
#[derive(Debug, Default)]
struct Seen {
    /// As they were when they were last taken, or refused.
    judged: Stamps,
    /// As they were at the last look.
    last: Stamps,
}

/// The states of both files.
type Stamps = [Option<Stamp>; 2];

/// What changes when a file does: its times of content and of state, length and number.
type Stamp = ((i64, i64), (i64, i64), u64, u64);

/// What became of a look at the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// They are what they were.
    Same,
    /// They are others, and perhaps not written to their ends.
    Changing,
    /// They are others, and are shown from now on.
    Taken,
    /// They are others, and of no use.
    Refused,
}

impl Own {
    /// Reads the files that the settings name, or makes a certificate for these names and addresses.
    ///
    /// # Errors
    /// A file cannot be read or made, or is not what it should be; the message names it.
    pub(crate) fn load(settings: &Https, names: Vec<String>) -> io::Result<Self> {
        let (certificate, key, ours) = match &settings.certificate {
            Certificate::Files { certificate, key } => (certificate.clone(), key.clone(), None),
            Certificate::SelfSigned { folder } => {
                let file = self_signed::ensure(folder, &names, SystemTime::now())?;
                (file.clone(), file, Some(names))
            }
        };
        // Before they are read: what changes meanwhile is read again.
        let stamps = [stamp(&certificate), stamp(&key)];
        let shown = certified(&certificate, &key).map_err(|error| match &ours {
            Some(_) => io::Error::other(format!("{error}; remove it, and another is made")),
            None => error,
        })?;
        if is_open_to_others(&key) {
            tracing::warn!(file = %key.display(), "every user of this machine can read this key: take the right to from them (chmod o-rwx)");
        }
        if let Some(leaf) = shown.cert.first() {
            for name in &settings.names {
                warn_of_name(leaf, name, &certificate, ours.is_some());
            }
        }
        Ok(Self {
            certificate,
            key,
            ours,
            shown: RwLock::new(Arc::new(shown)),
            seen: Mutex::new(Seen {
                judged: stamps,
                last: stamps,
            }),
        })
    }

    /// Takes what the files are replaced by, and says when the certificate ends, for ever.
    pub(crate) async fn keep(self: Arc<Self>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut days = tokio::time::interval(DAY);
        loop {
            let daily = tokio::select! {
                _ = looks.tick() => false,
                _ = days.tick() => true,
            };
            let own = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || match daily {
                true => own.think_of_the_end(SystemTime::now()),
                false => {
                    own.look();
                }
            });
            // It panics nowhere; if it does, the next one may not.
            let _ = looked.await;
        }
    }

    /// Looks at the files.
    pub(super) fn look(&self) -> Look {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = [stamp(&self.certificate), stamp(&self.key)];
        let last = std::mem::replace(&mut seen.last, stamps);
        if stamps == seen.judged {
            return Look::Same;
        }
        if stamps != last {
            return Look::Changing;
        }
        seen.judged = stamps;
        match certified(&self.certificate, &self.key) {
            Ok(new) => {
                let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
                *shown = Arc::new(new);
                tracing::info!(file = %self.certificate.display(), "the certificate was replaced: whoever connects from now on sees the new one");
                Look::Taken
            }
            Err(error) => {
                tracing::error!(%error, "what replaced the certificate cannot be used, and the one before is still shown: write a certificate and its key");
                Look::Refused
            }
        }
    }

    /// Says when the certificate has ended or soon will; makes one of our own anew, which the next looks find.
    pub(super) fn think_of_the_end(&self, now: SystemTime) {
        let file = self.certificate.display();
        let validity = self.validity(now);
        match (validity, &self.ours) {
            (Validity::Valid, _) => {}
            (Validity::Ends | Validity::Over, Some(names)) => {
                if let Err(error) = self_signed::make(&self.certificate, names, now) {
                    tracing::error!(%error, "the certificate ends, and no other could be made");
                }
            }
            (Validity::Ends, None) => {
                tracing::warn!(%file, "the certificate ends within two weeks: write another in its place");
            }
            (Validity::Over, None) => {
                tracing::error!(%file, "the certificate has expired, and browsers refuse it: write another in its place");
            }
            (Validity::NotYet, _) => {
                tracing::error!(%file, "the certificate is not valid yet: look at this machine's clock");
            }
        }
    }

    fn validity(&self, now: SystemTime) -> Validity {
        match self.shown().cert.first() {
            Some(leaf) => validity(leaf, now, AHEAD),
            None => Validity::Valid,
        }
    }

    /// What is shown now.
    pub(super) fn shown(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Own {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown())
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

fn warn_of_name(leaf: &CertificateDer<'_>, name: &str, file: &Path, ours: bool) {
    if is_for(leaf, name) {
        return;
    }
    let advice = match ours {
        true => "remove the file, and another is made at the next start",
        false => "have one made that is",
    };
    tracing::warn!(file = %file.display(), "the certificate is not for {name:?}, which [https] names has: {advice}");
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = path.metadata().ok()?;
    Some((
        (file.mtime(), file.mtime_nsec()),
        (file.ctime(), file.ctime_nsec()),
        file.len(),
        file.ino(),
    ))
}

#[cfg(test)]
mod tests;
