//! What a client sent that has not become a request: it is answered, counted and written down as other refusals are.

use std::time::Duration;

use http::StatusCode;

use super::access::Ended;
use super::client::Client;
use super::ending::Ending;
use super::respond::{Refusal, TOO_MANY_CONNECTIONS};
use super::service::Service;
use super::stack::refused;

/// Why there is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Unread {
    Malformed,
    /// More bytes or fields than a head may have.
    Large,
    LongTarget,
    /// Not whole within its time.
    Late,
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Refusal {
        match unread {
            Unread::Malformed => Refusal::MalformedHead,
            Unread::Large => Refusal::LargeRequestHead,
            Unread::LongTarget => Refusal::LongTarget,
            Unread::Late => Refusal::SlowHead,
        }
    }
}

/// The answer to it, as bytes. It is charged to nobody.
pub(in crate::proxy) fn refuse_unread(service: &Service, client: &Client, unread: Unread) -> String {
    let refusal = Refusal::from(unread);
    let serving = service.serving();
    let whole = if unread == Unread::Late { serving.settings().timeouts.request_head } else { Duration::ZERO };
    refused(service, refusal.status(), None, whole);
    if let Some(line) = serving.line_without_request(client) {
        let (status, ending) = (refusal.status().as_u16(), Ending::from(refusal));
        line.write(&Ended::refused(status, None, ending, whole));
    }
    refusal.raw()
}

/// The answer to a connection over the bound.
pub(in crate::proxy) fn refuse_connection(service: &Service) -> &'static [u8] {
    refused(service, StatusCode::SERVICE_UNAVAILABLE, None, Duration::ZERO);
    TOO_MANY_CONNECTIONS
}
