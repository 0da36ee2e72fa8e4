//! The handshake of a WebSocket (RFC 6455, section 4), which HTTP/2 does without (RFC 8441, section 5): where the sides of the
//! proxy speak differently, it is asked or answered in the place of the one that does not.

use data_encoding::BASE64;
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{Method, Request, response};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use super::headers::Upgrade;
use super::respond::Refusal;
use crate::proxy::upstream::{Carrier, Carries};
use crate::proxy::wire::RequestBody;

pub(super) const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client asks for beside an answer.
pub(super) enum Wish {
    Nothing,
    Upgrade,
    /// With what the endpoint has to answer.
    WebSocket {
        asked: Upgrade,
        accept: HeaderValue,
    },
}

impl Wish {
    pub(super) fn of(asked: Upgrade, request: &Request<RequestBody>) -> Wish {
        if asked == Upgrade::NotAsked {
            return Wish::Nothing;
        }
        match request.headers().get(SEC_WEBSOCKET_KEY) {
            Some(key) if is_handshake(request) => Wish::WebSocket { asked, accept: accept(key) },
            Some(_) | None => Wish::Upgrade,
        }
    }

    pub(super) const fn carries(&self) -> Carries {
        match self {
            Wish::Nothing => Carries::Requests,
            Wish::Upgrade => Carries::Upgrade,
            Wish::WebSocket { .. } => Carries::WebSocket,
        }
    }

    /// Whether it came by HTTP/2, and so has no word for an upgrade.
    pub(super) fn is_bootstrapped(&self) -> bool {
        matches!(self, Wish::WebSocket { asked: Upgrade::Bootstrapped, .. })
    }

    /// Makes the head of an endpoint that agrees one that the client can take for that.
    pub(super) fn agreed(&self, head: &mut response::Parts, carrier: &Carrier) -> Result<(), Refusal> {
        match (self, carrier) {
            (Wish::Nothing, _) => Err(Refusal::Invalid),
            (Wish::WebSocket { accept, .. }, Carrier::Http2(_)) => {
                head.headers.insert(SEC_WEBSOCKET_ACCEPT, accept.clone());
                Ok(())
            }
            // The client has no key to check it with.
            (Wish::WebSocket { asked: Upgrade::Bootstrapped, accept }, Carrier::Http1(_)) => {
                let agrees = is_websocket(&head.headers) && head.headers.get(SEC_WEBSOCKET_ACCEPT) == Some(accept);
                if agrees { Ok(()) } else { Err(Refusal::Invalid) }
            }
            (Wish::WebSocket { .. } | Wish::Upgrade, _) => Ok(()),
        }
    }
}

/// Sixteen bytes of no other use (RFC 6455, section 4.1).
pub(super) fn key(random: u128) -> HeaderValue {
    HeaderValue::try_from(BASE64.encode(&random.to_be_bytes())).expect("base64 is a header value")
}

/// What answers a key.
fn accept(key: &HeaderValue) -> HeaderValue {
    let mut digest = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key.as_bytes());
    digest.update(GUID);
    HeaderValue::try_from(BASE64.encode(digest.finish().as_ref())).expect("base64 is a header value")
}

fn is_handshake(request: &Request<RequestBody>) -> bool {
    request.method() == Method::GET && request.body().is_empty() && is_websocket(request.headers())
}

/// Whether nothing else is asked for, or agreed on.
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(UPGRADE).iter();
    let first = protocols.next();
    first.is_some_and(|first| first.as_bytes().eq_ignore_ascii_case(b"websocket")) && protocols.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_answer_of_the_example_and_is_of_sixteen_bytes() {
        let example = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&example), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "RFC 6455, section 1.3");
        assert_eq!(key(1), "AAAAAAAAAAAAAAAAAAAAAQ==");
    }
}
