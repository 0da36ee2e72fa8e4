//! What hyper does not tell of a request line: a fragment in its target, which it drops, and that the target was the long one.

/// How much of a request line has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Empty lines, at most.
    Nothing,
    Part,
    Whole,
}

/// Looks at a connection's bytes as they come.
pub(super) struct RequestLines {
    seen: Seen,
    /// What came last can have been the end of a request.
    ended: bool,
}

impl RequestLines {
    pub(super) fn new() -> RequestLines {
        RequestLines { seen: Seen::Nothing, ended: true }
    }

    /// The last request has been answered, and something has come that is not known here yet. Where part of its head had come
    /// before, with the last request, what is next may be a field.
    pub(super) fn next(&mut self) {
        self.seen = if self.ended { Seen::Nothing } else { Seen::Whole };
    }

    /// Whether `read` has the mark of a fragment in its request line.
    pub(super) fn has_fragment(&mut self, read: &[u8]) -> bool {
        self.ended = read.ends_with(b"\r\n\r\n");
        if self.seen == Seen::Whole {
            return false;
        }
        let line = match self.seen {
            Seen::Nothing => read.trim_ascii_start(),
            Seen::Part | Seen::Whole => read,
        };
        let mark = memchr::memchr2(b'\n', b'#', line);
        self.seen = match mark {
            Some(_) => Seen::Whole,
            None if line.is_empty() => self.seen,
            None => Seen::Part,
        };
        mark.is_some_and(|at| line[at] == b'#')
    }
}

/// Whether the request line at the beginning of `head`, of which there may be no more, is longer than a target may be.
pub(super) fn has_long_target(head: &[u8], most_bytes: usize) -> bool {
    let begins = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(head.len());
    let line = head[begins..].split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.split(|byte| *byte == b' ').nth(1).is_some_and(|target| target.len() > most_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(reads: &[&str]) -> Vec<bool> {
        let mut lines = RequestLines::new();
        reads.iter().map(|read| lines.has_fragment(read.as_bytes())).collect()
    }

    #[test]
    fn a_fragment_is_seen_however_its_line_is_cut() {
        assert_eq!(seen(&["GET /a#b HTTP/1.1\r\nA: b\r\n\r\n"]), [true]);
        assert_eq!(seen(&["\r\n", "\r\nGET /a", "#", "b HTTP/1.1\r\n"]), [false, false, true, false]);
        assert_eq!(seen(&["GET / HTTP/1.1\r\nA: #\r\n", "B: #\r\n\r\n", "#body"]), [false; 3]);
    }

    #[test]
    fn a_line_is_looked_for_only_where_one_can_begin() {
        let mut lines = RequestLines::new();
        for (read, next, found) in [
            ("GET / HTTP/1.1\r\n\r\n", "GET /#b HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n", "A: #b\r\n\r\n", false),
        ] {
            assert!(!lines.has_fragment(read.as_bytes()), "{read}");
            lines.next();
            assert_eq!(lines.has_fragment(next.as_bytes()), found, "{next}");
            lines.next();
        }
    }
}
