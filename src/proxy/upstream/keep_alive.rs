//! For how long an endpoint keeps a connection, as far as its answer says: `Keep-Alive: timeout=5`, and whether it may end
//! with the answer.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, HeaderName, StatusCode};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// What an answer says, if it says so.
pub(super) fn promised(answer: &HeaderMap) -> Option<Duration> {
    // A look at each name is cheaper than the hash of this one.
    let (_, field) = answer.iter().find(|(name, _)| *name == KEEP_ALIVE)?;
    kept_for(field.as_bytes())
}

/// Whether the head of an answer without a body tells that there is none: by its status, a length or a coding.
pub(super) fn tells_its_end(answer: &Parts) -> bool {
    let by_status =
        matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) || answer.status.is_informational();
    by_status || answer.headers.contains_key(CONTENT_LENGTH) || answer.headers.contains_key(TRANSFER_ENCODING)
}

/// The `timeout` of a Keep-Alive field, in whole seconds (draft-thomson-hybi-http-timeout, section 2.1).
fn kept_for(field: &[u8]) -> Option<Duration> {
    let parameter = |part: &[u8]| -> Option<u64> {
        let (name, value) = part.split_at(part.iter().position(|byte| *byte == b'=')?);
        let is_timeout = name.trim_ascii().eq_ignore_ascii_case(b"timeout");
        std::str::from_utf8(value[1..].trim_ascii()).ok()?.parse().ok().filter(|_| is_timeout)
    };
    field.split(|byte| *byte == b',').find_map(parameter).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_an_endpoint_keeps_a_connection_is_found_and_what_is_none_is_none() {
        for (field, seconds) in [
            ("timeout=5", Some(5)),
            ("timeout=5, max=1000", Some(5)),
            ("max=1000,Timeout = 72", Some(72)),
            ("max=1000", None),
            ("timeout=", None),
            ("timeout=-1", None),
            ("timeout=99999999999999999999", None),
            ("timeout", None),
            ("", None),
        ] {
            assert_eq!(kept_for(field.as_bytes()), seconds.map(Duration::from_secs), "{field}");
        }
    }
}
