//! Our own answers: the one place where an error becomes HTTP. By who is to blame: the client, the endpoint, or us.

use std::io;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use tokio_rustls::rustls;

use super::body::ResponseBody;
use super::grpc::{self, Speaks};
use crate::gate::Outcome;
use crate::live::{Full, Over};
use crate::proxy::upstream::NoConnection;

/// Why a request is answered by us and not by an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("HTTP/1.1 asks for exactly one valid Host field")]
    Host,
    #[error("the request target is not a path or an absolute URI")]
    Target,
    #[error("the request target is longer than it may be")]
    LongTarget,
    #[error("the request is no valid HTTP")]
    MalformedHead,
    #[error("the request head is larger than it may be")]
    LargeRequestHead,
    #[error("the request head took too long")]
    SlowHead,
    #[error("the request has come through this proxy already")]
    Loop,
    #[error("chunked, once, is the only transfer coding that is taken")]
    TransferEncoding,
    #[error("the method is not served here")]
    Method,
    #[error("the request body took too long")]
    SlowBody,
    #[error("the request body is larger than it may be")]
    LargeBody,
    #[error("the request body is malformed")]
    MalformedBody,
    /// Seen only by a client that has ended just its sending side.
    #[error("the request body ended too early")]
    ClientGone,
    #[error("the service takes no such upgrade")]
    Upgrade,
    #[error("the service could not be reached")]
    Connect(Unreached),
    #[error("the service could not be reached in time")]
    ConnectTimeout,
    #[error("the service closed the connection before it answered")]
    Reset,
    #[error("the service gave no valid HTTP answer")]
    Invalid,
    #[error("the service gave an answer whose head is too large")]
    LargeHead,
    #[error("the service did not answer in time")]
    HeadTimeout,
    /// The time that requests had to end at an endpoint that has left is up.
    #[error("the endpoint that had the request has been taken out of service")]
    Left,
    #[error("the service has as many requests as it may have at a time")]
    Busy,
    #[error("the service takes traffic back, and has as many requests as it can take for now")]
    Ramp,
    #[error("the proxy has as many connections as it can have")]
    Exhausted,
    #[error("the proxy has no memory to spare")]
    Overload,
    #[error("the client sends more requests than it may")]
    TooMany { wait_seconds: u64 },
    #[error("an error inside the proxy")]
    Internal,
}

/// Why there is no connection to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreached {
    Refused,
    NoRoute,
    /// The endpoint's certificate is not good.
    Certificate,
    /// Ours is not good enough for the endpoint, or it wants nothing else that we have.
    Alert,
    /// It speaks no TLS, or none that we do.
    Tls,
    Otherwise,
}

/// Tells our own answers from those of an endpoint (RFC 9209).
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// The type of what we say.
const TEXT: &str = "text/plain; charset=utf-8";

/// Seconds after which a client may try again where nothing could serve it.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

impl Refusal {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Refusal::Host
            | Refusal::Target
            | Refusal::MalformedHead
            | Refusal::TransferEncoding
            | Refusal::MalformedBody
            | Refusal::ClientGone => StatusCode::BAD_REQUEST,
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::SlowHead | Refusal::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Refusal::LargeBody => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::LongTarget => StatusCode::URI_TOO_LONG,
            Refusal::LargeRequestHead => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            // As linkerd does.
            Refusal::Loop => StatusCode::LOOP_DETECTED,
            Refusal::Connect(_) | Refusal::Reset | Refusal::Invalid | Refusal::LargeHead => StatusCode::BAD_GATEWAY,
            Refusal::ConnectTimeout | Refusal::HeadTimeout => StatusCode::GATEWAY_TIMEOUT,
            Refusal::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            // As Envoy does where it closes the connections to a host that has gone.
            Refusal::Left | Refusal::Busy | Refusal::Ramp | Refusal::Exhausted | Refusal::Overload => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Refusal::Upgrade => StatusCode::NOT_IMPLEMENTED,
            Refusal::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) const fn outcome(self) -> Outcome {
        match self {
            Refusal::Connect(_) => Outcome::ConnectError,
            Refusal::ConnectTimeout | Refusal::HeadTimeout => Outcome::Timeout,
            Refusal::Reset | Refusal::Invalid | Refusal::LargeHead => Outcome::Reset,
            Refusal::ClientGone => Outcome::ClientCancelled,
            Refusal::Host
            | Refusal::Target
            | Refusal::LongTarget
            | Refusal::MalformedHead
            | Refusal::LargeRequestHead
            | Refusal::SlowHead
            | Refusal::Loop
            | Refusal::TransferEncoding
            | Refusal::Method
            | Refusal::SlowBody
            | Refusal::LargeBody
            | Refusal::MalformedBody
            | Refusal::Upgrade
            | Refusal::Left
            | Refusal::Busy
            | Refusal::Ramp
            | Refusal::Exhausted
            | Refusal::Overload
            | Refusal::TooMany { .. }
            | Refusal::Internal => Outcome::RefusedByUs,
        }
    }

    /// With the registered error type (RFC 9209, section 2.3).
    const fn proxy_status(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Refusal::Host
            | Refusal::Target
            | Refusal::LongTarget
            | Refusal::MalformedHead
            | Refusal::LargeRequestHead
            | Refusal::SlowHead
            | Refusal::TransferEncoding
            | Refusal::SlowBody
            | Refusal::LargeBody
            | Refusal::MalformedBody
            | Refusal::ClientGone => "portcullis; error=http_request_error",
            Refusal::Method | Refusal::Upgrade | Refusal::Overload | Refusal::TooMany { .. } => {
                "portcullis; error=http_request_denied"
            }
            Refusal::Connect(Unreached::Refused) => "portcullis; error=connection_refused",
            Refusal::Connect(Unreached::NoRoute) => "portcullis; error=destination_ip_unroutable",
            Refusal::Connect(Unreached::Certificate) => "portcullis; error=tls_certificate_error",
            Refusal::Connect(Unreached::Alert) => "portcullis; error=tls_alert_received",
            Refusal::Connect(Unreached::Tls) => "portcullis; error=tls_protocol_error",
            Refusal::Connect(Unreached::Otherwise) | Refusal::Left => "portcullis; error=destination_unavailable",
            Refusal::ConnectTimeout => "portcullis; error=connection_timeout",
            Refusal::Reset => "portcullis; error=connection_terminated",
            Refusal::Invalid => "portcullis; error=http_protocol_error",
            Refusal::LargeHead => "portcullis; error=http_response_header_section_size",
            Refusal::HeadTimeout => "portcullis; error=http_response_timeout",
            Refusal::Busy | Refusal::Ramp | Refusal::Exhausted => "portcullis; error=connection_limit_reached",
            Refusal::Loop => "portcullis; error=proxy_loop_detected",
            Refusal::Internal => "portcullis; error=proxy_internal_error",
        })
    }

    /// Whether the connection must not carry another request. Where there is only too much, a new connection would be more.
    const fn closes(self) -> bool {
        matches!(self.outcome(), Outcome::RefusedByUs | Outcome::ClientCancelled)
            && !matches!(
                self,
                Refusal::Busy | Refusal::Ramp | Refusal::Exhausted | Refusal::TooMany { .. } | Refusal::Loop
            )
    }

    /// All of the answer as bytes, where no request has been parsed. It closes.
    pub(super) fn raw(self) -> String {
        let (status, text) = (self.status(), format!("{self}\n"));
        let (reason, length) = (status.canonical_reason().unwrap_or_default(), text.len());
        let proxy_status = self.proxy_status();
        let proxy_status = proxy_status.to_str().unwrap_or_default();
        let date = httpdate::fmt_http_date(jiff::Timestamp::now().into());
        format!(
            "HTTP/1.1 {} {reason}\r\ncontent-type: {TEXT}\r\nproxy-status: {proxy_status}\r\n\
             content-length: {length}\r\nconnection: close\r\ndate: {date}\r\n\r\n{text}",
            status.as_u16()
        )
    }

    /// To a client that `speaks` so.
    pub(super) fn response(self, speaks: Speaks) -> Response<ResponseBody> {
        let mut response = own(self.status(), self.proxy_status(), &self.to_string(), speaks);
        let headers = response.headers_mut();
        match self {
            Refusal::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
            }
            Refusal::Busy | Refusal::Ramp | Refusal::Exhausted | Refusal::Overload => {
                headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
            }
            Refusal::TooMany { wait_seconds } => _ = headers.insert(RETRY_AFTER, wait_seconds.into()),
            _ => {}
        }
        if self.closes() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// In whole seconds, as Retry-After says it.
impl From<Over> for Refusal {
    fn from(Over { wait }: Over) -> Refusal {
        Refusal::TooMany { wait_seconds: wait.as_secs() + u64::from(wait.subsec_nanos() > 0) }
    }
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Refusal {
        match full {
            Full::Version => Refusal::Busy,
            Full::Cap => Refusal::Ramp,
        }
    }
}

/// Why there is no connection to an endpoint.
impl From<&NoConnection> for Refusal {
    fn from(none: &NoConnection) -> Refusal {
        match none {
            NoConnection::NoTunnel => Refusal::Upgrade,
            NoConnection::Malformed(_) => Refusal::Invalid,
            none if none.is_exhausted() => Refusal::Exhausted,
            none => Refusal::Connect(Unreached::from(none)),
        }
    }
}

impl From<&NoConnection> for Unreached {
    fn from(none: &NoConnection) -> Unreached {
        match none {
            NoConnection::Socket(error) => match error.kind() {
                // Of a socket in the file system that nobody has made.
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Unreached::Refused,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Unreached::NoRoute,
                _ => Unreached::Otherwise,
            },
            NoConnection::NotHttp2 | NoConnection::Malformed(_) | NoConnection::NoTunnel => Unreached::Tls,
            NoConnection::Tls(_) => match none.tls() {
                Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
                    Unreached::Certificate
                }
                Some(rustls::Error::AlertReceived(_)) => Unreached::Alert,
                Some(_) | None => Unreached::Tls,
            },
        }
    }
}

fn own(status: StatusCode, proxy_status: HeaderValue, text: &str, speaks: Speaks) -> Response<ResponseBody> {
    let mut response = if let Some(instead) = speaks.instead_of(status) {
        // A client of gRPC has no eyes for another status of HTTP.
        let mut response = Response::new(ResponseBody::Own(None));
        grpc::say(response.headers_mut(), instead, text);
        response
    } else {
        let mut response = Response::new(ResponseBody::Own(Some(Bytes::from(format!("{text}\n")))));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
        response
    };
    response.headers_mut().insert(PROXY_STATUS, proxy_status);
    response
}

/// No endpoint takes requests.
pub(super) fn unavailable(speaks: Speaks) -> Response<ResponseBody> {
    let proxy_status = HeaderValue::from_static("portcullis; error=destination_unavailable");
    let mut response = own(StatusCode::SERVICE_UNAVAILABLE, proxy_status, "no endpoint is available", speaks);
    response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    response
}

/// Sent raw to a connection over the bound.
pub(super) const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain; charset=utf-8\r\nproxy-status: portcullis; error=http_request_denied\r\n\
    retry-after: 1\r\ncontent-length: 21\r\nconnection: close\r\n\r\n\
    too many connections\n";

/// Sent raw to a connection for which there is no memory.
pub(in crate::proxy) const OVERLOAD: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain; charset=utf-8\r\nproxy-status: portcullis; error=http_request_denied\r\n\
    retry-after: 1\r\ncontent-length: 33\r\nconnection: close\r\n\r\n\
    the proxy has no memory to spare\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raw_answers_state_the_length_of_their_body() {
        let raw = [TOO_MANY_CONNECTIONS, OVERLOAD].map(|raw| String::from_utf8(raw.to_vec()).expect("ASCII"));
        for text in raw.into_iter().chain([Refusal::SlowHead.raw(), Refusal::MalformedHead.raw()]) {
            let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{text}");
        }
    }
}
