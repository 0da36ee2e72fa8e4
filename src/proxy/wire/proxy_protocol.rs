//! The header of the PROXY protocol, with which a connection begins that somebody makes for another: read, and written.
//! The specification is proxy-protocol.txt of `HAProxy`.
//!
//! Absent: what the fields of version 2 behind the addresses say, and addresses of sockets in the file system.

use std::net::SocketAddr;

use proxy_header::{ParseConfig, Protocol, ProxiedAddress, ProxyHeader};

use crate::config::ProxyProtocol;

/// What a header says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Proxied {
    /// Nothing: it is the sender's own, such as that of a check.
    Local,
    By(Ends),
}

/// From where to where a client has connected; both of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Ends {
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

/// Why the beginning of a connection is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::proxy) enum Fault {
    #[error("it begins with something else")]
    Missing,
    #[error("it is longer than it may be")]
    TooLarge,
    #[error("it is malformed")]
    Malformed,
    #[error("its checksum is another's")]
    Checksum,
}

const PREFIX_V1: &[u8] = b"PROXY ";

/// With its line end (section 2.1).
const MOST_BYTES_V1: usize = 107;

const SIGNATURE_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, command, family and length.
const FIXED_BYTES_V2: usize = 16;

/// As nginx takes. The fields that balancers add, certificates among them, fit.
const MOST_BYTES_V2: usize = 4096;

const VERSION_2_LOCAL: u8 = 0x20;
const VERSION_2_PROXY: u8 = 0x21;

/// Type of the field with the checksum.
const CRC32C: u8 = 0x03;

/// How long the header is that `begun` is the beginning of, or has in it; none while that cannot be told.
pub(in crate::proxy) fn length(begun: &[u8]) -> Result<Option<usize>, Fault> {
    let begins = |with: &[u8]| begun.iter().zip(with).all(|(is, wanted)| is == wanted);
    if begins(SIGNATURE_V2) {
        let Some(length) = begun.get(FIXED_BYTES_V2 - 2..FIXED_BYTES_V2) else { return Ok(None) };
        let length = FIXED_BYTES_V2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        return if length > MOST_BYTES_V2 { Err(Fault::TooLarge) } else { Ok(Some(length)) };
    }
    if !begins(PREFIX_V1) {
        return Err(Fault::Missing);
    }
    let line = &begun[..begun.len().min(MOST_BYTES_V1)];
    match memchr::memmem::find(line, b"\r\n") {
        Some(end) => Ok(Some(end + 2)),
        None if line.len() == MOST_BYTES_V1 => Err(Fault::TooLarge),
        None => Ok(None),
    }
}

/// What a whole header says, whose [`length`] is known.
pub(in crate::proxy) fn read(header: &[u8]) -> Result<Proxied, Fault> {
    if header.starts_with(SIGNATURE_V2) {
        match header[SIGNATURE_V2.len()] {
            // Whatever else it has is to be ignored.
            VERSION_2_LOCAL => return Ok(Proxied::Local),
            VERSION_2_PROXY => check_fields(header)?,
            _ => return Err(Fault::Malformed),
        }
    } else if !has_plain_ports(header) {
        return Err(Fault::Malformed);
    }
    let (header, _) = ProxyHeader::parse(header, ParseConfig::default()).map_err(|_| Fault::Malformed)?;
    Ok(match header.proxied_address() {
        Some(&ProxiedAddress { protocol: Protocol::Stream, source, destination }) => {
            Proxied::By(Ends { source, destination }.canonical())
        }
        Some(ProxiedAddress { protocol: Protocol::Datagram, .. }) | None => Proxied::Local,
    })
}

/// The header that tells of `proxied`.
pub(in crate::proxy) fn written(version: ProxyProtocol, proxied: Proxied) -> Vec<u8> {
    let header = match proxied {
        Proxied::Local => ProxyHeader::with_local(),
        Proxied::By(Ends { source, destination }) => {
            ProxyHeader::with_address(ProxiedAddress::stream(source, destination))
        }
    };
    let mut written = Vec::with_capacity(MOST_BYTES_V1);
    let done = match version {
        ProxyProtocol::V1 => header.encode_v1(&mut written),
        ProxyProtocol::V2 => header.encode_v2(&mut written),
    };
    done.expect("both ends are of one family, and there is nothing else in it");
    written
}

/// Whether the last two words of a line are written as numbers are (section 2.1): others read `+1` and `01` as one, too.
fn has_plain_ports(line: &[u8]) -> bool {
    let is_plain = |port: &[u8]| port.iter().all(u8::is_ascii_digit) && (port == b"0" || !port.starts_with(b"0"));
    let words = line.trim_ascii_end().rsplitn(3, |byte| *byte == b' ');
    line.starts_with(b"PROXY UNKNOWN") || words.take(2).all(is_plain)
}

/// Walks through what is behind the addresses, and looks at the checksum if there is one (section 2.2.4).
fn check_fields(header: &[u8]) -> Result<(), Fault> {
    // The upper half is the family.
    let addresses = match header[SIGNATURE_V2.len() + 1] >> 4 {
        0x0 => 0,
        0x1 => 12,
        0x2 => 36,
        0x3 => 216,
        _ => return Err(Fault::Malformed),
    };
    let mut at = FIXED_BYTES_V2 + addresses;
    while at != header.len() {
        let Some(&[kind, upper, lower]) = header.get(at..at + 3) else { return Err(Fault::Malformed) };
        let value = at + 3..at + 3 + usize::from(u16::from_be_bytes([upper, lower]));
        let Some(bytes) = header.get(value.clone()) else { return Err(Fault::Malformed) };
        at = value.end;
        if kind != CRC32C {
            continue;
        }
        let Ok(sum) = <[u8; 4]>::try_from(bytes) else { return Err(Fault::Malformed) };
        let without = header[..value.start].iter().chain(&[0; 4]).chain(&header[value.end..]);
        if crc32c(without) != u32::from_be_bytes(sum) {
            return Err(Fault::Checksum);
        }
    }
    Ok(())
}

/// RFC 9260, appendix A. Bit by bit, for headers are short and few have it.
fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    const REVERSED_POLYNOMIAL: u32 = 0x82f6_3b78;
    !bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { REVERSED_POLYNOMIAL } else { 0 })
    })
}

impl Ends {
    /// Addresses of IPv4 that come over a socket of IPv6 are those of IPv4, where both are.
    pub(in crate::proxy) fn canonical(self) -> Ends {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let ends = Ends { source: canonical(self.source), destination: canonical(self.destination) };
        if ends.source.is_ipv4() == ends.destination.is_ipv4() { ends } else { self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(source: &str, destination: &str) -> Ends {
        let address = |text: &str| text.parse().expect("an address");
        Ends { source: address(source), destination: address(destination) }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [SIGNATURE_V2, &[command, family], &length, rest].concat()
    }

    const ADDRESSES: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0x01, 0xbb];

    fn told() -> Proxied {
        Proxied::By(ends("192.0.2.1:4660", "198.51.100.2:443"))
    }

    /// With these fields behind its addresses.
    fn with_fields(fields: &[u8]) -> Vec<u8> {
        v2(0x21, 0x11, &[&ADDRESSES[..], fields].concat())
    }

    #[track_caller]
    fn check(header: impl AsRef<[u8]>, expected: Result<Proxied, Fault>) {
        let header = header.as_ref();
        let taken = length(header).and_then(|length| {
            assert_eq!(length, Some(header.len()), "{}", header.escape_ascii());
            read(header)
        });
        assert_eq!(taken, expected, "{}", header.escape_ascii());
        if taken.is_ok() {
            for cut in 0..header.len() {
                assert!(length(&header[..cut]).is_ok_and(|length| length.is_none_or(|length| length == header.len())));
            }
            let more = [header, b"GET / HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(length(&more), Ok(Some(header.len())), "what follows is no part of it");
        }
    }

    #[test]
    fn headers_of_both_versions_tell_both_ends_of_the_connection() {
        check("PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n", Ok(told()));
        check(
            "PROXY TCP6 2001:db8::1 2001:db8::2 65535 1\r\n",
            Ok(Proxied::By(ends("[2001:db8::1]:65535", "[2001:db8::2]:1"))),
        );
        check(with_fields(&[]), Ok(told()));
        let six: Vec<u8> = (0..16).chain(16..32).chain([0, 80, 1, 0]).collect();
        let expected = ends("[1:203:405:607:809:a0b:c0d:e0f]:80", "[1011:1213:1415:1617:1819:1a1b:1c1d:1e1f]:256");
        check(v2(0x21, 0x21, &six), Ok(Proxied::By(expected)));
    }

    #[test]
    fn a_header_without_a_client_is_local() {
        check("PROXY UNKNOWN\r\n", Ok(Proxied::Local));
        check("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", Ok(Proxied::Local));
        check(v2(0x20, 0x00, &[]), Ok(Proxied::Local));
        check(v2(0x20, 0x99, b"whatever"), Ok(Proxied::Local));
        check(v2(0x20, 0x11, &ADDRESSES), Ok(Proxied::Local));
        check(v2(0x21, 0x00, &[]), Ok(Proxied::Local));
        check(v2(0x21, 0x12, &ADDRESSES), Ok(Proxied::Local));
        check(v2(0x21, 0x31, &[0; 216]), Ok(Proxied::Local));
    }

    #[test]
    fn what_is_no_header_is_missing_too_large_or_malformed() {
        for begun in ["GET / HTTP/1.1\r\n\r\n", "PROXYTCP4 ", "proxy TCP4 ", "\r\n\r\n\0\r\nQUIX\n", "\x16\x03\x01"] {
            assert_eq!(length(begun.as_bytes()), Err(Fault::Missing), "{begun}");
        }
        let long = format!("PROXY UNKNOWN {}", "a".repeat(MOST_BYTES_V1 - 16));
        check(format!("{long}\r\n"), Ok(Proxied::Local));
        assert_eq!(length(format!("{long}a\r\n").as_bytes()), Err(Fault::TooLarge));
        check(with_fields(&field(0x04, &[0; MOST_BYTES_V2 - 31])), Ok(told()));
        assert_eq!(length(&with_fields(&field(0x04, &[0; MOST_BYTES_V2 - 30]))), Err(Fault::TooLarge));
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.2 4660\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4660 65536\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4660 443 \r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +4660 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4660 0443\r\n",
            "PROXY TCP4 192.0.2.1  198.51.100.2 4660 443\r\n",
            "PROXY TCP4 192.0.2.256 198.51.100.2 4660 443\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 4660 443\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.2 4660 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.2 4660 443\r\n",
            "PROXY \r\n",
        ] {
            check(line, Err(Fault::Malformed));
        }
        for header in [
            v2(0x11, 0x11, &ADDRESSES),
            v2(0x22, 0x11, &ADDRESSES),
            v2(0x21, 0x11, &ADDRESSES[..11]),
            v2(0x21, 0x21, &ADDRESSES),
            v2(0x21, 0x41, &ADDRESSES),
            v2(0x21, 0x13, &ADDRESSES),
            with_fields(&[0x04]),
            with_fields(&[0x04, 0, 2, 0]),
            with_fields(&field(CRC32C, &[0; 3])),
        ] {
            check(header, Err(Fault::Malformed));
        }
    }

    fn field(kind: u8, value: &[u8]) -> Vec<u8> {
        [&[kind], &(value.len() as u16).to_be_bytes()[..], value].concat()
    }

    #[test]
    fn fields_are_passed_over_and_a_checksum_has_to_be_right() {
        assert_eq!(crc32c(b"123456789".iter()), 0xe306_9283, "the check value of CRC-32C");
        let (alpn, unknown) = (field(0x01, b"h2"), field(0xee, b"?"));
        check(with_fields(&[&alpn[..], &unknown, &field(0x04, b"")].concat()), Ok(told()));
        let summed = |sum: u32| with_fields(&[&alpn[..], &field(CRC32C, &sum.to_be_bytes()), &unknown].concat());
        let sum = crc32c(summed(0).iter());
        check(summed(sum), Ok(told()));
        check(summed(sum ^ 0x0100), Err(Fault::Checksum));
        let mut damaged = summed(sum);
        damaged[FIXED_BYTES_V2] ^= 1;
        check(damaged, Err(Fault::Checksum));
    }

    #[test]
    fn what_is_written_is_read_again_and_is_what_haproxy_writes() {
        let all = [
            (Proxied::Local, "PROXY UNKNOWN\r\n".to_owned(), v2(0x20, 0x00, &[])),
            (told(), "PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n".to_owned(), with_fields(&[])),
        ];
        for (proxied, v1, v2) in all {
            assert_eq!(written(ProxyProtocol::V1, proxied), v1.as_bytes());
            assert_eq!(written(ProxyProtocol::V2, proxied), v2);
        }
        let mapped = ends("[::ffff:192.0.2.1]:4660", "[::ffff:198.51.100.2]:443");
        assert_eq!(Proxied::By(mapped.canonical()), told());
        for six in [ends("[2001:db8::1]:65535", "[2001:db8::2]:1"), ends("[::ffff:192.0.2.1]:1", "[2001:db8::2]:2")] {
            for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
                assert_eq!(read(&written(version, Proxied::By(six.canonical()))), Ok(Proxied::By(six)));
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_taken_or_refused(
            begin in prop::sample::select(vec![PREFIX_V1.to_vec(), b"PROXY TCP4 ".to_vec(), SIGNATURE_V2.to_vec(), v2(0x21, 0x11, &[]), vec![]]),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [begin, rest].concat();
            if let Ok(Some(length)) = length(&bytes) {
                prop_assert!(length <= MOST_BYTES_V2);
                if let Some(header) = bytes.get(..length) {
                    // Any answer will do, and a panic would be none.
                    let _ = read(header);
                }
            }
        }
    }
}
