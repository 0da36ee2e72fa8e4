//! The name by which this process is known in Via (RFC 9110, section 7.6.3), and whether a request has passed it before.
//!
//! Each process has a name of its own, made at random when it is first asked for. Proxies in a row, of one service or of
//! several, take each other for others so, and nothing has to be configured; a request that goes round among the replicas
//! of one proxy is told when it comes to one of them again.

use std::sync::LazyLock;

use http::header::VIA;
use http::{HeaderMap, HeaderValue};
use memchr::memmem::Finder;

/// What Via says of a request that came to us by this version of HTTP.
pub(super) fn by_http1() -> HeaderValue {
    OURS.by_http1.clone()
}

pub(super) fn by_http2() -> HeaderValue {
    OURS.by_http2.clone()
}

/// It has been sent on by this process already.
pub(super) fn names_us(headers: &HeaderMap) -> bool {
    // Nobody else has the name, wherever it stands.
    headers.get_all(VIA).iter().any(|via| OURS.name.find(via.as_bytes()).is_some())
}

struct Ours {
    name: Finder<'static>,
    by_http1: HeaderValue,
    by_http2: HeaderValue,
}

/// Static text, made once: its copies count no references, which workers would share.
static OURS: LazyLock<Ours> = LazyLock::new(|| {
    let name: &'static str = format!("portcullis-{:016x}", fastrand::u64(..)).leak();
    let by = |version: &str| HeaderValue::from_static(format!("{version} {name}").leak());
    Ours { name: Finder::new(name), by_http1: by("1.1"), by_http2: by("2.0") }
});
