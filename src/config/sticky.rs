//! What tells clients apart, and what keeps one where it is.

use std::time::Duration;

use http::HeaderName;

/// What tells one client from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientKey {
    Cookie(String),
    Header(HeaderName),
    /// The one before the first of the proxies that are trusted; of IPv6 its network of 64 bits.
    Address,
}

/// What keeps a client on one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// Whatever the client or the application makes of it.
    Own(ClientKey),
    /// A cookie of ours.
    Issued(IssuedCookie),
}

/// A cookie that a client without one gets while green has a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCookie {
    pub name: String,
    pub max_age: Duration,
}
