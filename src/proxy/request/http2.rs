//! A request that came by HTTP/2, made as if it had come by HTTP/1.1 (RFC 9113, section 8): so what is held of the one is held
//! of the other. What h2 has let through and is malformed all the same resets the stream.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::Reason;
use h2::ext::Protocol;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::body::{CutOff, ResponseBody};
use super::client::Client;
use super::respond::Refusal;
use super::service::Service;
use super::{headers, stack, websocket};
use crate::proxy::wire::{Progress, Received};

/// Answers the request of one stream. An error is what the stream is reset with. Where an extended CONNECT is answered by 200,
/// the client has a tunnel.
pub(in crate::proxy) async fn answer(
    service: Rc<Service>,
    progress: Rc<Progress>,
    client: Rc<Client>,
    request: Request<Received>,
) -> Result<Response<AnswerBody>, Reason> {
    let (mut parts, body) = request.into_parts();
    let is_large = parts.headers.len() > service.serving().settings().limits.head_fields;
    let kind = as_http1(&mut parts).map_err(|Malformed| Reason::PROTOCOL_ERROR)?;
    if is_large {
        progress.rest(Instant::now());
        let mut refused = stack::refuse_head(&service, &client, &parts, Refusal::LargeRequestHead);
        headers::strip_connection(refused.headers_mut());
        return Ok(refused.map(|body| without_body_for(&parts.method, body)));
    }
    match kind {
        Kind::Body if !body.is_end_stream() && !parts.headers.contains_key(CONTENT_LENGTH) => {
            parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Kind::Body => {}
        Kind::Tunnel => bootstrap(&mut parts.headers, service.random.borrow_mut().u128(..)),
    }
    let method = parts.method.clone();
    let answered = stack::answer(service, progress, client, Request::from_parts(parts, body)).await;
    let Ok(mut response) = answered;
    headers::strip_connection(response.headers_mut());
    if kind == Kind::Tunnel && response.status() == StatusCode::SWITCHING_PROTOCOLS {
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
    }
    Ok(response.map(|body| without_body_for(&method, body)))
}

/// h2 knows of no HEAD here.
fn without_body_for(method: &Method, body: ResponseBody) -> AnswerBody {
    match body {
        ResponseBody::Own(Some(_)) if method == Method::HEAD => AnswerBody(ResponseBody::Own(None)),
        body => AnswerBody(body),
    }
}

/// The body of an answer by HTTP/2.
pub(in crate::proxy) struct AnswerBody(ResponseBody);

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let polled = Pin::new(&mut self.0).poll_frame(cx);
        polled.map_ok(|mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                headers::strip_connection(trailers);
            }
            frame
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// It is no request (RFC 9113, section 8.1.1).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Body,
    /// Whatever a WebSocket consists of.
    Tunnel,
}

pub(super) fn as_http1(parts: &mut Parts) -> Result<Kind, Malformed> {
    let mut kind = Kind::Body;
    if parts.method == Method::CONNECT {
        match parts.extensions.get::<Protocol>() {
            // The target is an authority, and it is refused for what it is.
            None => return Ok(kind),
            // As is another protocol.
            Some(protocol) if websocket::WEBSOCKET != protocol.as_str() => {}
            // It has no body, but what comes on its stream (RFC 9113, section 8.5).
            Some(_) if parts.headers.contains_key(CONTENT_LENGTH) => return Err(Malformed),
            Some(_) => {
                parts.method = Method::GET;
                kind = Kind::Tunnel;
            }
        }
    }
    target(parts)?;
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let padded = |value: &HeaderValue| is_space(value.as_bytes().first()) || is_space(value.as_bytes().last());
    if parts.headers.values().any(padded) {
        return Err(Malformed);
    }
    // h2 has compared the length with the body, where it could read it.
    let is_length = |value: &HeaderValue| !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit);
    if !parts.headers.get_all(CONTENT_LENGTH).iter().all(is_length) {
        return Err(Malformed);
    }
    join_cookies(&mut parts.headers);
    Ok(kind)
}

/// Makes of an extended CONNECT what HTTP/1.1 asks for a WebSocket with. That it is one stays in the extensions.
fn bootstrap(headers: &mut HeaderMap, random: u128) {
    headers.insert(UPGRADE, websocket::WEBSOCKET);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(SEC_WEBSOCKET_KEY, websocket::key(random));
}

/// `:authority` becomes the Host field, which must not name anybody else (8.3.1).
fn target(parts: &mut Parts) -> Result<(), Malformed> {
    let uri = std::mem::take(&mut parts.uri).into_parts();
    let path = uri.path_and_query.ok_or(Malformed)?;
    let valid = path.as_str().starts_with('/') || path == "*" && parts.method == Method::OPTIONS;
    if !valid {
        return Err(Malformed);
    }
    parts.uri = Uri::from(path);
    let Some(authority) = uri.authority else { return Ok(()) };
    let authority = authority.as_str();
    if parts.headers.get_all(HOST).iter().any(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())) {
        return Err(Malformed);
    }
    parts.headers.insert(HOST, HeaderValue::from_str(authority).map_err(|_| Malformed)?);
    Ok(())
}

/// Clients send a field for each cookie (8.2.3), and elsewhere there must be no more than one.
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let cookie = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).expect("values joined by `; ` are a value");
    headers.insert(COOKIE, cookie);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(uri: &str, method: Method, fields: &[(&str, &str)]) -> Result<Parts, Malformed> {
        let mut request = Request::builder().uri(uri).method(method);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        as_http1(&mut parts).map(|_| parts)
    }

    #[test]
    fn the_authority_is_the_host_and_no_host_may_differ() {
        for (fields, fits) in [
            (&[][..], true),
            (&[("host", "A:80")], true),
            (&[("host", "a:80"), ("host", "a:80")], true),
            (&[("host", "a")], false),
            (&[("host", "a:80"), ("host", "b")], false),
            (&[("host", "")], false),
        ] {
            match made("http://a:80/b?c", Method::GET, fields) {
                Ok(parts) => {
                    let hosts: Vec<_> = parts.headers.get_all(HOST).iter().collect();
                    assert!(fits && parts.uri == "/b?c" && hosts == ["a:80"], "{fields:?}: {parts:?}");
                }
                Err(Malformed) => assert!(!fits, "{fields:?}"),
            }
        }
    }

    #[test]
    fn a_path_begins_with_a_slash_or_is_the_asterisk_of_options() {
        for (path, method, fits) in [
            ("/", Method::GET, true),
            ("//", Method::GET, true),
            ("*", Method::OPTIONS, true),
            ("*", Method::GET, false),
            ("a:80", Method::GET, false),
        ] {
            assert_eq!(made(path, method, &[]).is_ok(), fits, "{path}");
        }
    }

    #[test]
    fn crumbs_are_one_cookie_again_and_no_value_may_begin_or_end_with_a_space() {
        let parts = made("/", Method::GET, &[("cookie", "a=1"), ("x", ""), ("cookie", "b=2; c=3")]).expect("it fits");
        assert_eq!(parts.headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
        for value in [" a", "a ", "\ta", "a\t"] {
            assert_eq!(made("/", Method::GET, &[("x", value)]).err(), Some(Malformed), "{value:?}");
        }
    }
}
