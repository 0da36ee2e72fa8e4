//! What is fuzzed of the admin API; [`crate::fuzzing`] says how.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;

use super::api::{Because, SetWeight, Withdraw};
use super::body::parse;
use super::problem::Problem;
use super::{signals, versions};

/// A body of any request: what is not refused is one object and no more.
pub(crate) fn body(bytes: &[u8]) {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let weight: Result<SetWeight, Problem> = parse(&headers, bytes);
    let taken = [
        weight.is_ok(),
        parse::<Because>(&headers, bytes).is_ok(),
        parse::<Withdraw>(&headers, bytes).is_ok(),
        versions::fuzzed(&headers, bytes),
    ];
    let whole = parse::<Value>(&headers, bytes);
    assert!(whole.is_ok() || !taken.contains(&true));
    let Ok(whole) = whole else { return };
    assert!(whole.is_object());
    if let Ok((_, sentence)) = signals::posted(whole) {
        assert!(signals::shortened(&sentence, 500).chars().count() <= 501);
    }
    assert!(parse::<Value>(&HeaderMap::new(), bytes).is_err(), "a page from elsewhere can send any other type");
}
