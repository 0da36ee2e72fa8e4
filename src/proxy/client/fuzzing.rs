//! What is fuzzed of this room; [`crate::fuzzing`] says how.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use super::http2::Calm;
use super::opening::Source;
use super::websocket::Frames;
use crate::proxy::wire::Progress;

/// What a connection carries, whose frames are found however its bytes are cut: the first byte says what it is, the second
/// how large a part is.
pub fn frames(bytes: &[u8]) {
    let [kind, part, bytes @ ..] = bytes else { return };
    let part = usize::from(*part) + 1;
    match kind % 3 {
        0 => opening(bytes, part),
        1 => websocket(bytes, part),
        _ => calm(bytes, part),
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Nothing is lost of what was read to find out what the client speaks, and it is HTTP/2 where it begins with the preface
/// and nowhere else.
fn opening(bytes: &[u8], part: usize) {
    let mut channel = Parts { left: bytes, part, pause: false };
    let mut source = Source::Opening(Vec::new());
    let progress = Progress::new();
    let (mut cx, mut given) = (Context::from_waker(Waker::noop()), Vec::new());
    let is_http2 = loop {
        let mut room = [0; 64];
        let mut buffer = ReadBuf::new(&mut room);
        match source.poll_first(&mut channel, &progress, &mut cx, &mut buffer) {
            Poll::Pending => assert!(buffer.filled().is_empty(), "what it has was not given out"),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => break false,
            Poll::Ready(Ok(())) => given.extend_from_slice(buffer.filled()),
            Poll::Ready(Err(_)) => break true,
        }
    };
    assert_eq!(is_http2, bytes.starts_with(PREFACE));
    let unread = source.into_bytes();
    assert!(is_http2 || unread.is_empty());
    assert_eq!([&given, &unread[..], channel.left].concat(), bytes);

    let mut early = Source::Early(Bytes::copy_from_slice(bytes));
    let (mut room, mut given) = (vec![0; part], Vec::new());
    while !early.is_dry() {
        let mut buffer = ReadBuf::new(&mut room);
        let mut nothing = Parts { left: &[], part, pause: false };
        assert!(early.poll_first(&mut nothing, &progress, &mut cx, &mut buffer).is_ready());
        given.extend_from_slice(buffer.filled());
    }
    assert_eq!(given, bytes);
}

/// A connection that gives its bytes in parts, and has none yet before each.
struct Parts<'a> {
    left: &'a [u8],
    part: usize,
    pause: bool,
}

impl AsyncRead for Parts<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.pause = !self.pause;
        if self.pause {
            return Poll::Pending;
        }
        let length = self.part.min(self.left.len()).min(buffer.remaining());
        let (now, later) = self.left.split_at(length);
        buffer.put_slice(now);
        self.left = later;
        Poll::Ready(Ok(()))
    }
}

/// The ends of frames are those of RFC 6455, section 5.2, read at once.
fn websocket(bytes: &[u8], part: usize) {
    let ends = ends_of_frames(bytes);
    let mut frames = Frames::default();
    let mut passed = 0;
    for part in bytes.chunks(part) {
        let next = ends.iter().find(|end| **end >= passed as u64);
        // In the middle of a frame its rest is found; between two there is none.
        let rest = frames.rest_of_frame(part);
        let expected = next.map_or(part.len() as u64, |end| (end - passed as u64).min(part.len() as u64));
        assert_eq!(rest as u64, expected, "after {passed} of {}", bytes.escape_ascii());
        frames.pass(&part[rest..]);
        passed += part.len();
        assert_eq!(frames.is_between(), ends.contains(&(passed as u64)), "after {passed}");
    }
}

/// Where they would end if all of them came, the beginning included.
fn ends_of_frames(bytes: &[u8]) -> Vec<u64> {
    let mut ends = vec![0];
    let mut at = 0;
    while let Some(head) = usize::try_from(at).ok().and_then(|at| bytes.get(at..)) {
        let [_, second, more @ ..] = head else { break };
        let (extended, length) = match second & 127 {
            126 => (2, more.first_chunk().map(|length| u64::from(u16::from_be_bytes(*length)))),
            127 => (8, more.first_chunk().map(|length| u64::from_be_bytes(*length))),
            length => (0, Some(u64::from(length))),
        };
        let Some(length) = length else { break };
        let head_length = 2 + extended + if second & 128 == 0 { 0 } else { 4 };
        if head.len() < head_length {
            break;
        }
        let Some(end) = length.checked_add(at + head_length as u64) else { break };
        at = end;
        ends.push(end);
    }
    ends
}

/// So many frames that bring nothing are too many, and those that bring something make up for others, by another count of them.
fn calm(bytes: &[u8], part: usize) {
    let calm = Calm::new();
    bytes.chunks(part).for_each(|part| calm.read(part));
    assert!(!calm.is_lost());
    // To the end of the frame that was begun, and then such as bring nothing.
    let mut all = bytes.to_vec();
    let begun = loop {
        match Flood::of(&all) {
            begun @ Flood { left: 0, .. } => break begun,
            Flood { left: 65_536.., .. } => return,
            Flood { left, .. } => {
                calm.read(&vec![0; left]);
                all.resize(all.len() + left, 0);
            }
        }
    };
    const PING: [u8; 9] = [0, 0, 0, 6, 0, 0, 0, 0, 0];
    (0..begun.spare).for_each(|_| calm.read(&PING));
    assert!(!calm.is_lost(), "sooner than {begun:?} says");
    calm.read(&PING);
    assert!(calm.is_lost(), "later than {begun:?} says");
}

#[derive(Debug)]
struct Flood {
    /// Frames that bring nothing and may still come.
    spare: u32,
    /// Bytes until the end of what was begun, of its head alone where that is not whole.
    left: usize,
}

impl Flood {
    fn of(bytes: &[u8]) -> Flood {
        let mut flood = Flood { spare: 10_000, left: 0 };
        let Some(mut rest) = bytes.get(PREFACE.len()..) else {
            return Flood { left: PREFACE.len() - bytes.len(), ..flood };
        };
        while let [a, b, c, kind, flags, _, _, _, _, behind @ ..] = rest {
            let length = usize::from(*a) * 65_536 + usize::from(*b) * 256 + usize::from(*c);
            let brings = match kind {
                0 => length > 0 || flags % 2 == 1,
                1 => true,
                _ => false,
            };
            flood.spare = if brings { (flood.spare + 4).min(10_000) } else { flood.spare.saturating_sub(1) };
            match behind.get(length..) {
                Some(next) => rest = next,
                None => return Flood { left: length - behind.len(), ..flood },
            }
        }
        flood.left = if rest.is_empty() { 0 } else { 9 - rest.len() };
        flood
    }
}
