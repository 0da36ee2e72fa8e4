//! What becomes of traces, and where spans go.

use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::settings::DAY;
use super::{NamedFiles, label, tls};
use crate::config::quantity::{self, duration, fraction, quoted};
use crate::config::raw::{RawOtlp, RawTracing};
use crate::config::report::{Scope, Wrong};
use crate::config::secret::{self, Vault};
use crate::config::transport::{Speaks, Transport, Trust, system_roots};
use crate::config::{Endpoint, Otlp, SampleRatio, TraceContext};

/// What stands behind the address of a collector (OTLP, "OTLP/HTTP Request").
const TRACES: &str = "/v1/traces";

/// Where collectors take OTLP by gRPC.
const OF_GRPC: u16 = 4317;

const MOST_HEADERS: usize = 32;

const SHAPE: &str = "write the address of a collector, like `http://127.0.0.1:4318`";

/// The exporter writes these itself.
const OWN: [HeaderName; 6] = [
    header::HOST,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::USER_AGENT,
];

pub(super) fn tracing(
    scope: &mut Scope<'_, '_>,
    raw: RawTracing,
    files: NamedFiles<'_>,
) -> Option<(TraceContext, Option<Arc<Otlp>>)> {
    let service_name = scope.optional("serviceName", raw.service_name, "portcullis".to_owned(), label);
    if raw.otlp.is_some() && raw.propagate == Some(false) {
        let label = "leave it out: an endpoint that hears nothing of the trace would begin one of its own";
        scope.wrong("propagate", Wrong::new("is `false` beside `otlp`", label));
    }
    let ensures = raw.propagate == Some(true) || raw.otlp.is_some();
    let context = if ensures { TraceContext::Ensured } else { TraceContext::PassedOn };
    let otlp = match (raw.otlp, files) {
        (Some(raw), NamedFiles::In(vault)) => {
            Some(Arc::new(otlp(&mut scope.key("otlp"), raw.0, service_name.clone(), vault)?))
        }
        // What is not read decides nothing.
        (Some(_), NamedFiles::Unread) | (None, _) => None,
    };
    service_name.map(|_| (context, otlp))
}

fn otlp(scope: &mut Scope<'_, '_>, raw: RawOtlp, service_name: Option<String>, vault: Vault<'_>) -> Option<Otlp> {
    let at = scope.required("endpoint", raw.endpoint, |text| collector(&text));
    if let Some((Endpoint::At(authority) | Endpoint::Secured(authority), _)) = &at
        && authority.port == OF_GRPC
    {
        let wrong = Wrong::new("has the port of OTLP by gRPC", "spans go by HTTP, which collectors take at 4318");
        scope.report.warn(scope.at.key("endpoint"), wrong);
    }
    let headers = match raw.headers {
        Some(raw) => headers(scope, raw.0.into_iter().collect(), vault),
        None => (!scope.report.is_spoiled_within(&scope.at.key("headers"))).then(HeaderMap::new),
    };
    let sample = scope.optional("sample", raw.sample, SampleRatio::of(0.01), |quantity| {
        fraction(0.0..=1.0)(quantity).map(SampleRatio::of)
    });
    let range = Duration::from_millis(1)..=DAY / 24;
    let timeout = scope.optional("timeout", raw.timeout, Duration::from_secs(10), duration(range));
    let secured = matches!(at, Some((Endpoint::Secured(_), _)));
    let transport = transport(scope, raw.ca, secured, vault);
    let (collector, path) = at?;
    Some(Otlp {
        collector,
        path,
        headers: headers?,
        sample: sample?,
        timeout: timeout?,
        transport: transport?,
        service_name: service_name?,
    })
}

/// As `OTEL_EXPORTER_OTLP_ENDPOINT` has it: the path of traces is put behind what is written, unless it is written.
fn collector(text: &str) -> Result<(Endpoint, PathAndQuery), Wrong> {
    // A password in it is not shown.
    if text.contains('@') {
        return Err(Wrong::new("has a user name", "what a collector is to know of us stands in `headers`"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let message = format!("{} has no `http://` and no `https://`", quoted(text));
        return Err(Wrong::new(message, format!("write `http://{text}`")));
    };
    if rest.contains(['?', '#']) {
        return Err(Wrong::new(format!("{} has a query", quoted(text)), SHAPE));
    }
    let (host, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let collector = quantity::endpoint(&format!("{scheme}://{host}"))?;
    let base = base.trim_end_matches('/');
    let path = base.strip_suffix(TRACES).unwrap_or(base);
    let path = PathAndQuery::try_from(format!("{path}{TRACES}"));
    let path = path.map_err(|_| Wrong::new(format!("{} has no usable path", quoted(text)), SHAPE))?;
    Ok((collector, path))
}

fn headers(scope: &mut Scope<'_, '_>, raw: Vec<(String, String)>, vault: Vault<'_>) -> Option<HeaderMap> {
    super::too_many(scope, "headers", raw.len(), MOST_HEADERS)?;
    let mut scope = scope.key("headers");
    let mut headers = HeaderMap::new();
    let count = raw.len();
    for (name, value) in raw {
        match field(&name, &value, vault) {
            Ok((name, value)) => _ = headers.append(name, value),
            Err(wrong) => scope.wrong(&name, wrong),
        }
    }
    (headers.len() == count).then_some(headers)
}

fn field(name: &str, value: &str, vault: Vault<'_>) -> Result<(HeaderName, HeaderValue), Wrong> {
    let secret = secret::read(value, vault)?;
    let of_name = |message: &str, label: &str| Wrong::new(format!("{} {message}", quoted(name)), label);
    let field =
        HeaderName::try_from(name).map_err(|_| of_name("is not the name of a header", "letters, digits and `-`"))?;
    if OWN.contains(&field) {
        return Err(of_name("is written by the proxy itself", "leave it out"));
    }
    let mut value = HeaderValue::try_from(secret.expose())
        .map_err(|_| Wrong::new("holds what no header may have", "one line of printable characters"))?;
    value.set_sensitive(true);
    Ok((field, value))
}

fn transport(scope: &mut Scope<'_, '_>, ca: Option<String>, secured: bool, vault: Vault<'_>) -> Option<Transport> {
    let mut read = Vec::new();
    let trust = match ca {
        Some(file) => {
            if !secured {
                let wrong = Wrong::new("is for no collector", "one that speaks TLS is written `https://host:port`");
                scope.report.warn(scope.at.key("ca"), wrong);
            }
            let roots = tls::roots(&file, vault, &mut read);
            roots.map(|roots| Trust::These(Arc::new(roots))).map_err(|wrong| scope.wrong("ca", wrong)).ok()
        }
        None if scope.report.is_spoiled(&scope.at.key("ca")) => None,
        None if !secured => Some(Trust::System),
        None => {
            let label = "name a PEM file with those that sign the collector's certificate: `ca: ca.pem`";
            let roots = system_roots().map(|roots| Trust::These(Arc::new(roots)));
            roots.map_err(|why| scope.wrong("endpoint", Wrong::new(format!("cannot be trusted: {why}"), label))).ok()
        }
    };
    Some(Transport::new(trust?, None, None, Speaks::Http1, read))
}
