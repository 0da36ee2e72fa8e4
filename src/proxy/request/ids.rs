//! The names that a request has beyond this proxy: its id, and the trace that it belongs to.
//!
//! Where no span of ours is recorded, who comes with a traceparent keeps it as it is, so that the span of the caller stays the
//! parent of the endpoint's.

use std::io::Write;
use std::ops::Range;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::client::Client;
use super::service::Service;
use crate::config::{RequestIds, TraceContext};
use crate::live::Settings;
use crate::uuid::uuid;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Hexadecimal digits, within a traceparent of version 00 and of those to come (W3C Trace Context, 3.2).
const TRACE_ID: Range<usize> = 3..35;
const SPAN_ID: Range<usize> = 36..52;
const FLAGS: Range<usize> = 53..55;

/// A traceparent of version 00.
const TRACEPARENT_BYTES: usize = 55;

/// Of the flags, the first says that the caller records its span.
const SAMPLED: u8 = 1;

/// What becomes of the trace that a request belongs to.
#[derive(Clone, Copy)]
pub(super) enum Trace {
    /// It goes on as it came, if there is one.
    PassedOn,
    /// Endpoints are told that this is their caller.
    Told(Context),
}

/// Our place in a trace.
#[derive(Clone, Copy)]
pub(super) struct Context {
    pub trace: u128,
    pub span: u64,
    /// None where the trace begins here.
    pub parent: Option<u64>,
    flags: u8,
}

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
            let own = || {
                let uuid = uuid(service.random.borrow_mut().u128(..));
                HeaderValue::try_from(uuid).expect("digits and dashes")
            };
            let trusted = came.get(X_REQUEST_ID).filter(|id| client.trusted && !id.is_empty());
            Some(trusted.cloned().unwrap_or_else(own))
        }
    }
}

/// The trace of a request that came with `headers`. Its caller says whether it is sampled, and of one that begins here its id.
pub(super) fn trace(service: &Service, settings: &Settings, headers: &HeaderMap) -> Trace {
    if settings.trace_context == TraceContext::PassedOn {
        return Trace::PassedOn;
    }
    let parent = traceparent(headers);
    if parent.is_some_and(|parent| settings.otlp.is_none() || !is_sampled(parent)) {
        return Trace::PassedOn;
    }
    let mut random = service.random.borrow_mut();
    let span = random.u64(1..);
    Trace::Told(match parent {
        Some(parent) => Context {
            trace: u128::from_str_radix(&parent[TRACE_ID], 16).expect("it is valid"),
            span,
            parent: u64::from_str_radix(&parent[SPAN_ID], 16).ok(),
            flags: SAMPLED,
        },
        None => begun(random.u128(1..), span, settings),
    })
}

/// A trace that begins here, with ids that are not of zeros alone, which would be invalid.
fn begun(trace: u128, span: u64, settings: &Settings) -> Context {
    let sampled = settings.otlp.as_ref().is_some_and(|otlp| otlp.sample.takes(trace));
    Context { trace, span, parent: None, flags: if sampled { SAMPLED } else { 0 } }
}

impl Trace {
    /// Our place in it, where our span is recorded.
    pub(super) fn sampled(self) -> Option<Context> {
        match self {
            Trace::Told(context) if context.flags & SAMPLED == SAMPLED => Some(context),
            Trace::Told(_) | Trace::PassedOn => None,
        }
    }

    /// Tells endpoints of it, by the `headers` that go to them.
    pub(super) fn tell(self, service: &Service, settings: &Settings, headers: &mut HeaderMap) {
        let context = match self {
            Trace::Told(context) => context,
            // A client may have it taken out as a field of one hop.
            Trace::PassedOn
                if settings.trace_context == TraceContext::Ensured && !headers.contains_key(TRACEPARENT) =>
            {
                let mut random = service.random.borrow_mut();
                Context { trace: random.u128(1..), span: random.u64(1..), parent: None, flags: 0 }
            }
            Trace::PassedOn => return,
        };
        headers.insert(TRACEPARENT, context.written());
        if context.parent.is_none() {
            // What it says belongs to a trace that cannot be told (4.3).
            headers.remove(TRACESTATE);
        }
    }
}

impl Context {
    fn written(&self) -> HeaderValue {
        let Context { trace, span, flags, .. } = self;
        let mut text = [0; TRACEPARENT_BYTES];
        write!(&mut text[..], "00-{trace:032x}-{span:016x}-{flags:02x}").expect("it is as long as that");
        HeaderValue::from_bytes(&text).expect("digits and dashes")
    }
}

/// Of the trace that a request belongs to, by a valid traceparent.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    traceparent(headers).map(|parent| &parent[TRACE_ID])
}

/// The only one, where it is valid.
fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
    parent.to_str().ok().filter(|parent| is_valid(parent.as_bytes()))
}

fn is_sampled(parent: &str) -> bool {
    u8::from_str_radix(&parent[FLAGS], 16).is_ok_and(|flags| flags & SAMPLED == SAMPLED)
}

fn is_valid(parent: &[u8]) -> bool {
    let is_hex = |digits: &[u8]| digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |digits: &[u8]| is_hex(digits) && digits.iter().any(|digit| *digit != b'0');
    let Some((known, more)) = parent.split_at_checked(TRACEPARENT_BYTES) else { return false };
    let has_version = match &known[..2] {
        b"00" => more.is_empty(),
        b"ff" => false,
        version => is_hex(version) && (more.is_empty() || more[0] == b'-'),
    };
    has_version
        && [known[2], known[35], known[52]] == *b"---"
        && is_id(&known[TRACE_ID])
        && is_id(&known[SPAN_ID])
        && is_hex(&known[FLAGS])
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for (flags, sampled) in [("00", false), ("01", true), ("02", false), ("03", true), ("fe", false), ("ff", true)]
        {
            let parent = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
            assert_eq!(is_sampled(&parent), sampled, "{flags}");
        }
        let mut twice = HeaderMap::new();
        let parent = HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        twice.append(TRACEPARENT, parent.clone());
        twice.append(TRACEPARENT, parent);
        assert_eq!(trace_id(&twice), None);
    }
}
