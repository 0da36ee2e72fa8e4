//! Whether a client of HTTP/2 keeps us busy with nothing: by frames that bring nothing, or by requests that it takes back at
//! once (CVE-2023-44487). What h2 bounds by itself is not counted here, as heads in endless pieces.

use std::cell::Cell;

/// Frames that bring nothing and may come beyond what the rest of the traffic gives cause for.
const SPARE: u32 = 10_000;

/// So many of them may go with each frame that brings something, and with each write of ours: window updates, settings and
/// pings are answers to what we send, and a client that waits for ours sends no flood.
const PER_CAUSE: u32 = 4;

/// And one with so many bytes that we write.
const PER_BYTES: usize = 1024;

/// Requests that are taken back before their answer and soon, if they are more than the others.
const TAKEN_BACK: u32 = 200;

const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

/// What one connection has done so far.
pub(in crate::proxy::client) struct Calm {
    spare: Cell<u32>,
    /// Of the frame head that is being read.
    head: Cell<[u8; HEAD_BYTES]>,
    head_read: Cell<usize>,
    /// Bytes of the present frame that are still to come.
    left: Cell<usize>,
    taken_back: Cell<u32>,
    others: Cell<u32>,
    lost: Cell<bool>,
}

impl Calm {
    pub(in crate::proxy::client) fn new() -> Calm {
        Calm {
            spare: Cell::new(SPARE),
            head: Cell::default(),
            head_read: Cell::new(0),
            left: Cell::new(PREFACE_BYTES),
            taken_back: Cell::new(0),
            others: Cell::new(0),
            lost: Cell::new(false),
        }
    }

    /// The client does what no client in its right mind does.
    pub(in crate::proxy::client) fn is_lost(&self) -> bool {
        self.lost.get()
    }

    /// `bytes` have come.
    pub(in crate::proxy::client) fn read(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.left.get().min(bytes.len());
            self.left.set(self.left.get() - skipped);
            bytes = &bytes[skipped..];
            let mut head = self.head.get();
            let read = self.head_read.get();
            let taken = (HEAD_BYTES - read).min(bytes.len());
            head[read..read + taken].copy_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            self.head.set(head);
            self.head_read.set((read + taken) % HEAD_BYTES);
            if read + taken == HEAD_BYTES {
                let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                self.left.set(length);
                self.frame(head[3], head[4], length);
            }
        }
    }

    fn frame(&self, kind: u8, flags: u8, length: usize) {
        if kind == HEADERS || kind == DATA && (length > 0 || flags & END_STREAM != 0) {
            self.cause(PER_CAUSE);
        } else {
            match self.spare.get().checked_sub(1) {
                Some(spare) => self.spare.set(spare),
                None => self.lost.set(true),
            }
        }
    }

    /// `length` bytes were written.
    pub(super) fn wrote(&self, length: usize) {
        self.cause(PER_CAUSE + (length / PER_BYTES) as u32);
    }

    fn cause(&self, frames: u32) {
        self.spare.set(SPARE.min(self.spare.get() + frames));
    }

    /// A request has ended, not by being taken back.
    pub(super) fn ended(&self) {
        self.others.set(self.others.get() + 1);
    }

    /// A request was taken back soon, and before its answer.
    pub(super) fn taken_back(&self) {
        self.taken_back.set(self.taken_back.get() + 1);
        if self.taken_back.get() >= TAKEN_BACK && self.taken_back.get() > self.others.get() {
            self.lost.set(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        [&[0, 0, length, kind, flags, 0, 0, 0, 1][..], &vec![7; usize::from(length)]].concat()
    }

    fn opened() -> Calm {
        let calm = Calm::new();
        calm.read(&[b'P'; PREFACE_BYTES]);
        calm
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let frames: Vec<u8> = (0..SPARE).flat_map(|number| frame(PING, 0, (number % 11) as u8)).collect();
        for cut in [1, 2, 8, 9, 10, 17, 100_000] {
            let calm = opened();
            frames.chunks(cut).for_each(|part| calm.read(part));
            assert!(!calm.is_lost(), "in parts of {cut}");
            calm.read(&frame(PING, 0, 8));
            assert!(calm.is_lost(), "in parts of {cut}");
        }
    }

    #[test]
    fn frames_that_bring_something_and_what_we_write_give_cause_for_others() {
        for (causes, lost) in [
            (&[][..], true),
            (&[frame(DATA, 0, 0)], true),
            (&[frame(DATA, 0, 1)], false),
            (&[frame(DATA, END_STREAM, 0)], false),
            (&[frame(HEADERS, 0, 5)], false),
        ] {
            let calm = opened();
            for _ in 0..SPARE {
                (0..2).for_each(|_| calm.read(&frame(PING, 0, 8)));
                causes.iter().for_each(|cause| calm.read(cause));
            }
            assert_eq!(calm.is_lost(), lost, "{causes:?}");
        }
        let calm = opened();
        for _ in 0..SPARE {
            (0..4).for_each(|_| calm.read(&frame(PING, 0, 8)));
            calm.wrote(17);
        }
        assert!(!calm.is_lost());
    }

    #[test]
    fn many_requests_may_be_taken_back_but_not_most() {
        for (others, lost) in [(0, true), (TAKEN_BACK - 1, true), (TAKEN_BACK, false)] {
            let calm = opened();
            (0..others).for_each(|_| calm.ended());
            (0..TAKEN_BACK).for_each(|_| calm.taken_back());
            assert_eq!(calm.is_lost(), lost, "{others} others");
        }
    }
}
