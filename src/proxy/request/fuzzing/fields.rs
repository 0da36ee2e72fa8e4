//! Values of single fields.

use std::net::IpAddr;

use http::header::{CONTENT_LENGTH, COOKIE, HeaderMap, HeaderValue};
use percent_encoding::percent_decode_str;

use crate::config::ClientKey;
use crate::gate::GrpcStatus;
use crate::proxy::request::access::quotable;
use crate::proxy::request::client_share::origin;
use crate::proxy::request::grpc::{self, Speaks};
use crate::proxy::request::headers::{X_FORWARDED_FOR, write_length};
use crate::proxy::request::ids::trace_id;
use crate::proxy::request::sticky::Lot;
use crate::release::Epoch;

/// The values of fields, one a line; the first byte says of which. Each is read as somebody else reads it who takes more time.
pub fn fields(bytes: &[u8]) {
    let [which, bytes @ ..] = bytes else { return };
    let values: Vec<HeaderValue> =
        bytes.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    match which % 6 {
        0 => traces(&values),
        1 => cookies(&values),
        2 => origins(&values),
        3 => lengths(&values),
        4 => values.iter().for_each(codes),
        _ => texts(&String::from_utf8_lossy(bytes)),
    }
}

/// W3C Trace Context, section 3.2.
fn traces(values: &[HeaderValue]) {
    let mut headers = HeaderMap::new();
    values.iter().for_each(|value| _ = headers.append("traceparent", value.clone()));
    let expected = match values {
        [value] => value.to_str().ok().and_then(|value| {
            let parts: Vec<&str> = value.splitn(5, '-').collect();
            let [version, trace, parent, flags, more @ ..] = &parts[..] else { return None };
            let is_hex = |text: &str, digits| {
                text.len() == digits && text.bytes().all(|digit| b"0123456789abcdef".contains(&digit))
            };
            let is_nil = |text: &str| text.bytes().all(|digit| digit == b'0');
            let valid = is_hex(version, 2) && is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2);
            let known = *version != "ff" && (*version != "00" || more.is_empty());
            (valid && known && !is_nil(trace) && !is_nil(parent)).then_some(*trace)
        }),
        _ => None,
    };
    assert_eq!(trace_id(&headers), expected, "{headers:?}");
}

fn cookies(values: &[HeaderValue]) {
    let mut headers = HeaderMap::new();
    values.iter().for_each(|value| _ = headers.append(COOKIE, value.clone()));
    let pairs = values.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let key = pairs.filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        (name.trim_ascii_start() == b"id").then(|| value.trim_ascii())
    });
    let expected = key.take(1).find(|key| !key.is_empty()).map(|key| Lot::new(key, Epoch::default()));
    let origin = || IpAddr::from([10, 0, 0, 1]);
    let lot = Lot::of(&ClientKey::Cookie("id".to_owned()), &headers, origin, Epoch::default());
    assert_eq!(lot, expected, "{headers:?}");
}

/// The last that no trusted proxy has, or the first where all are.
fn origins(values: &[HeaderValue]) {
    let peer = IpAddr::from([10, 0, 0, 1]);
    let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
    let mut headers = HeaderMap::new();
    values.iter().for_each(|value| _ = headers.append(X_FORWARDED_FOR, value.clone()));
    let hops = values.iter().flat_map(|value| match value.to_str() {
        Ok(value) => value.split(',').map(|hop| hop.trim().parse::<IpAddr>().ok()).collect(),
        Err(_) => vec![None],
    });
    let hops: Vec<Option<IpAddr>> = hops.collect();
    let mut expected = peer;
    for hop in hops.into_iter().rev() {
        let Some(hop) = hop else { break };
        expected = hop.to_canonical();
        let octets = match expected {
            IpAddr::V4(four) => four.octets()[0] == 10,
            IpAddr::V6(six) => six.octets()[0] == 0xfd,
        };
        if !octets {
            break;
        }
    }
    assert_eq!(origin(&headers, peer, &trusted), expected, "{headers:?}");
}

/// One plain number is left where all say the same, and otherwise nothing.
fn lengths(values: &[HeaderValue]) {
    let mut headers = HeaderMap::new();
    values.iter().for_each(|value| _ = headers.append(CONTENT_LENGTH, value.clone()));
    let said: Vec<Option<u64>> = values
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|token| {
            let token = std::str::from_utf8(token.trim_ascii()).ok()?;
            token.bytes().all(|byte| byte.is_ascii_digit()).then(|| token.parse().ok()).flatten()
        })
        .collect();
    write_length(&mut headers);
    let left: Vec<&HeaderValue> = headers.get_all(CONTENT_LENGTH).iter().collect();
    match &said[..] {
        [Some(length), others @ ..] if others.iter().all(|other| *other == Some(*length)) => {
            assert_eq!(left, [&length.to_string()], "{values:?}");
        }
        _ => assert!(left.is_empty(), "{left:?} of {values:?}"),
    }
}

/// A code of gRPC is made of digits. The media type tells who speaks it.
fn codes(value: &HeaderValue) {
    let digits = value.to_str().map(str::trim).unwrap_or_default();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = match digits.trim_start_matches('0') {
        "" => Some(0),
        digits => digits.parse::<u16>().ok(),
    };
    let number = number.filter(|_| is_number);
    let expected = number.filter(|number| *number <= 16).unwrap_or(2);
    assert_eq!(GrpcStatus::of_field(value.as_bytes()).number(), Some(expected), "{value:?}");
    let lower = value.as_bytes().to_ascii_lowercase();
    let is_grpc = ["application/grpc+", "application/grpc;", "application/grpc "]
        .iter()
        .any(|start| lower.starts_with(start.as_bytes()));
    let speaks = if is_grpc || lower == b"application/grpc" { Speaks::Grpc } else { Speaks::Http };
    assert_eq!(Speaks::of_type(value), speaks, "{value:?}");
}

/// What we write of somebody else's text is one value that says it, and one word of a line.
fn texts(text: &str) {
    let mut headers = HeaderMap::new();
    grpc::say(&mut headers, GrpcStatus::Internal, text);
    let said = headers["grpc-message"].to_str().expect("a message is ASCII");
    assert!(said.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    assert_eq!(percent_decode_str(said).decode_utf8().expect("it was text"), text);

    let quoted = quotable(text);
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        assert!(letter != '"' && !letter.is_control(), "{quoted}");
        if letter == '\\' {
            assert!(letters.next().is_some(), "{quoted}");
        }
    }
}
