//! Certificates that are made, read, and replaced.

use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::super::testing::{DAY, Folder, mode};
use super::*;

fn leaf(own: &Own) -> CertificateDer<'static> {
    own.shown().cert[0].clone()
}

fn names() -> Vec<String> {
    ["phone.example.com", "192.0.2.1", "localhost", "::1"]
        .map(str::to_owned)
        .to_vec()
}

/// Looks until the files are no longer taken for being written.
fn look(own: &Own) -> Look {
    assert_eq!(own.look(), Look::Changing);
    own.look()
}

#[test]
fn a_certificate_of_our_own_making_is_for_all_names_and_stays_the_same_over_restarts() {
    let folder = Folder::new();
    let first = Own::load(&folder.self_signed(), names()).unwrap();
    for name in names() {
        assert!(is_for(&leaf(&first), &name), "{name}");
    }
    assert!(!is_for(&leaf(&first), "other.example.com"));
    assert_eq!(
        validity(&leaf(&first), SystemTime::now(), AHEAD),
        Validity::Valid
    );
    let second = Own::load(&folder.self_signed(), names()).unwrap();
    assert_eq!(leaf(&first), leaf(&second));
}

#[test]
fn the_key_of_our_own_making_is_for_its_owner_alone() {
    let folder = Folder::new();
    // What a start that failed has left does not lend it its permissions.
    std::fs::create_dir(folder.path("made")).unwrap();
    let left = folder.path("made/self-signed.pem.new");
    std::fs::write(&left, "").unwrap();
    let own = Own::load(&folder.self_signed(), names()).unwrap();
    assert_eq!(mode(&own.key), 0o600);
    assert!(PrivateKeyDer::from_pem_file(&own.key).is_ok());
    assert!(!left.exists());
    let folder = Folder::new();
    Own::load(&folder.self_signed(), names()).unwrap();
    assert_eq!(mode(&folder.path("made")), 0o700);
}

#[test]
fn one_of_our_own_making_that_cannot_be_read_is_named() {
    let folder = Folder::new();
    let own = Own::load(&folder.self_signed(), names()).unwrap();
    std::fs::write(&own.key, "spoilt").unwrap();
    let error = Own::load(&folder.self_signed(), names()).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("self-signed.pem"), "{error}");
    assert!(error.contains("remove it"), "{error}");
}

#[test]
fn one_of_our_own_making_that_ends_soon_is_made_anew_and_shown() {
    let folder = Folder::new();
    let own = Own::load(&folder.self_signed(), names()).unwrap();
    let first = leaf(&own);
    own.think_of_the_end(SystemTime::now());
    assert_eq!(own.look(), Look::Same);
    let late = SystemTime::now() + 815 * DAY;
    assert_eq!(validity(&first, late, AHEAD), Validity::Ends);
    own.think_of_the_end(late);
    assert_eq!(look(&own), Look::Taken);
    assert_ne!(leaf(&own), first);
    assert_eq!(validity(&leaf(&own), late, AHEAD), Validity::Valid);
}

#[test]
fn nothing_is_made_in_place_of_somebody_elses_that_has_expired() {
    let folder = Folder::new();
    folder.issue("phone.example.com");
    let own = Own::load(&folder.issued(), names()).unwrap();
    let late = SystemTime::now() + 400 * DAY;
    assert_eq!(validity(&leaf(&own), late, AHEAD), Validity::Over);
    own.think_of_the_end(late);
    assert_eq!(own.look(), Look::Same);
}

#[test]
fn a_certificate_is_not_valid_before_its_time_ends_and_is_over() {
    let folder = Folder::new();
    folder.issue("phone.example.com");
    let own = Own::load(&folder.issued(), names()).unwrap();
    let now = SystemTime::now();
    for (at, expected) in [
        (now - 2 * DAY, Validity::NotYet),
        (now, Validity::Valid),
        (now + 355 * DAY, Validity::Ends),
        (now + 366 * DAY, Validity::Over),
    ] {
        assert_eq!(validity(&leaf(&own), at, AHEAD), expected, "{at:?}");
    }
}

#[test]
fn a_replacement_is_shown_once_it_is_written_to_its_end() {
    let folder = Folder::new();
    folder.issue("one.example.com");
    let own = Own::load(&folder.issued(), names()).unwrap();
    assert_eq!(own.look(), Look::Same);
    let (certificate, key) = Folder::pem("two.example.com");
    folder.replace("own.pem", &certificate);
    assert_eq!(own.look(), Look::Changing);
    // Its key comes a moment later: what was there meanwhile was no pair, and is not complained of.
    folder.replace("own.key", &key);
    assert_eq!(own.look(), Look::Changing);
    assert!(is_for(&leaf(&own), "one.example.com"));
    assert_eq!(own.look(), Look::Taken);
    assert!(is_for(&leaf(&own), "two.example.com"));
    assert_eq!(own.look(), Look::Same);
}

#[test]
fn a_broken_replacement_is_refused_once_and_the_old_one_stays_until_a_good_one_comes() {
    let folder = Folder::new();
    folder.issue("one.example.com");
    let own = Own::load(&folder.issued(), names()).unwrap();
    let file = folder.path("own.pem");
    let foreign = Folder::pem("foreign.example.com").0;
    for broken in ["", "no certificate", foreign.as_str()] {
        std::fs::write(&file, broken).unwrap();
        assert_eq!(look(&own), Look::Refused, "{broken:?}");
        assert_eq!(own.look(), Look::Same);
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(look(&own), Look::Refused);
    assert!(is_for(&leaf(&own), "one.example.com"));
    folder.issue("two.example.com");
    assert_eq!(look(&own), Look::Taken);
    assert!(is_for(&leaf(&own), "two.example.com"));
}

#[tokio::test(start_paused = true)]
async fn a_replacement_is_noticed_within_a_second() {
    let folder = Folder::new();
    folder.issue("one.example.com");
    let own = Arc::new(Own::load(&folder.issued(), names()).unwrap());
    let keeping = tokio::spawn(Arc::clone(&own).keep());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(is_for(&leaf(&own), "one.example.com"));
    folder.issue("two.example.com");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(is_for(&leaf(&own), "two.example.com"));
    keeping.abort();
}

#[test]
fn a_key_of_another_certificate_is_named() {
    let folder = Folder::new();
    folder.issue("one.example.com");
    std::fs::write(folder.path("own.key"), Folder::pem("two.example.com").1).unwrap();
    let error = Own::load(&folder.issued(), names()).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("own.key: is not the key of"), "{error}");
    assert!(error.contains("own.pem"), "{error}");
}

#[test]
fn a_key_that_everybody_can_read_is_told_from_one_of_a_group() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    folder.issue("one.example.com");
    let key = folder.path("own.key");
    for (mode, open) in [(0o600, false), (0o640, false), (0o644, true)] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&key, permissions).unwrap();
        assert_eq!(is_open_to_others(&key), open, "{mode:o}");
    }
}
