//! What tells clients apart, and what keeps one on one version.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::HeaderName;

use super::settings::DAY;
use crate::config::quantity::{duration, quoted};
use crate::config::raw::{RawClientKey, RawIssue, RawSticky, Switch};
use crate::config::report::{Scope, Wrong};
use crate::config::{ClientKey, IssuedCookie, Sticky};

const LONGEST_NAME: usize = 100;

/// Browsers forget a cookie after 400 days at the latest.
const AGES: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(400 * 24 * 3600);

/// Longer than a release: a client that forgets its cookie within one is drawn anew.
const USUAL_AGE: Duration = Duration::from_secs(30 * DAY.as_secs());

pub(super) fn sticky(scope: &mut Scope<'_, '_>, raw: RawSticky) -> Option<Sticky> {
    let RawSticky { cookie, header, address, issue } = raw;
    let key = client_key(scope, RawClientKey { cookie, header, address });
    let issue = match issue {
        None | Some(Switch::Off) => return key.map(Sticky::Own),
        Some(Switch::On) => RawIssue::default(),
        Some(Switch::With(raw)) => raw,
    };
    let max_age = scope.key("issue").optional("maxAge", issue.max_age, USUAL_AGE, duration(AGES));
    match key? {
        ClientKey::Cookie(name) => Some(Sticky::Issued(IssuedCookie { name, max_age: max_age? })),
        ClientKey::Header(_) | ClientKey::Address => {
            let label = "only a cookie can be issued: write `cookie: portcullis`, or remove this";
            scope.misplaced("issue", Wrong::new("needs a `cookie`", label));
            None
        }
    }
}

pub(super) fn client_key(scope: &mut Scope<'_, '_>, raw: RawClientKey) -> Option<ClientKey> {
    const KEYS: [&str; 3] = ["cookie", "header", "address"];
    let written = KEYS.map(|key| scope.report.is_written(&scope.at.key(key)));
    let mut named = KEYS.into_iter().zip(written).filter_map(|(key, written)| written.then_some(key));
    if let (Some(first), Some(second)) = (named.next(), named.next()) {
        let message = format!("a second key beside `{first}`: a client has one");
        scope.misplaced(second, Wrong::new(message, "remove one of them"));
        return None;
    }
    match written {
        [true, ..] => scope.required("cookie", raw.cookie, |name| token(name, "cookie").map(ClientKey::Cookie)),
        [_, true, _] => scope.required("header", raw.header, |name| {
            let name = token(name, "header")?;
            let header = HeaderName::try_from(&name).map_err(|_| not_a_name(&name, "header"))?;
            Ok(ClientKey::Header(header))
        }),
        [_, _, true] => scope.required("address", raw.address, |by_address| {
            let wrong = || Wrong::new("`false` names no key", "write `true`, or another key, like `cookie: session`");
            by_address.then_some(ClientKey::Address).ok_or_else(wrong)
        }),
        [false, false, false] if KEYS.iter().any(|key| scope.report.is_spoiled(&scope.at.key(key))) => None,
        [false, false, false] => {
            let message = "says none of `cookie`, `header` and `address`";
            scope.wrong_here(Wrong::new(message, "write one, like `cookie: session`"));
            None
        }
    }
}

/// RFC 9110 §5.6.2 for both: RFC 6265 §4.1.1 takes the same token for the name of a cookie.
pub(super) fn token(name: String, kind: &str) -> Result<String, Wrong> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_token) {
        return Err(not_a_name(&name, kind));
    }
    Ok(name)
}

pub(super) fn not_a_name(name: &str, kind: &str) -> Wrong {
    let label = format!("letters, digits and `-` or `_`, at most {LONGEST_NAME}");
    Wrong::new(format!("{} is not the name of a {kind}", quoted(name)), label)
}
