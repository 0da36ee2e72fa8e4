//! The time of an answer that has none (RFC 9110, section 6.6.1).

use std::cell::RefCell;
use std::time::Duration;

use http::HeaderValue;
use jiff::Timestamp;
use tokio::time::Instant;

/// Written at most once in a second.
#[derive(Default)]
pub(super) struct Date(RefCell<Option<(Instant, HeaderValue)>>);

const HOLDS: Duration = Duration::from_secs(1);

impl Date {
    pub(super) fn now(&self) -> HeaderValue {
        let mut written = self.0.borrow_mut();
        if written.as_ref().is_some_and(|(at, _)| at.elapsed() >= HOLDS) {
            *written = None;
        }
        written.get_or_insert_with(|| (Instant::now(), write())).1.clone()
    }
}

fn write() -> HeaderValue {
    HeaderValue::try_from(httpdate::fmt_http_date(Timestamp::now().into())).expect("a date is a header value")
}
