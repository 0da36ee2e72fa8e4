//! Who may choose a version, and how a value says so: a plain one from networks that are trusted, or one that is signed.
//!
//! A signed value is `green:EXPIRY:SIGNATURE`: until when it holds, in seconds since 1970, and the HMAC-SHA256, in base64url without
//! padding, of five lines: `portcullis override`, the service, the name of the version, its role and the expiry. So it is of no
//! use for another service, nor for the green that comes next.

use data_encoding::BASE64URL_NOPAD;
use http::HeaderName;
use ipnet::IpNet;
use ring::hmac;

use crate::gate::policy::Seen;
use crate::gate::{ByVersion, Version};

/// How a client may choose a version.
#[derive(Clone, Debug)]
pub struct Overriding {
    pub header: Option<HeaderName>,
    pub cookie: Option<String>,
    /// From there a plain value is enough.
    pub from: Vec<IpNet>,
    /// None: no value is signed.
    pub key: Option<OverrideKey>,
    /// What of the gate sees such requests.
    pub seen: Seen,
}

/// What signs values for one service.
#[derive(Clone, Debug)]
pub struct OverrideKey {
    key: hmac::Key,
    service: String,
}

/// Why a value is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// Neither a version nor a signed one.
    Malformed,
    /// It is not signed, and comes from anywhere.
    Network,
    /// Signed by somebody else, or for another service or version.
    Forged,
    Expired,
}

const PURPOSE: &str = "portcullis override";

impl Overriding {
    /// The version that `value` chooses; `is_near` where it comes from one of the networks. `names` are those of the versions.
    pub fn read(
        &self,
        value: &[u8],
        is_near: bool,
        names: ByVersion<&str>,
        now_seconds: i64,
    ) -> Result<Version, NotTaken> {
        let mut parts = value.split(|byte| *byte == b':');
        let role = |part: Option<&[u8]>| Version::BOTH.into_iter().find(|role| part == Some(role.name().as_bytes()));
        let version = role(parts.next()).ok_or(NotTaken::Malformed)?;
        let (expiry, signature) = match (parts.next(), parts.next(), parts.next()) {
            (None, None, None) if is_near => return Ok(version),
            (None, None, None) => return Err(NotTaken::Network),
            (Some(expiry), Some(signature), None) => (expiry, signature),
            _ => return Err(NotTaken::Malformed),
        };
        let signature = BASE64URL_NOPAD.decode(signature).map_err(|_| NotTaken::Malformed)?;
        let digits = std::str::from_utf8(expiry).ok().filter(|_| expiry.iter().all(u8::is_ascii_digit));
        let expiry = digits.and_then(|digits| digits.parse::<i64>().ok()).ok_or(NotTaken::Malformed)?;
        let key = self.key.as_ref().ok_or(NotTaken::Forged)?;
        let message = key.message(version, names.of(version), expiry);
        hmac::verify(&key.key, message.as_bytes(), &signature).map_err(|_| NotTaken::Forged)?;
        if expiry <= now_seconds { Err(NotTaken::Expired) } else { Ok(version) }
    }
}

impl OverrideKey {
    pub(super) fn new(secret: &str, service: String) -> OverrideKey {
        OverrideKey { key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), service }
    }

    /// A value that chooses the version with this role and name until `expiry`, in seconds since 1970.
    pub fn sign(&self, role: Version, name: &str, expiry: i64) -> String {
        let signature = hmac::sign(&self.key, self.message(role, name, expiry).as_bytes());
        format!("{}:{expiry}:{}", role.name(), BASE64URL_NOPAD.encode(signature.as_ref()))
    }

    /// No name holds a line's end.
    fn message(&self, role: Version, name: &str, expiry: i64) -> String {
        format!("{PURPOSE}\n{}\n{name}\n{}\n{expiry}", self.service, role.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: ByVersion<&str> = ByVersion { blue: "v1", green: "v2" };
    const NOW: i64 = 1_800_000_000;

    fn overriding(secret: &str) -> Overriding {
        let key = Some(OverrideKey::new(secret, "shop".to_owned()));
        Overriding { header: None, cookie: None, from: Vec::new(), key, seen: Seen::default() }
    }

    fn read(value: &str, is_near: bool) -> Result<Version, NotTaken> {
        overriding("0123456789abcdef").read(value.as_bytes(), is_near, NAMES, NOW)
    }

    #[test]
    fn a_plain_value_counts_from_near_and_a_signed_one_from_everywhere() {
        assert_eq!([read("green", true), read("blue", true)], [Ok(Version::Green), Ok(Version::Blue)]);
        assert_eq!(read("green", false), Err(NotTaken::Network));
        let key = overriding("0123456789abcdef").key.expect("there is one");
        for near in [true, false] {
            assert_eq!(read(&key.sign(Version::Green, "v2", NOW + 1), near), Ok(Version::Green));
            assert_eq!(read(&key.sign(Version::Blue, "v1", NOW + 1), near), Ok(Version::Blue));
        }
    }

    #[test]
    fn what_is_forged_expired_or_for_somebody_else_is_not_taken() {
        let key = overriding("0123456789abcdef").key.expect("there is one");
        let other_service = OverrideKey { service: "cart".to_owned(), ..key.clone() };
        let other_key = overriding("0123456789abcdeg").key.expect("there is one");
        let good = key.sign(Version::Green, "v2", NOW + 1);
        let later = good.replace(&(NOW + 1).to_string(), &(NOW + 2).to_string());
        for (value, expected) in [
            (key.sign(Version::Green, "v2", NOW), NotTaken::Expired),
            (key.sign(Version::Green, "v3", NOW + 1), NotTaken::Forged),
            (other_service.sign(Version::Green, "v2", NOW + 1), NotTaken::Forged),
            (other_key.sign(Version::Green, "v2", NOW + 1), NotTaken::Forged),
            (later, NotTaken::Forged),
            (good.replace("green", "blue"), NotTaken::Forged),
            (good[..good.len() - 4].to_owned(), NotTaken::Forged),
            (format!("{good}:"), NotTaken::Malformed),
            (format!("green:{}:", NOW + 1), NotTaken::Forged),
            (format!("green:+{}:AAAA", NOW + 1), NotTaken::Malformed),
            ("green:".to_owned(), NotTaken::Malformed),
            ("Green".to_owned(), NotTaken::Malformed),
            (String::new(), NotTaken::Malformed),
        ] {
            assert_eq!(read(&value, true), Err(expected), "{value}");
        }
    }

    /// What anybody can make with openssl, as docs/clients.md shows it.
    #[test]
    fn a_value_is_what_others_make_it() {
        let key = overriding("0123456789abcdef").key.expect("there is one");
        assert_eq!(key.sign(Version::Green, "v2", 7), "green:7:GOvfnGuM5CiJB0tsbUlBhKkS6SPBcreFBtMtVTG1tHU");
    }
}
