//! What is fuzzed of this room; [`crate::fuzzing`] says how.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::proxy_protocol::{Ends, Proxied, length, read, written};
use crate::config::ProxyProtocol;

/// The beginning of a connection: what is taken for a header of the PROXY protocol is one by the letter of its
/// specification, says the same as to another reader, and is the same when it is written again.
pub fn proxy_header(bytes: &[u8]) {
    let whole = length(bytes);
    for cut in 0..bytes.len().min(128) {
        let sooner = length(&bytes[..cut]);
        assert!(sooner == Ok(None) || sooner == whole, "after {cut} bytes it was {sooner:?}, and is {whole:?}");
    }
    let Ok(Some(length)) = whole else { return };
    let Some(header) = bytes.get(..length) else { return };
    let taken = read(header);
    let expected = if header.starts_with(b"PROXY") { version_1(header) } else { version_2(header) };
    assert_eq!(taken.ok(), expected, "{}", header.escape_ascii());
    if let Ok(proxied) = taken {
        for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
            let again = written(version, proxied);
            assert_eq!(super::proxy_protocol::length(&again), Ok(Some(again.len())));
            assert_eq!(read(&again), Ok(proxied), "{}", again.escape_ascii());
        }
    }
}

fn version_1(header: &[u8]) -> Option<Proxied> {
    let line = header.strip_suffix(b"\r\n").filter(|line| !line.contains(&b'\r'))?;
    if line.starts_with(b"PROXY UNKNOWN") {
        return Some(Proxied::Local);
    }
    let words: Vec<&str> = std::str::from_utf8(line).ok()?.split(' ').collect();
    let ["PROXY", family, source, destination, ports @ ..] = &words[..] else { return None };
    let [from, to] = ports else { return None };
    let ends = match *family {
        "TCP4" => (IpAddr::V4(source.parse().ok()?), IpAddr::V4(destination.parse().ok()?)),
        "TCP6" => (IpAddr::V6(source.parse().ok()?), IpAddr::V6(destination.parse().ok()?)),
        _ => return None,
    };
    // "Heading zeroes are not permitted", and a sign is no digit.
    let port = |text: &str| u16::from_str(text).ok().filter(|port| port.to_string() == text);
    Some(by(ends.0, ends.1, port(from)?, port(to)?))
}

fn version_2(header: &[u8]) -> Option<Proxied> {
    let (signature, rest) = header.split_at(12);
    assert_eq!(signature, b"\r\n\r\n\0\r\nQUIT\n");
    match rest[0] {
        0x20 => return Some(Proxied::Local),
        0x21 => {}
        _ => return None,
    }
    let rest_of = |length: usize| rest[4..].split_at_checked(length);
    let number = |at: &[u8]| u16::from_be_bytes([at[0], at[1]]);
    let (proxied, mut fields) = match rest[1] {
        0x00 => (Proxied::Local, &rest[4..]),
        family @ (0x11 | 0x12) => {
            let (at, fields) = rest_of(12)?;
            let address = |at: &[u8]| Ipv4Addr::new(at[0], at[1], at[2], at[3]).into();
            let told = by(address(at), address(&at[4..]), number(&at[8..]), number(&at[10..]));
            (if family == 0x11 { told } else { Proxied::Local }, fields)
        }
        family @ (0x21 | 0x22) => {
            let (at, fields) = rest_of(36)?;
            let address = |at: &[u8]| {
                let octets: [u8; 16] = at[..16].try_into().expect("it has as many");
                Ipv6Addr::from(octets).into()
            };
            let told = by(address(at), address(&at[16..]), number(&at[32..]), number(&at[34..]));
            (if family == 0x21 { told } else { Proxied::Local }, fields)
        }
        0x31 | 0x32 => (Proxied::Local, rest_of(216)?.1),
        _ => return None,
    };
    while let [kind, upper, lower, behind @ ..] = fields {
        let (value, behind) = behind.split_at_checked(usize::from(number(&[*upper, *lower])))?;
        if *kind == 3 {
            let at = header.len() - behind.len() - value.len();
            let mut without = header.to_vec();
            without.get_mut(at..at + 4)?.fill(0);
            if value != crc32c(&without).to_be_bytes() {
                return None;
            }
        }
        fields = behind;
    }
    fields.is_empty().then_some(proxied)
}

/// The other way round than where it is checked: the highest bit first.
fn crc32c(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte.reverse_bits()) << 24, |sum, _| {
            if sum >> 31 == 1 { sum << 1 ^ 0x1edc_6f41 } else { sum << 1 }
        })
    });
    !sum.reverse_bits()
}

fn by(source: IpAddr, destination: IpAddr, from: u16, to: u16) -> Proxied {
    let mapped = |address: IpAddr| matches!(address, IpAddr::V6(six) if six.to_ipv4_mapped().is_some());
    let both = mapped(source) && mapped(destination);
    let plain = |address: IpAddr| if both { address.to_canonical() } else { address };
    Proxied::By(Ends {
        source: SocketAddr::new(plain(source), from),
        destination: SocketAddr::new(plain(destination), to),
    })
}
