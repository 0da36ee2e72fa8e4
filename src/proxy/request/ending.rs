//! How a request ended: what it counts as and, where it did not end well, why. The names of the reasons are a table of docs/access-log.md.

use super::respond::{Refusal, Unreached};
use crate::gate::{GrpcStatus, Outcome};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub outcome: Outcome,
    /// None where the answer of an endpoint was whole, whatever its status.
    pub reason: Option<Reason>,
}

/// Why a request was refused, or an answer failed: the values of the access log's field `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    RequestMalformed,
    RequestHeadTooLarge,
    RequestHeadTimeout,
    Host,
    Target,
    TargetTooLong,
    TransferEncoding,
    Method,
    ProxyLoop,
    RateLimit,
    VersionBusy,
    Ramp,
    NoDescriptor,
    NoMemory,
    RequestBodyTimeout,
    RequestBodyTooLarge,
    RequestBodyMalformed,
    ClientGone,
    Upgrade,
    NoEndpoint,
    ConnectRefused,
    ConnectNoRoute,
    ConnectTlsCertificate,
    ConnectTlsAlert,
    ConnectTlsFailed,
    ConnectFailed,
    ConnectTimeout,
    ResponseHeadTimeout,
    ResponseHeadTooLarge,
    ResponseInvalid,
    ResponseLost,
    ResponseBodyTimeout,
    ResponseTruncated,
    GrpcStatusMissing,
    EndpointLeft,
    Internal,
}

impl Ending {
    /// The answer of an endpoint is whole, with `status`, and with what it said if it is one of gRPC.
    pub(super) const fn whole(status: u16, grpc: Option<GrpcStatus>) -> Ending {
        match grpc {
            None => Ending { outcome: Outcome::of_status(status), reason: None },
            Some(GrpcStatus::Missing) => Ending::failed(Outcome::GrpcFailure, Reason::GrpcStatusMissing),
            Some(said) => Ending { outcome: Outcome::of_grpc(said), reason: None },
        }
    }

    pub(super) const fn failed(outcome: Outcome, reason: Reason) -> Ending {
        Ending { outcome, reason: Some(reason) }
    }
}

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Ending {
        Ending::failed(refusal.outcome(), Reason::from(refusal))
    }
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Reason {
        match refusal {
            Refusal::MalformedHead => Reason::RequestMalformed,
            Refusal::LargeRequestHead => Reason::RequestHeadTooLarge,
            Refusal::SlowHead => Reason::RequestHeadTimeout,
            Refusal::Host => Reason::Host,
            Refusal::Target => Reason::Target,
            Refusal::LongTarget => Reason::TargetTooLong,
            Refusal::TransferEncoding => Reason::TransferEncoding,
            Refusal::Method => Reason::Method,
            Refusal::Loop => Reason::ProxyLoop,
            Refusal::SlowBody => Reason::RequestBodyTimeout,
            Refusal::LargeBody => Reason::RequestBodyTooLarge,
            Refusal::MalformedBody => Reason::RequestBodyMalformed,
            Refusal::ClientGone => Reason::ClientGone,
            Refusal::Upgrade => Reason::Upgrade,
            Refusal::Connect(Unreached::Refused) => Reason::ConnectRefused,
            Refusal::Connect(Unreached::NoRoute) => Reason::ConnectNoRoute,
            Refusal::Connect(Unreached::Certificate) => Reason::ConnectTlsCertificate,
            Refusal::Connect(Unreached::Alert) => Reason::ConnectTlsAlert,
            Refusal::Connect(Unreached::Tls) => Reason::ConnectTlsFailed,
            Refusal::Connect(Unreached::Otherwise) => Reason::ConnectFailed,
            Refusal::ConnectTimeout => Reason::ConnectTimeout,
            Refusal::Reset => Reason::ResponseLost,
            Refusal::Invalid => Reason::ResponseInvalid,
            Refusal::LargeHead => Reason::ResponseHeadTooLarge,
            Refusal::HeadTimeout => Reason::ResponseHeadTimeout,
            Refusal::Left => Reason::EndpointLeft,
            Refusal::Busy => Reason::VersionBusy,
            Refusal::Ramp => Reason::Ramp,
            Refusal::Exhausted => Reason::NoDescriptor,
            Refusal::Overload => Reason::NoMemory,
            Refusal::TooMany { .. } => Reason::RateLimit,
            Refusal::Internal => Reason::Internal,
        }
    }
}

impl Reason {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Reason::RequestMalformed => "request_malformed",
            Reason::RequestHeadTooLarge => "request_head_too_large",
            Reason::RequestHeadTimeout => "request_head_timeout",
            Reason::Host => "host_invalid",
            Reason::Target => "target_invalid",
            Reason::TargetTooLong => "target_too_long",
            Reason::TransferEncoding => "transfer_encoding_invalid",
            Reason::Method => "method_denied",
            Reason::ProxyLoop => "proxy_loop",
            Reason::RateLimit => "rate_limit",
            Reason::VersionBusy => "version_busy",
            Reason::Ramp => "ramp",
            Reason::NoDescriptor => "no_descriptor",
            Reason::NoMemory => "no_memory",
            Reason::RequestBodyTimeout => "request_body_timeout",
            Reason::RequestBodyTooLarge => "request_body_too_large",
            Reason::RequestBodyMalformed => "request_body_malformed",
            Reason::ClientGone => "client_gone",
            Reason::Upgrade => "upgrade_impossible",
            Reason::NoEndpoint => "no_endpoint",
            Reason::ConnectRefused => "connect_refused",
            Reason::ConnectNoRoute => "connect_no_route",
            Reason::ConnectTlsCertificate => "connect_tls_certificate",
            Reason::ConnectTlsAlert => "connect_tls_alert",
            Reason::ConnectTlsFailed => "connect_tls_failed",
            Reason::ConnectFailed => "connect_failed",
            Reason::ConnectTimeout => "connect_timeout",
            Reason::ResponseHeadTimeout => "response_head_timeout",
            Reason::ResponseHeadTooLarge => "response_head_too_large",
            Reason::ResponseInvalid => "response_invalid",
            Reason::ResponseLost => "response_lost",
            Reason::ResponseBodyTimeout => "response_body_timeout",
            Reason::ResponseTruncated => "response_truncated",
            Reason::GrpcStatusMissing => "grpc_status_missing",
            Reason::EndpointLeft => "endpoint_left",
            Reason::Internal => "internal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Reason; Reason::Internal as usize + 1] = [
        Reason::RequestMalformed,
        Reason::RequestHeadTooLarge,
        Reason::RequestHeadTimeout,
        Reason::Host,
        Reason::Target,
        Reason::TargetTooLong,
        Reason::TransferEncoding,
        Reason::Method,
        Reason::ProxyLoop,
        Reason::RateLimit,
        Reason::VersionBusy,
        Reason::Ramp,
        Reason::NoDescriptor,
        Reason::NoMemory,
        Reason::RequestBodyTimeout,
        Reason::RequestBodyTooLarge,
        Reason::RequestBodyMalformed,
        Reason::ClientGone,
        Reason::Upgrade,
        Reason::NoEndpoint,
        Reason::ConnectRefused,
        Reason::ConnectNoRoute,
        Reason::ConnectTlsCertificate,
        Reason::ConnectTlsAlert,
        Reason::ConnectTlsFailed,
        Reason::ConnectFailed,
        Reason::ConnectTimeout,
        Reason::ResponseHeadTimeout,
        Reason::ResponseHeadTooLarge,
        Reason::ResponseInvalid,
        Reason::ResponseLost,
        Reason::ResponseBodyTimeout,
        Reason::ResponseTruncated,
        Reason::GrpcStatusMissing,
        Reason::EndpointLeft,
        Reason::Internal,
    ];

    #[test]
    fn the_page_of_the_access_log_has_a_row_for_each_reason_and_no_other() {
        let page = include_str!("../../../docs/access-log.md");
        let (_, table) = page.split_once("| `reason` | status |").expect("the page has the table");
        let rows = table.lines().skip(2).map_while(|row| row.strip_prefix("| `")?.split('`').next());
        assert_eq!(rows.collect::<Vec<&str>>(), ALL.map(Reason::name));
    }
}
