//! `[https]`.

use rcgen::{CertificateParams, KeyPair};

use super::*;

/// Files of a certificate and of its key.
fn pair() -> (TemporaryFile, TemporaryFile) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["phone.example.com".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (
        TemporaryFile::new(certificate.pem()),
        TemporaryFile::new(key.serialize_pem()),
    )
}

fn section(certificate: &TemporaryFile, key: &TemporaryFile) -> String {
    let (certificate, key) = (certificate.0.display(), key.0.display());
    format!("[https]\nlisten = \"0.0.0.0:443\"\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n")
}

#[test]
fn a_certificate_and_its_key_come_from_files() {
    let (certificate, key) = pair();
    let https = load_file(&section(&certificate, &key)).unwrap().https;
    assert_eq!(https.listen, Some("0.0.0.0:443".parse().unwrap()));
    let files = Certificate::Files {
        certificate: certificate.0.clone(),
        key: key.0.clone(),
    };
    assert_eq!(https.certificate, files);
}

#[test]
fn without_files_a_certificate_is_made_for_all_that_the_machine_is_known_by() {
    let settings = load_file(
        "[https]\nlisten = \"10.0.0.7:443\"\nnames = [\"Phone.Example.com\", \"2001:db8::1\"]\nfolder = \"/tmp/switchhook-tls\"\n\
         [sip]\nexternal_name = \"sbc.example.com\"\n[media]\nexternal_addresses = [\"192.0.2.1\"]\n",
    )
    .unwrap();
    let folder = PathBuf::from("/tmp/switchhook-tls");
    let made = Certificate::SelfSigned { folder };
    assert_eq!(settings.https.certificate, made);
    assert_eq!(
        settings.own_names(),
        [
            "phone.example.com",
            "2001:db8::1",
            "sbc.example.com",
            "10.0.0.7",
            "192.0.2.1",
            "127.0.0.1",
            "10.0.0.5",
            "localhost",
            "::1"
        ]
    );
}

#[test]
fn an_address_that_means_any_is_in_no_certificate() {
    let settings = load_file("[https]\nlisten = \"0.0.0.0:443\"\n").unwrap();
    assert_eq!(
        settings.own_names(),
        ["127.0.0.1", "10.0.0.5", "localhost", "::1"]
    );
}

#[test]
fn every_mistake_is_told_at_its_place() {
    let mistakes = load_file(
        "[https]\nlisten = \"443\"\ncertificate = \"/nowhere/own.pem\"\nkey = 7\nfolder = \"/nowhere/tls\"\n\
         names = [\"https://phone.example.com\", \"phone.example.com\", \"\"]\n",
    );
    assert_eq!(
        places(mistakes),
        [
            "2:10 https.listen",
            "3:15 https.certificate",
            "4:7 https.key",
            "5:10 https.folder",
            "6:10 https.names",
            "6:60 https.names",
        ]
    );
}

#[test]
fn a_certificate_needs_a_key_and_somewhere_to_be_shown() {
    let (certificate, key) = pair();
    let (certificate, key) = (certificate.0.display(), key.0.display());
    let listen = "listen = \"0.0.0.0:443\"\n";
    for without in ["", "key = \"\"\n"] {
        let mistake = only(load_file(&format!(
            "[https]\n{listen}certificate = \"{certificate}\"\n{without}"
        )));
        assert_eq!(mistake.setting, "https.certificate");
        assert_eq!(mistake.advice, "set https.key too");
    }
    let mistake = only(load_file(&format!("[https]\n{listen}key = \"{key}\"\n")));
    assert_eq!(mistake.setting, "https.key");
    assert_eq!(mistake.advice, "set https.certificate too");
    let mistake = only(load_file(&format!(
        "[https]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n"
    )));
    assert_eq!(mistake.setting, "https.certificate");
    assert_eq!(mistake.advice, "set https.listen too");
}

#[test]
fn files_that_are_no_certificate_and_its_key_are_named() {
    let (certificate, key) = pair();
    let (_, another) = pair();
    let mistake = only(load_file(&section(&certificate, &another)));
    assert_eq!(mistake.setting, "https.key");
    assert!(mistake.problem.contains("is not the key of"), "{mistake}");
    let mistake = only(load_file(&section(&key, &key)));
    assert_eq!(mistake.setting, "https.certificate");
    let named = key.0.display().to_string();
    assert!(mistake.problem.contains(&named), "{mistake}");
    let mistake = only(load_file(&section(&certificate, &certificate)));
    assert_eq!(mistake.setting, "https.key");
}

#[test]
fn a_port_that_something_else_has_is_refused() {
    for (other, taken) in [
        ("[http]\nlisten = \"0.0.0.0:8443\"", "http.listen"),
        ("[sip]\nlisten = \"10.0.0.5:8443\"", "sip.listen"),
        ("[lab]\nlisten = \"10.0.0.5:8443\"", "lab.listen"),
    ] {
        let text = format!("[https]\nlisten = \"10.0.0.5:8443\"\n{other}\n");
        let mistake = only(load_file(&text));
        assert_eq!(mistake.setting, "https.listen", "{mistake}");
        assert!(mistake.problem.contains(taken), "{mistake}");
    }
    let any = "[https]\nlisten = \"10.0.0.5:0\"\n[http]\nlisten = \"10.0.0.5:0\"\n";
    assert!(load_file(any).is_ok());
}

#[test]
fn the_folder_may_be_made_and_may_not_be_a_file() {
    let file = TemporaryFile::new("");
    let path = file.0.display();
    let mistake = only(load_file(&format!("[https]\nfolder = \"{path}\"\n")));
    assert_eq!(mistake.setting, "https.folder");
    assert!(mistake.problem.ends_with("is no folder"), "{mistake}");
    assert!(load_file("[https]\nfolder = \"tls-of-ours\"\n").is_ok());
    let here = load_file("[https]\nfolder = \"\"\n").unwrap().https;
    let folder = PathBuf::from(".");
    assert_eq!(here.certificate, Certificate::SelfSigned { folder });
}

#[test]
fn the_summary_has_the_address_to_open() {
    let line = |text: &str| {
        let summary = load_file(text).unwrap().summary();
        let line = summary.lines().find(|line| line.starts_with("https"));
        line.unwrap().to_owned()
    };
    assert_eq!(line(""), "https    none");
    assert_eq!(
        line("[https]\nlisten = \"0.0.0.0:443\"\nnames = [\"phone.example.com\"]\n"),
        "https    TCP 0.0.0.0:443: https://phone.example.com/, a certificate of our own making in tls"
    );
    assert_eq!(
        line("[https]\nlisten = \"10.0.0.5:8443\"\n"),
        "https    TCP 10.0.0.5:8443: https://10.0.0.5:8443/, a certificate of our own making in tls"
    );
}
