//! `tls`: certificates, their keys, and what is wrong with them.

use std::fs;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::{LEAST, told};
use crate::config::References;
use crate::config::{Config, Environment, Faults, load, parse_rules};

/// A folder with `a.crt`, `a.key`, `b.key`, an expired `old.crt` of `a.key`, and `text`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("the folder is writable");
    let [a, b] = [(); 2].map(|()| KeyPair::generate().expect("a key"));
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
    write("a.crt", &params.self_signed(&a).expect("a certificate").pem());
    params.not_after = date_time_ymd(2020, 1, 1);
    write("old.crt", &params.self_signed(&a).expect("a certificate").pem());
    write("a.key", &a.serialize_pem());
    write("b.key", &b.serialize_pem());
    write("text", "no PEM");
    folder
}

fn loaded(tls: &str) -> Result<Config, Faults> {
    let folder = folder();
    let config = folder.path().join("portcullis.yaml");
    fs::write(&config, format!("{LEAST}tls: {{ {tls} }}\n")).expect("the folder is writable");
    let key = fs::read_to_string(folder.path().join("a.key")).expect("it was written");
    load(
        &config,
        &[("KEY", key.into())].into_iter().map(|(name, value): (_, std::ffi::OsString)| (name, value)).collect(),
    )
}

/// `expected` comes after the place in the text.
fn check(tls: &str, expected: &[&str]) {
    let faults = loaded(tls).expect_err("it is faulty");
    let told: Vec<String> = faults.iter().map(told).collect();
    let told: Vec<&str> = told.iter().filter_map(|told| told.split_once(' ')).map(|(_, told)| told).collect();
    assert_eq!(told, expected, "{tls}");
}

#[test]
fn certificates_and_keys_are_read_beside_the_configuration() {
    for key in ["file:a.key", "env:KEY"] {
        let tls = format!("certificates: [{{ cert: a.crt, key: \"{key}\" }}], minVersion: 1.3, clientCa: a.crt");
        let config = loaded(&tls).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(config.warnings.is_empty());
        let tls = config.tls.expect("it is written");
        assert_eq!(tls.files().len(), if key == "env:KEY" { 2 } else { 3 }, "{tls:?}");
        assert!(tls.files().iter().all(|file| file.is_absolute()));
    }
    assert!(super::loaded(LEAST).tls.is_none());
}

#[test]
fn each_rule_for_certificates() {
    let pem = "name a PEM file with `-----BEGIN CERTIFICATE-----`";
    check("", &["missing key `tls.certificates` | has no `certificates`"]);
    check("certificates: []", &["tls.certificates: is empty | name at least one, or leave `tls` out"]);
    check(
        "certificates: [{}]",
        &[
            "missing key `tls.certificates[0].cert` | has no `cert`",
            "missing key `tls.certificates[0].key` | has no `key`",
        ],
    );
    let with = |cert: &str, key: &str| format!("certificates: [{{ cert: \"{cert}\", key: \"{key}\" }}]");
    let cert = |message: &str, label: &str| format!("tls.certificates[0].cert: {message} | {label}");
    let key = |message: &str, label: &str| format!("tls.certificates[0].key: {message} | {label}");
    check(&with("", "file:a.key"), &[&cert("is empty", pem)]);
    check(
        &with("no.crt", "file:a.key"),
        &[&cert(
            "`no.crt` cannot be read: No such file or directory (os error 2)",
            "a path is relative to the configuration file",
        )],
    );
    check(&with("text", "file:a.key"), &[&cert("`text` holds no certificate", pem)]);
    check(&with("a.key", "file:a.key"), &[&cert("`a.key` holds no certificate", pem)]);
    check(
        &with("a.crt", "file:text"),
        &[&key("holds no private key", "a PEM file with `PRIVATE KEY` in its first line")],
    );
    check(
        &with("a.crt", "file:b.key"),
        &[&key("is not the key of `a.crt`", "name the key that the certificate was made for")],
    );
    check(&with("a.crt", "a.key"), &[&key("is written out, and is a secret", "write `env:NAME` or `file:PATH`")]);
    check(
        &with("a.crt", "file:no.key"),
        &[&key(
            "`no.key` cannot be read: No such file or directory (os error 2)",
            "a path is relative to the file that names it",
        )],
    );
    let good = with("a.crt", "file:a.key");
    check(
        &format!("{good}, minVersion: 1.1"),
        &["tls.minVersion: `1.1` is no version of TLS that is spoken | write `\"1.2\"` or `\"1.3\"`"],
    );
    check(&format!("{good}, clientCa: text"), &[&format!("tls.clientCa: `text` holds no certificate | {pem}")]);
    check(&format!("{good}, minversion: '1.3'"), &["unknown key `tls.minversion` | did you mean `minVersion`?"]);
}

#[test]
fn a_certificate_that_has_expired_is_a_warning() {
    let config =
        loaded("certificates: [{ cert: old.crt, key: 'file:a.key' }]").unwrap_or_else(|faults| panic!("{faults}"));
    let warnings: Vec<String> =
        config.warnings.iter().map(|warning| format!("{}: {}", warning.message(), warning.label())).collect();
    assert_eq!(
        warnings,
        ["tls.certificates[0].cert: `old.crt` has expired: it held until 2020-01-01T00:00:00Z: clients refuse it"]
    );
}

#[test]
fn what_decides_is_read_without_certificates() {
    let text = format!("{LEAST}tls: {{ certificates: [{{ cert: gone.crt, key: file:gone.key }}] }}\n");
    let rules = parse_rules(&text, "text", References::To(&Environment::default()));
    assert!(rules.is_ok(), "{rules:?}");
}

#[test]
fn no_key_is_shown() {
    let folder = folder();
    let text = fs::read_to_string(folder.path().join("a.key")).expect("it was written");
    assert!(PrivateKeyDer::from_pem_slice(text.as_bytes()).is_ok());
    let config = loaded("certificates: [{ cert: a.crt, key: env:KEY }]").unwrap_or_else(|faults| panic!("{faults}"));
    assert!(!format!("{config:?}").contains("PRIVATE") && format!("{:?}", config.tls).contains("a.crt"));
}
