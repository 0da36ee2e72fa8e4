//! What keeps a client on one version.

use http::HeaderName;

use crate::config::Sticky;
use crate::config::quantity::quoted;
use crate::config::raw::RawSticky;
use crate::config::report::{Scope, Wrong};

const LONGEST_NAME: usize = 100;

pub(super) fn sticky(scope: &mut Scope<'_, '_>, raw: RawSticky) -> Option<Sticky> {
    let [cookie, header] = ["cookie", "header"].map(|key| scope.report.is_written(&scope.at.key(key)));
    match (cookie, header) {
        (true, true) => {
            let label = "remove one of them";
            scope.misplaced("header", Wrong::new("a second key beside `cookie`: a client has one", label));
            None
        }
        (true, false) => scope.required("cookie", raw.cookie, |name| {
            let name = token(name, "cookie")?;
            Ok(Sticky::Cookie(name))
        }),
        (false, true) => scope.required("header", raw.header, |name| {
            let name = token(name, "header")?;
            let header = HeaderName::try_from(&name).map_err(|_| not_a_name(&name, "header"))?;
            Ok(Sticky::Header(header))
        }),
        (false, false) if ["cookie", "header"].iter().any(|key| scope.report.is_spoiled(&scope.at.key(key))) => None,
        (false, false) => {
            let wrong = Wrong::new("says neither `cookie` nor `header`", "write one, like `cookie: session`");
            scope.wrong_here(wrong);
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
