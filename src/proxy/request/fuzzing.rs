//! What is fuzzed of this room; [`crate::fuzzing`] says how. Here are messages: what is made of bytes is rewritten, written for
//! the other side, and read there by somebody who knows nothing of either. With clients hyper reads and writes, with endpoints
//! we do, and hyper has to agree. [`fields`] has the values of single fields.

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::uri::Scheme as UriScheme;
use http::{Method, StatusCode, Uri, Version, response};
use hyper::ext::ReasonPhrase;

use super::client::{Client, Scheme};
use super::headers::{self, Upgrade, X_FORWARDED_FOR};
use super::{grpc, http2};
use crate::proxy::upstream::fuzzing::{self as http1, Answer};

mod exchange;
mod fields;
mod reader;

pub use fields::fields;

use exchange::{answered, heard, told};
use reader::{From, Message};

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Of one hop, whatever Connection names.
const OF_ONE_HOP: [HeaderName; 4] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
];

/// These are looked at each for itself.
const REWRITTEN: [HeaderName; 11] = [
    CONNECTION,
    CONTENT_LENGTH,
    FORWARDED,
    HOST,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    VIA,
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PROTO,
];

/// As many as a target may have by default.
const TARGET_BYTES: usize = 16 * 1024;

/// The bytes of a client, of which the first says who that is: trusted, by TLS, by HTTP/2. Each of its requests reaches the
/// endpoint as one that everybody reads alike, without what belongs to one hop, or not at all.
pub fn requests(bytes: &[u8]) {
    let [who, bytes @ ..] = bytes else { return };
    let client = Client::fuzzed(who & 1 != 0, if who & 2 == 0 { Scheme::Http } else { Scheme::Https });
    let by_http2 = who & 4 != 0;
    for (mut parts, body, trailers) in heard(bytes) {
        if by_http2 && as_by_http2(&mut parts, &body).is_none() {
            continue;
        }
        let came = parts.clone();
        let Ok(asked) = headers::request(&mut parts, &client, TARGET_BYTES) else { continue };
        check_hop(&came.headers, &parts.headers, asked.upgrade);
        let to_http2 = |to: &[u8]| to.to_ascii_lowercase().starts_with(b"h2");
        assert!(!tokens(&parts.headers, &UPGRADE).any(to_http2), "{:?}", parts.headers);
        assert!(parts.headers.get_all(TE).iter().all(|te| te == "trailers"), "{:?}", parts.headers);
        check_origin(&came, &parts, &client);
        let sent = http1::sent(&parts, &body, trailers.as_ref(), usize::from(who >> 3) + 1);
        let shown = sent.escape_ascii();
        let read = Message::read(&sent, From::Client).unwrap_or_else(|fault| panic!("{fault}: {shown}"));
        assert_eq!((&read.body[..], read.rest), (&body[..], &b""[..]), "{shown}");
        check_line(&came, read.line);
        check_trailers(&parts.headers, trailers.as_ref(), &read.trailers);
        let hosts = read.values("host");
        assert!(hosts.len() == 1 || hosts.is_empty() && came.version == Version::HTTP_10, "{shown}");
        assert!(!hosts.iter().any(|host| host.iter().any(|byte| b" \t,/@?#\\".contains(byte))), "{shown}");
    }
}

/// The bytes of an endpoint; the first says what it was asked. The client gets one answer that everybody reads alike, without
/// what belongs to one hop, or none.
pub fn answers(bytes: &[u8]) {
    let [question, bytes @ ..] = bytes else { return };
    let upgrade = if question & 1 == 0 { Upgrade::NotAsked } else { Upgrade::Asked };
    let method = if question & 2 == 0 { Method::GET } else { Method::HEAD };
    let answer = http1::answered(&method, bytes, usize::from(question >> 2) + 1);
    check_answer(&method, bytes, answer.as_ref());
    let Some(answer) = answer else { return };
    let mut parts = answer.head;
    let body = Bytes::from(answer.body);
    let came = parts.headers.clone();
    grpc::said(&came);
    if headers::response(&mut parts, upgrade).is_err() {
        return;
    }
    let kept = if came.contains_key(UPGRADE) { upgrade } else { Upgrade::NotAsked };
    check_hop(&came, &parts.headers, kept);
    assert!(!parts.headers.contains_key(TRANSFER_ENCODING));
    // What follows is a tunnel, where one was asked for.
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let has_body =
        method != Method::HEAD && parts.status != StatusCode::NOT_MODIFIED && parts.status != StatusCode::NO_CONTENT;
    let told = told(&method, &parts, &body);
    let shown = told.escape_ascii();
    let from = if has_body { From::Endpoint } else { From::EndpointHead };
    let read = Message::read(&told, from).unwrap_or_else(|fault| panic!("{fault}: {shown}"));
    assert_eq!((&read.body[..], read.rest), (&body[..], &b""[..]), "{shown}");
    assert_eq!(read.line.split(' ').nth(1), Some(parts.status.as_str()), "{shown}");
}

/// It is the same in any parts, and hyper makes the same of it.
fn check_answer(method: &Method, bytes: &[u8], answer: Option<&Answer>) {
    let shown = bytes.escape_ascii();
    let whole = http1::answered(method, bytes, bytes.len());
    assert_eq!(format!("{:?}", whole.as_ref()), format!("{answer:?}"), "{shown}");
    let then = |answer: &Answer| (answer.rest.clone(), answer.lasts);
    assert_eq!(whole.as_ref().map(then), answer.map(then), "{shown}");
    let hypers = answered(method, bytes);
    match (answer, hypers) {
        (None, None) => {}
        // hyper does not see a coding beside bytes that are no text. Such an answer reaches no client.
        (_, Some((head, ..)))
            if head.headers.get_all(TRANSFER_ENCODING).iter().any(|coding| coding.to_str().is_err()) => {}
        // hyper takes no switch that was not asked for.
        (Some(answer), _) if answer.head.status == StatusCode::SWITCHING_PROTOCOLS => {}
        (Some(answer), Some((head, body, trailers))) => {
            assert_eq!((answer.head.status, &answer.body[..]), (head.status, &body[..]), "{shown}");
            assert_eq!((all(&answer.head.headers), &answer.trailers), (all(&head.headers), &trailers), "{shown}");
            let reason = |head: &response::Parts| head.extensions.get::<ReasonPhrase>().cloned();
            assert_eq!(reason(&answer.head), reason(&head), "{shown}");
        }
        (Some(_), None) => panic!("hyper does not take {shown}"),
        // hyper ends the lines of trailers, where it forgets them, by a line feed as well.
        (None, Some((head, ..))) if head.headers.contains_key(TRANSFER_ENCODING) && has_bare_line_feed(bytes) => {}
        (None, Some((head, ..))) => panic!("hyper takes {head:?} of {shown}"),
    }
}

fn has_bare_line_feed(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| two[0] != b'\r' && two[1] == b'\n')
}

/// Every field in its order but Connection, of which ours leaves out what nobody wants to know.
fn all(headers: &HeaderMap) -> Vec<(&HeaderName, &HeaderValue)> {
    headers.iter().filter(|(name, _)| **name != CONNECTION).collect()
}

/// The same request as h2 would give it, by whose rules a connection is no matter of fields; none where there is none.
fn as_by_http2(parts: &mut Parts, body: &Bytes) -> Option<()> {
    headers::strip_connection(&mut parts.headers);
    if parts.headers.get(TE).is_some_and(|te| te != "trailers") {
        parts.headers.remove(TE);
    }
    let host = parts.headers.get(HOST)?;
    let uri = Uri::builder()
        .scheme(UriScheme::HTTP)
        .authority(host.as_bytes())
        .path_and_query(parts.uri.path_and_query()?.clone());
    parts.uri = uri.build().ok()?;
    parts.version = Version::HTTP_2;
    http2::as_http1(parts).ok()?;
    if !body.is_empty() && !parts.headers.contains_key(CONTENT_LENGTH) {
        parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Some(())
}

fn check_line(came: &Parts, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else { panic!("{line}") };
    assert!(method == came.method.as_str() && method != "CONNECT" && method != "TRACE", "{line}");
    assert!(target.starts_with('/') || target == "*" && method == "OPTIONS", "{line}");
    assert!(!target.contains('#') && target.bytes().all(|byte| byte > b' ' && byte != 0x7f), "{line}");
    // Of an absolute target the path may be empty.
    if let Some(path) = came.uri.path_and_query().filter(|path| path.as_str().starts_with('/')) {
        assert_eq!(target, path.as_str(), "it is not passed on as it came");
    }
}

/// What belongs to one hop has not passed, and everything else has, as it was.
fn check_hop(came: &HeaderMap, after: &HeaderMap, upgrade: Upgrade) {
    let values =
        |headers: &HeaderMap, name: &HeaderName| headers.get_all(name).iter().cloned().collect::<Vec<HeaderValue>>();
    let named: Vec<HeaderName> =
        tokens(came, &CONNECTION).filter_map(|name| HeaderName::from_bytes(name).ok()).collect();
    for name in came.keys().filter(|name| !REWRITTEN.contains(name)) {
        let passes = !OF_ONE_HOP.contains(name) && !named.contains(name);
        let expected = if passes { values(came, name) } else { Vec::new() };
        assert_eq!(values(after, name), expected, "{name}, and Connection names {named:?}");
    }
    assert!(after.keys().all(|name| REWRITTEN.contains(name) || came.contains_key(name)), "{after:?}");
    let connection = values(after, &CONNECTION);
    match upgrade {
        Upgrade::Asked | Upgrade::Bootstrapped => {
            assert!(connection == ["upgrade"] && after.contains_key(UPGRADE), "{after:?}");
        }
        Upgrade::NotAsked => assert!(connection.is_empty() && !after.contains_key(UPGRADE), "{after:?}"),
    }
    let lengths = values(after, &CONTENT_LENGTH);
    assert!(lengths.len() < 2 && !(lengths.len() == 1 && after.contains_key(TRANSFER_ENCODING)), "{after:?}");
}

/// Behind the body come those that were announced, as they came, and none that would change what the head has said.
fn check_trailers(head: &HeaderMap, came: Option<&HeaderMap>, sent: &[(String, &[u8])]) {
    const OF_A_HEAD: [HeaderName; 5] = [CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING];
    let announced: Vec<HeaderName> =
        tokens(head, &TRAILER).filter_map(|name| HeaderName::from_bytes(name).ok()).collect();
    for (name, value) in sent {
        let name: HeaderName = name.parse().expect("a name");
        assert!(announced.contains(&name) && !OF_A_HEAD.contains(&name), "{name} of {sent:?}");
        let values = came.map(|trailers| trailers.get_all(&name).iter().any(|came| came.as_bytes() == *value));
        assert_eq!(values, Some(true), "{name} of {sent:?}");
    }
}

/// Only a trusted client has said where the request comes from.
fn check_origin(came: &Parts, after: &Parts, client: &Client) {
    let values =
        |parts: &Parts, name: &HeaderName| parts.headers.get_all(name).iter().cloned().collect::<Vec<HeaderValue>>();
    let ours = client.forwarded_for.as_bytes();
    let [chain] = &values(after, &X_FORWARDED_FOR)[..] else { panic!("{after:?}") };
    if client.trusted {
        assert!(chain.as_bytes().ends_with(ours), "{chain:?}");
        assert_eq!(values(after, &FORWARDED), values(came, &FORWARDED));
    } else {
        assert_eq!(chain.as_bytes(), ours);
        assert_eq!(values(after, &X_FORWARDED_PROTO), [client.scheme.name()]);
        assert_eq!(values(after, &X_FORWARDED_HOST), values(after, &HOST));
        assert!(!after.headers.contains_key(FORWARDED));
    }
    let via = values(after, &VIA);
    assert_eq!((via.last(), via.len()), (Some(&client.via), values(came, &VIA).len() + 1));
}

/// The members of a list, as whoever splits bytes sees them.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).into_iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}
