//! Finds interim answers (1xx) among what an endpoint sends by HTTP/1: hyper passes over them, and tells of them only where each
//! request has asked it to.

use std::cell::{Cell, RefCell};

use http::{Response, StatusCode};

/// Looks at what comes on one connection.
#[derive(Default)]
pub(super) struct Finder {
    /// The answer has not begun.
    awaits: Cell<bool>,
    /// The beginning of a head that may be one of them.
    begun: RefCell<Vec<u8>>,
    found: RefCell<Vec<Response<()>>>,
    any: Cell<bool>,
}

/// The first digit of the status, in `HTTP/1.1 103`.
const CLASS_AT: usize = 9;
const INTERIM: u8 = b'1';

/// Larger ones are not passed on.
const MOST_BYTES: usize = 16 * 1024;
const MOST_FIELDS: usize = 64;

impl Finder {
    /// A request is sent.
    pub(super) fn begin(&self) {
        self.awaits.set(true);
    }

    /// `bytes` have come.
    pub(super) fn read(&self, bytes: &[u8]) {
        if self.awaits.get() {
            // Most answers come in one piece, and are none of them.
            if bytes.get(CLASS_AT).is_some_and(|class| *class != INTERIM) && self.begun.borrow().is_empty() {
                self.awaits.set(false);
            } else {
                self.look(bytes);
            }
        }
    }

    /// Whether something was found.
    pub(super) fn any(&self) -> bool {
        self.any.get()
    }

    /// What was found since.
    #[cold]
    pub(super) fn take(&self) -> Vec<Response<()>> {
        self.any.set(false);
        self.found.take()
    }

    #[cold]
    fn look(&self, bytes: &[u8]) {
        let mut begun = self.begun.borrow_mut();
        begun.extend_from_slice(bytes);
        loop {
            match begun.get(CLASS_AT) {
                None => return,
                Some(&INTERIM) if begun.len() <= MOST_BYTES => {}
                Some(_) => break,
            }
            match parse(&begun) {
                Ok(Some((StatusCode::SWITCHING_PROTOCOLS, ..))) | Err(NoHead) => break,
                Ok(None) => return,
                Ok(Some((_, head, length))) => {
                    self.found.borrow_mut().push(head);
                    self.any.set(true);
                    begun.drain(..length);
                }
            }
        }
        self.awaits.set(false);
        begun.clear();
    }
}

/// hyper will have something to say of it.
struct NoHead;

/// The head that `bytes` begin with, and how long it is; none where that is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(StatusCode, Response<()>, usize)>, NoHead> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes).map_err(|_| NoHead)? else { return Ok(None) };
    let status = head.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(NoHead)?;
    let made = head.headers.iter().fold(Response::builder().status(status), |made, field| {
        // Spaces around a value are none of it.
        made.header(field.name, field.value.trim_ascii())
    });
    made.body(()).map(|head| Some((status, head, length))).map_err(|_| NoHead)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found when the bytes come in pieces of `cut`, as statuses.
    fn found(text: &str, cut: usize) -> Vec<u16> {
        let finder = Finder::default();
        finder.begin();
        text.as_bytes().chunks(cut).for_each(|piece| finder.read(piece));
        finder.take().iter().map(|head| head.status().as_u16()).collect()
    }

    #[test]
    fn interim_answers_are_found_however_the_bytes_are_cut_and_only_before_the_answer() {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 39\r\n\r\n";
        let switching = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n";
        for cut in [1, 2, 9, 10, 11, 25, 1_000] {
            for (text, expected) in [
                (format!("{hints}{go_on}{answer}{hints}"), &[103, 100][..]),
                (format!("{answer}{hints}"), &[]),
                (format!("{switching}{hints}"), &[]),
                (format!("HTTP/1.1 1x3 \r\n\r\n{hints}"), &[]),
                (format!("HTTP/1.1 103 {}\r\n\r\n{hints}", "x".repeat(MOST_BYTES)), &[]),
            ] {
                assert_eq!(found(&text, cut), expected, "{text} in pieces of {cut}");
            }
        }
    }
}
