//! Requests that ask for a version by themselves. What they ask with is taken out where they may not.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use super::client::Client;
use super::service::{Service, Serving};
use crate::config::{NotTaken, Overriding};
use crate::gate::{ByVersion, Version};
use crate::measure::Overridden;

impl From<NotTaken> for Overridden {
    fn from(not: NotTaken) -> Overridden {
        match not {
            NotTaken::Malformed => Overridden::Malformed,
            NotTaken::Network => Overridden::Network,
            NotTaken::Forged => Overridden::Forged,
            NotTaken::Expired => Overridden::Expired,
        }
    }
}

impl Service {
    /// The version that a request with these fields asks for, if it may: first by the header, then by the cookie.
    pub(super) fn asked_for(
        &self,
        serving: &Serving,
        overriding: &Overriding,
        headers: &mut HeaderMap,
        client: &Client,
    ) -> Option<Version> {
        let by_header = overriding.header.as_ref().and_then(|name| {
            let mut values = headers.get_all(name).iter();
            let value = values.next()?;
            let taken = match values.next() {
                Some(_) => Err(NotTaken::Malformed),
                None => self.read(serving, overriding, headers, value.as_bytes(), client),
            };
            let version = self.counted(taken);
            if version.is_none() {
                headers.remove(name);
            }
            version
        });
        let by_cookie = overriding.cookie.as_ref().map(String::as_bytes).and_then(|name| {
            let pairs = headers.get_all(COOKIE).iter().flat_map(|all| all.as_bytes().split(|byte| *byte == b';'));
            let mut values = pairs.filter_map(|pair| value_of(pair, name));
            let value = values.next()?;
            let taken = match values.next() {
                Some(_) => Err(NotTaken::Malformed),
                None => self.read(serving, overriding, headers, value, client),
            };
            let version = self.counted(taken);
            if version.is_none() {
                strip_cookie(headers, name);
            }
            version
        });
        by_header.or(by_cookie)
    }

    fn read(
        &self,
        serving: &Serving,
        overriding: &Overriding,
        headers: &HeaderMap,
        value: &[u8],
        client: &Client,
    ) -> Result<Version, NotTaken> {
        let origin = serving.origin(headers, client);
        let is_near = overriding.from.iter().any(|network| network.contains(&origin));
        let (roles, names) = (self.table().roles, serving.names());
        let names = ByVersion::build(|version| &**names.of(roles.section(version)));
        overriding.read(value, is_near, names, jiff::Timestamp::now().as_second())
    }

    fn counted(&self, taken: Result<Version, NotTaken>) -> Option<Version> {
        self.records.overridden(taken.map_or_else(Overridden::from, |_| Overridden::Allowed));
        taken.ok()
    }
}

/// That of the cookie `name`, if this is it (RFC 6265, 4.2.1).
fn value_of<'p>(pair: &'p [u8], name: &[u8]) -> Option<&'p [u8]> {
    pair.trim_ascii_start().strip_prefix(name)?.strip_prefix(b"=").map(<[u8]>::trim_ascii)
}

/// Takes out every cookie of this name, and leaves the others as they came.
fn strip_cookie(headers: &mut HeaderMap, name: &[u8]) {
    let kept = |all: &HeaderValue| {
        let pairs: Vec<&[u8]> =
            all.as_bytes().split(|byte| *byte == b';').filter(|pair| value_of(pair, name).is_none()).collect();
        HeaderValue::from_bytes(pairs.join(&b";"[..]).trim_ascii()).expect("parts of a value are a value")
    };
    let all: Vec<HeaderValue> = headers.get_all(COOKIE).iter().map(kept).filter(|kept| !kept.is_empty()).collect();
    headers.remove(COOKIE);
    for kept in all {
        headers.append(COOKIE, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cookie_goes_and_the_others_stay() {
        for (before, after) in [
            (&["a=1; v=green; b=2"][..], &["a=1; b=2"][..]),
            (&["v=green"], &[]),
            (&["v=green; v=blue", "a=1"], &["a=1"]),
            (&["xv=1; v =2; av=v=3"], &["xv=1; v =2; av=v=3"]),
            (&["v=green; a=1"], &["a=1"]),
        ] {
            let mut headers = HeaderMap::new();
            before.iter().for_each(|all| _ = headers.append(COOKIE, HeaderValue::from_static(all)));
            strip_cookie(&mut headers, b"v");
            assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), after, "{before:?}");
        }
    }
}
