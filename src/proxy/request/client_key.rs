//! What tells one client from another, as a request has it.

use std::net::IpAddr;

use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

use crate::config::ClientKey;

/// The key that a request came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeySent<'h> {
    Value(&'h [u8]),
    V4([u8; 4]),
    /// The network that one client usually has to itself.
    V6([u8; 8]),
}

impl<'h> KeySent<'h> {
    /// None when the request has no key, or an empty one. It came from `origin`.
    pub(super) fn in_request(
        key: &ClientKey,
        headers: &'h HeaderMap,
        origin: impl FnOnce() -> IpAddr,
    ) -> Option<KeySent<'h>> {
        match key {
            ClientKey::Header(name) => KeySent::of_header(name, headers),
            ClientKey::Cookie(name) => KeySent::of_cookie(name, headers),
            ClientKey::Address => Some(match origin().to_canonical() {
                IpAddr::V4(address) => KeySent::V4(address.octets()),
                IpAddr::V6(address) => KeySent::V6(((address.to_bits() >> 64) as u64).to_be_bytes()),
            }),
        }
    }

    pub(super) fn of_cookie(name: &str, headers: &'h HeaderMap) -> Option<KeySent<'h>> {
        let mut fields = headers.get_all(COOKIE).iter();
        KeySent::value(fields.find_map(|cookies| cookie(cookies.as_bytes(), name.as_bytes())))
    }

    fn of_header(name: &HeaderName, headers: &'h HeaderMap) -> Option<KeySent<'h>> {
        KeySent::value(headers.get(name).map(HeaderValue::as_bytes))
    }

    fn value(value: Option<&'h [u8]>) -> Option<KeySent<'h>> {
        value.filter(|value| !value.is_empty()).map(KeySent::Value)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            KeySent::Value(value) => value,
            KeySent::V4(octets) => octets,
            KeySent::V6(octets) => octets,
        }
    }
}

/// The value of the cookie `name` in one Cookie field (RFC 6265, 4.2.1); names are told apart by case.
pub(super) fn cookie<'a>(mut cookies: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    loop {
        let (pair, rest) = match memchr(b';', cookies) {
            Some(at) => (&cookies[..at], Some(&cookies[at + 1..])),
            None => (cookies, None),
        };
        if let Some(value) = pair.trim_ascii_start().strip_prefix(name).and_then(|rest| rest.strip_prefix(b"=")) {
            return Some(value.trim_ascii());
        }
        cookies = rest?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent<'h>(key: &ClientKey, headers: &'h HeaderMap, origin: &str) -> Option<KeySent<'h>> {
        KeySent::in_request(key, headers, || origin.parse().expect("an address"))
    }

    #[test]
    fn the_key_is_found_in_any_cookie_field_and_an_empty_one_is_none() {
        let key = ClientKey::Cookie("session".to_owned());
        let expected = Some(KeySent::Value(b"abc"));
        for (cookies, expected) in [
            (&["session=abc"][..], expected),
            (&["theme=dark; session=abc; x=y"], expected),
            (&["theme=dark;session=abc"], expected),
            (&["theme=dark", "session=abc "], expected),
            (&["mysession=no; session=abc"], expected),
            (&["session=abc; session=other"], expected),
            (&["Session=abc"], None),
            (&["sessionx=abc"], None),
            (&["session="], None),
            (&["session"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for cookie in cookies {
                headers.append(COOKIE, cookie.parse().expect("a value"));
            }
            assert_eq!(sent(&key, &headers, "10.0.0.1"), expected, "{cookies:?}");
        }
    }

    #[test]
    fn the_key_may_be_a_header() {
        let name = HeaderName::from_static("x-user");
        let key = ClientKey::Header(name.clone());
        let mut headers = HeaderMap::new();
        assert_eq!(sent(&key, &headers, "10.0.0.1"), None);
        headers.insert(name, HeaderValue::from_bytes(b"\xe9mile").expect("a value"));
        assert_eq!(sent(&key, &headers, "10.0.0.1"), Some(KeySent::Value(b"\xe9mile")));
    }

    #[test]
    fn the_key_may_be_an_address_or_the_network_of_one() {
        let headers = HeaderMap::new();
        for (one, other, are_same) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("2001:db8::1", "2001:db8::2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let [key, other_key] = [one, other].map(|origin| sent(&ClientKey::Address, &headers, origin));
            assert!(key.is_some());
            assert_eq!(key == other_key, are_same, "{one} and {other}");
        }
    }
}
