//! The span of a sampled request, from its head to its end. What it is called where it goes is for [`crate::spans`].

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use jiff::Timestamp;

use super::access::{Ended, Line};
use super::client::Client;
use super::ending::{Ending, Reason};
use super::ids::{Context, TRACESTATE};
use crate::gate::{GrpcStatus, Outcome};
use crate::spans::{Method, Span, Spans};

/// What is known of it at the beginning, beside what a line of the log holds.
pub(super) struct Begun {
    spans: Spans,
    context: Context,
    state: String,
    started: Timestamp,
    scheme: &'static str,
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    peer: IpAddr,
}

/// Of a text in a span, so that those that wait are bounded whatever clients send.
const MOST_TEXT_BYTES: usize = 1024;

/// A tracestate that is longer may be dropped (W3C Trace Context, 3.3.1.5), and is here from the span alone.
const MOST_STATE_BYTES: usize = 512;

/// Those of RFC 9110, RFC 5789 and the QUERY of the conventions.
const METHODS: [&str; 10] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];

impl Begun {
    /// The span of a request that came with `headers`.
    pub(super) fn new(spans: &Spans, context: Context, headers: &HeaderMap, client: &Client) -> Begun {
        Begun {
            spans: spans.clone(),
            context,
            state: if context.parent.is_some() { state(headers) } else { String::new() },
            started: Timestamp::now(),
            scheme: client.scheme.name(),
            host: headers.get(HOST).cloned(),
            user_agent: headers.get(USER_AGENT).cloned(),
            peer: client.address,
        }
    }

    /// Gives it away.
    pub(super) fn end(&self, line: &Line, ended: &Ended) {
        let Ended { version, status, grpc, ending, whole, .. } = *ended;
        // What is no request has no span.
        let Some(asked) = &line.asked else { return };
        let method = asked.method.as_str();
        self.spans.take(Span {
            trace: self.context.trace,
            id: self.context.span,
            parent: self.context.parent,
            state: self.state.clone(),
            started: self.started,
            took: whole,
            method: match METHODS.into_iter().find(|known| *known == method) {
                Some(known) => Method::Known(known),
                None => Method::Other(cut(method)),
            },
            // Without the query, which may hold what nobody else is to see.
            path: cut(asked.target.path()),
            scheme: self.scheme,
            host: self.host.as_ref().map(text),
            user_agent: self.user_agent.as_ref().map(text),
            protocol: match asked.protocol {
                http::Version::HTTP_10 => "1.0",
                http::Version::HTTP_2 => "2",
                _ => "1.1",
            },
            client: line.client,
            peer: self.peer,
            version,
            endpoint: line.endpoint.as_ref().map(|endpoint| endpoint.known.to_string()),
            status,
            grpc,
            outcome: ending.outcome,
            reason: ending.reason.map(Reason::name),
            error: error(ending, status, grpc),
        });
    }
}

/// What kind of error it is for a server, by the conventions: what a client did wrong, or gave up, is none.
fn error(ending: Ending, status: u16, grpc: Option<GrpcStatus>) -> Option<Cow<'static, str>> {
    let Ending { outcome, reason } = ending;
    let is_error = match outcome {
        Outcome::ServerError
        | Outcome::ConnectError
        | Outcome::Timeout
        | Outcome::Reset
        | Outcome::Truncated
        | Outcome::GrpcFailure => true,
        Outcome::RefusedByUs => status >= 500 || matches!(reason, Some(Reason::EndpointLeft | Reason::Internal)),
        Outcome::ClientError => grpc == Some(GrpcStatus::Unimplemented),
        Outcome::Success | Outcome::ClientCancelled => false,
    };
    is_error.then(|| match (reason, grpc) {
        (Some(reason), _) => Cow::Borrowed(reason.name()),
        (None, Some(grpc)) => Cow::Borrowed(grpc.name()),
        (None, None) => Cow::Owned(status.to_string()),
    })
}

fn state(headers: &HeaderMap) -> String {
    let parts: Vec<&str> = headers.get_all(TRACESTATE).iter().filter_map(|part| part.to_str().ok()).collect();
    let state = parts.join(",");
    if state.len() > MOST_STATE_BYTES { String::new() } else { state }
}

fn text(value: &HeaderValue) -> String {
    cut(&String::from_utf8_lossy(value.as_bytes()))
}

fn cut(text: &str) -> String {
    let end = (0..=MOST_TEXT_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text[..end.expect("there is one at 0")].to_owned()
}
