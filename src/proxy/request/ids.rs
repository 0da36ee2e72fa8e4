//! The names that a request has beyond this proxy: its id, and the trace that it belongs to.
//!
//! Absent: spans of our own. Who comes with a traceparent keeps it as it is, so that the span of the caller stays the parent of
//! the endpoint's.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::client::Client;
use super::service::Service;
use crate::config::{RequestIds, TraceContext};
use crate::live::Settings;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The hexadecimal digits of a trace id, within a traceparent of version 00 and of those to come (W3C Trace Context, 3.2).
const TRACE_ID: std::ops::Range<usize> = 3..35;

/// The id that a request must have; none where it keeps what it came with. As Envoy's `generate_request_id`: one that
/// comes from outside is replaced, unless a trusted proxy sent it.
pub(super) fn request_id(
    service: &Service,
    settings: &Settings,
    came: &HeaderMap,
    client: &Client,
) -> Option<HeaderValue> {
    match settings.request_ids {
        RequestIds::PassedOn => None,
        RequestIds::Ensured => {
            let own = || uuid(service.random.borrow_mut().u128(..));
            let trusted = came.get(X_REQUEST_ID).filter(|id| client.trusted && !id.is_empty());
            Some(trusted.cloned().unwrap_or_else(own))
        }
    }
}

/// Begins a trace, which nobody samples, where there is none that can be gone on with.
pub(super) fn trace(service: &Service, settings: &Settings, headers: &mut HeaderMap) {
    if settings.trace_context == TraceContext::PassedOn || trace_id(headers).is_some() {
        return;
    }
    let (trace, span) = {
        let mut random = service.random.borrow_mut();
        // An id of zeros alone is invalid.
        (random.u128(1..), random.u64(1..))
    };
    let parent = HeaderValue::from_str(&format!("00-{trace:032x}-{span:016x}-00")).expect("digits and dashes");
    headers.insert(TRACEPARENT, parent);
    // What it says belongs to a trace that cannot be told (4.3).
    headers.remove(TRACESTATE);
}

/// Of the trace that a request belongs to, by a valid traceparent.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
    let parent = parent.to_str().ok()?;
    is_valid(parent.as_bytes()).then(|| &parent[TRACE_ID])
}

fn is_valid(parent: &[u8]) -> bool {
    let is_hex = |digits: &[u8]| digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |digits: &[u8]| is_hex(digits) && digits.iter().any(|digit| *digit != b'0');
    let Some((known, more)) = parent.split_at_checked(55) else { return false };
    let has_version = match &known[..2] {
        b"00" => more.is_empty(),
        b"ff" => false,
        version => is_hex(version) && (more.is_empty() || more[0] == b'-'),
    };
    has_version
        && [known[2], known[35], known[52]] == *b"---"
        && is_id(&known[TRACE_ID])
        && is_id(&known[36..52])
        && is_hex(&known[53..])
}

/// Version 4 of RFC 9562.
fn uuid(random: u128) -> HeaderValue {
    let bits = random & !(0xF << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    HeaderValue::from_str(&uuid).expect("digits and dashes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_id_is_a_uuid_of_version_4() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn a_traceparent_is_valid_by_the_grammar_of_w3c() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (parent, valid) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", true),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more", false),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", false),
            ("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(TRACEPARENT, parent.parse().expect("a value"))]);
            assert_eq!(trace_id(&headers), valid.then_some(TRACE), "{parent}");
        }
        let mut twice = HeaderMap::new();
        let parent = HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        twice.append(TRACEPARENT, parent.clone());
        twice.append(TRACEPARENT, parent);
        assert_eq!(trace_id(&twice), None);
    }
}
