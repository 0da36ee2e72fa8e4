//! How connections to the endpoints of a version are made: which HTTP is spoken, by whom their certificates are signed, for
//! which name they are, and the certificate that they are shown.

use std::sync::Arc;

use super::{NamedFiles, tls};
use crate::config::Endpoint;
use crate::config::quantity::quoted;
use crate::config::raw::{Mapping, RawCertificate, RawUpstreamTls};
use crate::config::report::{Scope, Wrong};
use crate::config::transport::{Speaks, Transport, Trust, server_name, system_roots};

/// `scope` is the version, which has these `endpoints`. None where something is wrong.
pub(super) fn transport(
    scope: &mut Scope<'_, '_>,
    raw: Option<Mapping<RawUpstreamTls>>,
    protocol: Option<String>,
    endpoints: &[Endpoint],
    files: NamedFiles<'_>,
) -> Option<Transport> {
    let speaks = scope.optional("protocol", protocol, Speaks::default(), |text| speaks(&text));
    let NamedFiles::In(vault) = files else { return Some(Transport::default()) };
    let is_secured = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Secured(_));
    let secured = endpoints.iter().position(is_secured);
    let Some(Mapping(raw)) = raw else {
        let trust = match secured.map(|index| of_system().map_err(|wrong| (index, wrong))) {
            None => Trust::System,
            Some(Ok(trust)) => trust,
            Some(Err((index, wrong))) => {
                scope.key("endpoints").wrong_element(index, wrong);
                return None;
            }
        };
        return Some(Transport::new(trust, None, None, speaks?, Vec::new()));
    };
    let mut read = Vec::new();
    if secured.is_none() && !endpoints.is_empty() {
        let wrong = Wrong::new("is for no endpoint", "one that speaks TLS is written `https://host:port`");
        scope.report.warn(scope.at.key("tls"), wrong);
    }
    let mut scope = scope.key("tls");
    let trust = match raw.ca {
        Some(file) => {
            let roots = tls::roots(&file, vault, &mut read);
            roots.map(|roots| Trust::These(Arc::new(roots))).map_err(|wrong| scope.wrong("ca", wrong)).ok()
        }
        None if scope.report.is_spoiled(&scope.at.key("ca")) => None,
        None => of_system().map_err(|wrong| scope.wrong_here(wrong)).ok(),
    };
    let name = scope.optional("serverName", raw.server_name, None, |name| match server_name(&name) {
        Some(name) => Ok(Some(name)),
        None => {
            let label = "write the name that stands in the certificate, like `shop.internal`";
            Err(Wrong::new(format!("{} is no name of a server", quoted(&name)), label))
        }
    });
    let is_anonymous = ["cert", "key"].iter().all(|key| !scope.report.is_written(&scope.at.key(key)));
    let identity = if is_anonymous {
        Some(None)
    } else {
        let raw = RawCertificate { cert: raw.cert, key: raw.key };
        tls::identity(&mut scope, raw, "endpoints", vault, &mut read)
            .map(|identity| Some(Arc::clone(identity.certified())))
    };
    Some(Transport::new(trust?, identity?, name?, speaks?, read))
}

fn speaks(text: &str) -> Result<Speaks, Wrong> {
    match text {
        "http1" => Ok(Speaks::Http1),
        "http2" => Ok(Speaks::Http2),
        "auto" => Ok(Speaks::Either),
        _ => Err(super::not_among(text, "a protocol that is spoken with endpoints", &["http1", "http2", "auto"])),
    }
}

/// Read only where an endpoint needs it: there are machines that have none.
fn of_system() -> Result<Trust, Wrong> {
    let label = "name a PEM file with those that sign the endpoints' certificates: `tls: { ca: ca.pem }`";
    system_roots()
        .map(|roots| Trust::These(Arc::new(roots)))
        .map_err(|why| Wrong::new(format!("cannot be trusted: {why}"), label))
}
