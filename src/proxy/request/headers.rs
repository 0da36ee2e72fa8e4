//! The fields that belong to one hop, and those that tell the service where a request came from.

use h2::ext::Protocol;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Uri, Version, response};

use super::client::Client;
use super::grpc::Speaks;
use super::respond::Refusal;
use super::via;
use super::websocket::is_websocket;
use crate::proxy::upstream::Endpoint;
use crate::proxy::wire::{self, RequestBody};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What a Connection field must not take out: it would change what the request is or says of its way.
const KEPT: [HeaderName; 8] =
    [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, FORWARDED, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, VIA];

/// Numbers with so many fit into 64 bits.
const LENGTH_DIGITS: usize = 19;

/// Those that [`came_from`] writes.
const FIELDS_ADDED: usize = 4;

/// Whether the client asked to leave HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    NotAsked,
    Asked,
    /// By an extended CONNECT of HTTP/2 (RFC 8441).
    Bootstrapped,
}

/// What a client asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub upgrade: Upgrade,
    pub speaks: Speaks,
}

/// Which fields a head has that need work: found in one pass, so that a plain request pays for one.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of six; they change one by one")]
struct Found {
    speaks: Speaks,
    /// Plain if every one [`names_no_field`].
    connection: Seen,
    /// Plain if there is one, and it [`is_plain_length`].
    length: Seen,
    te: bool,
    transfer_encoding: bool,
    upgrade: bool,
    hop: bool,
    forwarded: bool,
    via: bool,
}

/// Whether a field is there, and asks for more than a look.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Seen {
    #[default]
    No,
    Plain,
    Odd,
}

impl Found {
    fn of(headers: &HeaderMap) -> Found {
        let mut found = Found::default();
        headers.iter().for_each(|(name, value)| found.note(name, value));
        found
    }

    fn note(&mut self, name: &HeaderName, value: &HeaderValue) {
        match *name {
            CONTENT_TYPE => self.speaks = Speaks::of_type(value),
            CONNECTION if self.connection != Seen::Odd && names_no_field(value) => self.connection = Seen::Plain,
            CONNECTION => self.connection = Seen::Odd,
            CONTENT_LENGTH if self.length == Seen::No && is_plain_length(value) => self.length = Seen::Plain,
            CONTENT_LENGTH => self.length = Seen::Odd,
            TE => self.te = true,
            UPGRADE => self.upgrade = true,
            VIA => self.via = true,
            FORWARDED => self.forwarded = true,
            TRANSFER_ENCODING => self.transfer_encoding = true,
            PROXY_AUTHORIZATION | PROXY_AUTHENTICATE => self.hop = true,
            ref name if *name == KEEP_ALIVE || *name == PROXY_CONNECTION => self.hop = true,
            _ => {}
        }
    }
}

/// Makes the client's head the one for the endpoint. Its target may have so many bytes.
pub(super) fn request(parts: &mut Parts, client: &Client, target_bytes: usize) -> Result<Asked, Refusal> {
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        // RFC 9220, section 3, of a protocol that is not known.
        let is_extended = parts.extensions.get::<Protocol>().is_some();
        return Err(if is_extended { Refusal::Upgrade } else { Refusal::Method });
    }
    let found = Found::of(&parts.headers);
    if found.via && via::names_us(&parts.headers) {
        return Err(Refusal::Loop);
    }
    target(parts, target_bytes)?;
    let host = host(parts)?;
    if found.transfer_encoding {
        if !is_only_chunked(&parts.headers) {
            return Err(Refusal::TransferEncoding);
        }
        // hyper writes what stands here, and drops the body of a GET that has neither this nor a length.
        parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if found.length == Seen::Odd {
        write_length(&mut parts.headers);
    }
    let takes_trailers = found.te && tokens(&parts.headers, TE).any(|token| token.eq_ignore_ascii_case(b"trailers"));
    let upgrade = if found.upgrade { asked_upgrade(parts) } else { Upgrade::NotAsked };
    strip_named(&mut parts.headers, found.connection);
    if found.hop {
        strip_hop(&mut parts.headers);
    }
    if takes_trailers {
        parts.headers.insert(TE, HeaderValue::from_static("trailers"));
    } else if found.te {
        parts.headers.remove(TE);
    }
    match upgrade {
        Upgrade::Asked | Upgrade::Bootstrapped => {
            parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        }
        Upgrade::NotAsked if found.upgrade => _ = parts.headers.remove(UPGRADE),
        Upgrade::NotAsked => {}
    }
    came_from(parts, client, host, &found);
    parts.version = Version::HTTP_11;
    Ok(Asked { upgrade, speaks: found.speaks })
}

/// Makes the endpoint's head the one for the client.
pub(super) fn response(parts: &mut response::Parts, upgrade: Upgrade) -> Result<Speaks, Refusal> {
    let found = Found::of(&parts.headers);
    if found.transfer_encoding {
        if found.length != Seen::No || !is_only_chunked(&parts.headers) {
            return Err(Refusal::Invalid);
        }
        parts.headers.remove(TRANSFER_ENCODING);
    }
    if found.length == Seen::Odd {
        write_length(&mut parts.headers);
    }
    let kept = (upgrade != Upgrade::NotAsked).then(|| parts.headers.get(UPGRADE).cloned()).flatten();
    strip_named(&mut parts.headers, found.connection);
    if found.hop {
        strip_hop(&mut parts.headers);
    }
    if found.upgrade {
        parts.headers.remove(UPGRADE);
    }
    if let Some(protocol) = kept {
        parts.headers.insert(UPGRADE, protocol);
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    parts.version = Version::HTTP_11;
    Ok(found.speaks)
}

/// Whether the client, or one before a trusted proxy, came by TLS. Of the head that goes to the endpoint.
pub(super) fn came_by_tls(headers: &HeaderMap) -> bool {
    headers.get(X_FORWARDED_PROTO).is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// What the sides of a tunnel have agreed on.
pub(super) fn protocol(answer: &HeaderMap) -> wire::Protocol {
    if is_websocket(answer) { wire::Protocol::WebSocket } else { wire::Protocol::Other }
}

/// An absolute target names the host itself and outranks the Host field (RFC 9112, 3.2.2), which HTTP/1.1 has to have all the
/// same (3.2). HTTP/2 needs none.
fn target(parts: &mut Parts, most_bytes: usize) -> Result<(), Refusal> {
    if parts.uri.path_and_query().is_some_and(|path| path.as_str().len() > most_bytes) {
        return Err(Refusal::LongTarget);
    }
    if parts.uri.authority().is_none() {
        let path = parts.uri.path();
        let valid = path.starts_with('/') || path == "*" && parts.method == Method::OPTIONS;
        return if valid { Ok(()) } else { Err(Refusal::Target) };
    }
    let authority = parts.uri.authority().map(|authority| HeaderValue::from_str(authority.as_str()));
    let path = parts.uri.path_and_query().cloned();
    let (Some(Ok(authority)), Some(path)) = (authority, path) else { return Err(Refusal::Target) };
    // A query may come without a path (RFC 3986, section 3), and is sent with one (RFC 9112, section 3.2.1).
    let path = match path.as_str() {
        query if query.starts_with('?') => PathAndQuery::try_from(format!("/{query}")).map_err(|_| Refusal::Target)?,
        _ => path,
    };
    let path = Uri::from(path);
    // A fragment is left out, and with it the path that is missing before one.
    if authority.as_bytes().contains(&b'@') || path.path().is_empty() {
        return Err(Refusal::Target);
    }
    if parts.version != Version::HTTP_2 {
        host(parts)?;
    }
    parts.headers.insert(HOST, authority);
    parts.uri = path;
    Ok(())
}

/// The Host field, which only HTTP/1.0 may do without.
fn host(parts: &Parts) -> Result<Option<HeaderValue>, Refusal> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => Ok(Some(host.clone())),
        (None, None) if parts.version == Version::HTTP_10 => Ok(None),
        _ => Err(Refusal::Host),
    }
}

/// A name or an address, and the number of a port behind the last colon, if any: those of an address in brackets are its own.
fn is_host(host: &[u8]) -> bool {
    let plain = |byte: &u8| !matches!(byte, b' ' | b'/' | b'\\' | b'@' | b'?' | b'#' | b',' | b'\t');
    let has_plain_port = match host.iter().rposition(|byte| matches!(byte, b':' | b']')) {
        Some(at) if host[at] == b':' => host[at + 1..].iter().all(u8::is_ascii_digit),
        Some(at) => at + 1 == host.len(),
        None => true,
    };
    has_plain_port && host.iter().all(plain)
}

/// Any other coding, and any second one, is where two readers of a body could disagree about its end.
fn is_only_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

/// Whether nobody can read it otherwise.
fn is_plain_length(length: &HeaderValue) -> bool {
    match length.as_bytes() {
        b"0" => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < LENGTH_DIGITS && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Writes the length as one plain number, which nobody reads otherwise: neither as octal nor as a list. What is no length
/// comes only where none frames the body, in an answer to HEAD or a 304, and is not passed on.
pub(super) fn write_length(headers: &mut HeaderMap) {
    let read = |token: &[u8]| {
        let digits = std::str::from_utf8(token).ok().filter(|_| token.iter().all(u8::is_ascii_digit))?;
        digits.parse::<u64>().ok()
    };
    let lengths: Vec<Option<u64>> = tokens(headers, CONTENT_LENGTH).map(read).collect();
    headers.remove(CONTENT_LENGTH);
    if let Some(&Some(length)) = lengths.first()
        && lengths.iter().all(|other| *other == Some(length))
    {
        headers.insert(CONTENT_LENGTH, length.into());
    }
}

/// What most endpoints send in Connection, and no field is called so, but one that is taken out anyway.
fn names_no_field(connection: &HeaderValue) -> bool {
    let value = connection.as_bytes();
    value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
}

/// An upgrade counts when Connection names it too, and is not one to HTTP/2, which we would have to understand.
fn asked_upgrade(parts: &mut Parts) -> Upgrade {
    if parts.extensions.remove::<Protocol>().is_some() {
        return Upgrade::Bootstrapped;
    }
    let headers = &parts.headers;
    let named = tokens(headers, CONNECTION).any(|token| token.eq_ignore_ascii_case(b"upgrade"));
    let is_http2 = |protocol: &[u8]| protocol.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"h2"));
    if named && !tokens(headers, UPGRADE).any(is_http2) { Upgrade::Asked } else { Upgrade::NotAsked }
}

/// The members of a list. Of bytes: one that is no text must not hide those beside it.
fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(name).into_iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

/// Takes out Connection, and where it is odd every field that it names.
fn strip_named(headers: &mut HeaderMap, connection: Seen) {
    if connection == Seen::Odd {
        let named: Vec<HeaderName> = tokens(headers, CONNECTION)
            .filter_map(|token| HeaderName::from_bytes(token).ok())
            .filter(|name| !KEPT.contains(name) && *name != UPGRADE)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    if connection != Seen::No {
        headers.remove(CONNECTION);
    }
}

/// Takes out what a message of HTTP/2 must not have (RFC 9113, section 8.2.2).
pub(super) fn strip_connection(headers: &mut HeaderMap) {
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

/// Leaves of an endpoint's interim answer what is for the client.
pub(in crate::proxy) fn interim(headers: &mut HeaderMap) {
    strip_named(headers, Seen::Odd);
    strip_hop(headers);
    strip_connection(headers);
    headers.remove(CONTENT_LENGTH);
}

fn strip_hop(headers: &mut HeaderMap) {
    for name in [KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHORIZATION, PROXY_AUTHENTICATE] {
        headers.remove(name);
    }
}

/// X-Forwarded-* and Via. What an untrusted client says of itself is overwritten.
fn came_from(parts: &mut Parts, client: &Client, host: Option<HeaderValue>, found: &Found) {
    let headers = &mut parts.headers;
    // At once, and not one growth after the other.
    headers.reserve(FIELDS_ADDED);
    if client.trusted {
        let before = headers.get_all(X_FORWARDED_FOR).iter().filter(|value| !value.is_empty());
        let chain: Vec<&[u8]> = before.chain([&client.forwarded_for]).map(HeaderValue::as_bytes).collect();
        let chain = HeaderValue::from_bytes(&chain.join(&b", "[..])).expect("values joined by a comma are a value");
        headers.insert(X_FORWARDED_FOR, chain);
        headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(client.scheme.name()));
        if let Some(host) = host {
            headers.entry(X_FORWARDED_HOST).or_insert(host);
        }
    } else {
        headers.insert(X_FORWARDED_FOR, client.forwarded_for.clone());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(client.scheme.name()));
        match host {
            Some(host) => _ = headers.insert(X_FORWARDED_HOST, host),
            None => _ = headers.remove(X_FORWARDED_HOST),
        }
        if found.forwarded {
            headers.remove(FORWARDED);
        }
    }
    let ours = client.via.clone();
    if found.via {
        headers.append(VIA, ours);
    } else {
        headers.insert(VIA, ours);
    }
}
/// Has the endpoint's name in a request that names none, and says whether that was so.
pub(super) fn name_host(request: &mut Request<RequestBody>, endpoint: &Endpoint) -> bool {
    let is_nameless = !request.headers().contains_key(HOST);
    if is_nameless {
        request.headers_mut().insert(HOST, endpoint.host.clone());
    }
    is_nameless
}
