//! `tls`, of the listener and of a version: certificates, their keys, and what is wrong with them.

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
    loaded_from(&format!("{LEAST}tls: {{ {tls} }}\n"))
}

/// With blue at an endpoint that speaks TLS, and this in its `tls`.
fn loaded_of_blue(tls: &str) -> Result<Config, Faults> {
    loaded_from(&LEAST.replacen("\"127.0.0.1:9001\"]", &format!("\"https://a.example\"], tls: {{ {tls} }}"), 1))
}

fn loaded_from(text: &str) -> Result<Config, Faults> {
    let folder = folder();
    let config = folder.path().join("portcullis.yaml");
    fs::write(&config, text).expect("the folder is writable");
    let key = fs::read_to_string(folder.path().join("a.key")).expect("it was written");
    load(
        &config,
        &[("KEY", key.into())].into_iter().map(|(name, value): (_, std::ffi::OsString)| (name, value)).collect(),
    )
}

/// `expected` comes after the place in the text.
fn check(tls: &str, expected: &[&str]) {
    told_of(tls, loaded(tls), expected);
}

fn check_of_blue(tls: &str, expected: &[&str]) {
    told_of(tls, loaded_of_blue(tls), expected);
}

fn told_of(tls: &str, loaded: Result<Config, Faults>, expected: &[&str]) {
    let faults = loaded.expect_err("it is faulty");
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
fn each_rule_for_the_certificates_of_endpoints() {
    let pem = "name a PEM file with `-----BEGIN CERTIFICATE-----`";
    let beside = "a path is relative to the configuration file";
    check_of_blue(
        "ca: no.pem",
        &[&format!("blue.tls.ca: `no.pem` cannot be read: No such file or directory (os error 2) | {beside}")],
    );
    check_of_blue("ca: text", &[&format!("blue.tls.ca: `text` holds no certificate | {pem}")]);
    check_of_blue("ca: ''", &[&format!("blue.tls.ca: is empty | {pem}")]);
    check_of_blue("ca: a.crt, cert: a.crt", &["missing key `blue.tls.key` | has no `key`"]);
    check_of_blue("ca: a.crt, key: 'file:a.key'", &["missing key `blue.tls.cert` | has no `cert`"]);
    check_of_blue(
        "ca: a.crt, cert: a.crt, key: 'file:b.key'",
        &["blue.tls.key: is not the key of `a.crt` | name the key that the certificate was made for"],
    );
    check_of_blue(
        "ca: a.crt, serverName: 'a b'",
        &["blue.tls.serverName: `a b` is no name of a server | write the name that stands in the certificate, like \
           `shop.internal`"],
    );
    check_of_blue("ca: a.crt, servername: a", &["unknown key `blue.tls.servername` | did you mean `serverName`?"]);
}

#[test]
fn what_endpoints_are_shown_and_trusted_by_is_compared_by_what_it_says() {
    let of = |tls: &str| {
        let config = loaded_of_blue(tls).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(config.warnings.is_empty());
        config.versions.blue.transport
    };
    let whole = of("ca: a.crt, serverName: a.example, cert: a.crt, key: 'file:a.key'");
    assert_eq!(whole.files().len(), 3, "{whole:?}");
    assert!(!format!("{whole:?}").contains("PRIVATE"));
    assert_ne!(whole, of("ca: a.crt, serverName: a.example, cert: a.crt, key: 'file:a.key'"), "another folder");
    let clone = whole.clone();
    assert_eq!(whole, clone);
}

#[test]
fn what_is_for_no_endpoint_is_a_warning() {
    let text = LEAST.replacen("endpoints", "tls: { ca: a.crt }, endpoints", 1);
    let config = loaded_from(&text).unwrap_or_else(|faults| panic!("{faults}"));
    let warnings: Vec<String> =
        config.warnings.iter().map(|warning| format!("{}: {}", warning.message(), warning.label())).collect();
    assert_eq!(warnings, ["blue.tls: is for no endpoint: one that speaks TLS is written `https://host:port`"]);
}

#[test]
fn what_decides_is_read_without_certificates() {
    let text = format!("{LEAST}tls: {{ certificates: [{{ cert: gone.crt, key: file:gone.key }}] }}\n");
    let text = text.replacen("\"127.0.0.1:9001\"]", "\"https://a.example\"], tls: { ca: gone.pem }", 1);
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
