//! TLS on the listener: certificates with their keys, the least version, and whether clients have certificates too.

use std::path::PathBuf;

use jiff::Timestamp;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, SupportedProtocolVersion};

use super::{NamedFiles, read_text};
use crate::config::quantity::quoted;
use crate::config::raw::{Quantity, RawCertificate, RawTls};
use crate::config::report::{Scope, Wrong};
use crate::config::secret::{self, Vault};
use crate::config::tls::{Clients, Identity, Unfit, authorities};
use crate::config::{Http2, Tls};

const MOST_CERTIFICATES: usize = 1000;

const CERTIFICATE: &str = "name a PEM file with `-----BEGIN CERTIFICATE-----`";

/// None where something is wrong, or where no file is read.
pub(super) fn tls(scope: &mut Scope<'_, '_>, raw: RawTls, files: NamedFiles<'_>, http2: Http2) -> Option<Tls> {
    let versions = scope.optional("minVersion", raw.min_version, vec![&TLS12, &TLS13], versions);
    let NamedFiles::In(vault) = files else { return None };
    let mut read = Vec::new();
    let clients = scope.optional("clientCa", raw.client_ca.as_ref(), Clients::All, |file| {
        roots(file, vault, &mut read).map(Clients::SignedBy)
    });
    let identities = match raw.certificates {
        Some(raw) => identities(scope, raw.into_iter().map(|raw| raw.map(|raw| raw.0)).collect(), vault, &mut read),
        None => scope.missing("certificates"),
    };
    let tls = Tls::new(identities?, &versions?, clients?, http2, read);
    tls.map_err(|unfit| scope.wrong_here(Wrong::new(format!("cannot be used: {unfit}"), ""))).ok()
}

fn identities(
    scope: &mut Scope<'_, '_>,
    raw: Vec<Option<RawCertificate>>,
    vault: Vault<'_>,
    read: &mut Vec<PathBuf>,
) -> Option<Vec<Identity>> {
    if raw.is_empty() {
        scope.wrong("certificates", Wrong::new("is empty", "name at least one, or leave `tls` out"));
        return None;
    }
    super::too_many(scope, "certificates", raw.len(), MOST_CERTIFICATES)?;
    let mut list = scope.key("certificates");
    let mut identities = Vec::new();
    let count = raw.len();
    for (index, raw) in raw.into_iter().enumerate() {
        identities.extend(raw.and_then(|raw| identity(&mut list.index(index), raw, "clients", vault, read)));
    }
    (identities.len() == count).then_some(identities)
}

/// A certificate and its key, which `others` take as long as it holds.
pub(super) fn identity(
    scope: &mut Scope<'_, '_>,
    raw: RawCertificate,
    others: &str,
    vault: Vault<'_>,
    read: &mut Vec<PathBuf>,
) -> Option<Identity> {
    let file = raw.cert.clone().unwrap_or_default();
    let chain = scope.required("cert", raw.cert, |file| certificates(&file, vault, read));
    read.extend(raw.key.as_ref().and_then(|key| key.strip_prefix("file:")).map(|key| vault.folder.join(key)));
    let key = scope.required("key", raw.key, |key| secret::read(&key, vault));
    let identity = match Identity::new(&chain?, key?.expose()) {
        Ok(identity) => identity,
        Err(Unfit::NoKey) => {
            scope.wrong("key", Wrong::new("holds no private key", "a PEM file with `PRIVATE KEY` in its first line"));
            return None;
        }
        Err(Unfit::Mismatch) => {
            let label = "name the key that the certificate was made for";
            scope.wrong("key", Wrong::new(format!("is not the key of {}", quoted(&file)), label));
            return None;
        }
        Err(unfit) => {
            scope.wrong("cert", of_file(&file, unfit));
            return None;
        }
    };
    warn_of_time(scope, &file, &identity, others, Timestamp::now());
    Some(identity)
}

/// It is refused then, and a proxy that does not start would be no better.
fn warn_of_time(scope: &mut Scope<'_, '_>, file: &str, identity: &Identity, others: &str, now: Timestamp) {
    let (not_before, not_after) = identity.validity();
    let message = if now > not_after {
        format!("{} has expired: it held until {not_after}", quoted(file))
    } else if now < not_before {
        format!("{} does not hold yet: it will from {not_before}", quoted(file))
    } else {
        return;
    };
    scope.report.warn(scope.at.key("cert"), Wrong::new(message, format!("{others} refuse it")));
}

fn versions(Quantity(text): Quantity) -> Result<Vec<&'static SupportedProtocolVersion>, Wrong> {
    match text.as_str() {
        "1.2" => Ok(vec![&TLS12, &TLS13]),
        "1.3" => Ok(vec![&TLS13]),
        _ => Err(Wrong::new(
            format!("{} is no version of TLS that is spoken", quoted(&text)),
            "write `\"1.2\"` or `\"1.3\"`",
        )),
    }
}

/// What signs certificates, by the file that a configuration names. Notes in `read` where it was looked for.
pub(super) fn roots(file: &str, vault: Vault<'_>, read: &mut Vec<PathBuf>) -> Result<RootCertStore, Wrong> {
    authorities(&certificates(file, vault, read)?).map_err(|unfit| of_file(file, unfit))
}

/// Notes in `read` where it was looked for.
fn certificates(file: &str, vault: Vault<'_>, read: &mut Vec<PathBuf>) -> Result<String, Wrong> {
    if file.is_empty() {
        return Err(Wrong::new("is empty", CERTIFICATE));
    }
    let path = vault.folder.join(file);
    let text = read_text(&path);
    read.push(path);
    text.map_err(|error| {
        let label = "a path is relative to the configuration file";
        Wrong::new(format!("{} cannot be read: {error}", quoted(file)), label)
    })
}

fn of_file(file: &str, unfit: Unfit) -> Wrong {
    match unfit {
        Unfit::NoCertificate => Wrong::new(format!("{} holds no certificate", quoted(file)), CERTIFICATE),
        other => Wrong::new(format!("{} cannot be used: {other}", quoted(file)), CERTIFICATE),
    }
}
