//! What is gRPC among the requests (its PROTOCOL-HTTP2.md): what a call came to stands in the trailers of its answer, or in the
//! head of one without a body, whatever version of HTTP carries it.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::gate::GrpcStatus;

/// Whether a client, or an answer, speaks it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Speaks {
    #[default]
    Http,
    Grpc,
}

const MEDIA_TYPE: &[u8] = b"application/grpc";
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// All but what is printable in ASCII; other bytes than those of ASCII always are.
const IN_MESSAGE: AsciiSet = CONTROLS.add(b'%');

impl Speaks {
    /// By the value of a content type: `application/grpc`, with a format or a parameter or without. That of gRPC-Web is another.
    pub(super) fn of_type(value: &HeaderValue) -> Speaks {
        match value.as_bytes().split_at_checked(MEDIA_TYPE.len()) {
            Some((media, rest))
                if media.eq_ignore_ascii_case(MEDIA_TYPE)
                    && matches!(rest.first(), None | Some(b'+' | b';' | b' ')) =>
            {
                Speaks::Grpc
            }
            _ => Speaks::Http,
        }
    }

    pub(super) fn of(headers: &HeaderMap) -> Speaks {
        headers.get(CONTENT_TYPE).map_or(Speaks::Http, Speaks::of_type)
    }

    /// What a client is told in the place of `status`; none where it is told by that.
    pub(super) fn instead_of(self, status: StatusCode) -> Option<GrpcStatus> {
        match self {
            Speaks::Http => None,
            Speaks::Grpc => Some(GrpcStatus::of_http(status.as_u16())),
        }
    }
}

/// What the head of an answer, or its trailers, say of the call.
pub(super) fn said(fields: &HeaderMap) -> Option<GrpcStatus> {
    fields.get(STATUS).map(|status| GrpcStatus::of_field(status.as_bytes()))
}

/// Makes an answer of ours one that is nothing but trailers.
pub(super) fn say(headers: &mut HeaderMap, status: GrpcStatus, message: &str) {
    let number = status.number().expect("what we say is a code");
    let message = utf8_percent_encode(message, &IN_MESSAGE).to_string();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(STATUS, HeaderValue::from(number));
    headers.insert(MESSAGE, HeaderValue::try_from(message).expect("what is printable in ASCII is a value"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_its_media_type_in_whatever_form() {
        for (value, expected) in [
            ("application/grpc", Speaks::Grpc),
            ("application/grpc+proto", Speaks::Grpc),
            ("Application/GRPC; charset=utf-8", Speaks::Grpc),
            ("application/grpc ;a=b", Speaks::Grpc),
            ("application/grpc-web", Speaks::Http),
            ("application/grpc-web+proto", Speaks::Http),
            ("application/grpcx", Speaks::Http),
            ("application/json", Speaks::Http),
            ("application/json; application/grpc", Speaks::Http),
            ("", Speaks::Http),
        ] {
            assert_eq!(Speaks::of_type(&HeaderValue::from_static(value)), expected, "{value}");
        }
    }

    #[test]
    fn a_message_is_percent_encoded() {
        let mut headers = HeaderMap::new();
        say(&mut headers, GrpcStatus::Unavailable, "100 % zu früh\n");
        let said = ["content-type", "grpc-status", "grpc-message"].map(|name| headers[name].to_str().expect("ASCII"));
        assert_eq!(said, ["application/grpc", "14", "100 %25 zu fr%C3%BCh%0A"]);
    }
}
