//! Where frames of a WebSocket end (RFC 6455, section 5.2), so that one of ours can come between two of them. Nothing but the
//! lengths is looked at.

/// Reads one direction of a WebSocket as it passes.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: Vec<u8>,
    /// Bytes of the present frame that are still to come, its head being read.
    left: u64,
}

/// A close frame of a server with the status 1012, "service restart": unmasked, no reason.
pub(super) const RESTARTS: [u8; 4] = [0x88, 0x02, 0x03, 0xf4];

/// The first two bytes say how long the head is: at most 8 bytes of length and 4 of a mask follow.
const LEAST_HEAD: usize = 2;

impl Frames {
    /// Reads on. Returns how many of `bytes` belong to the frame that was begun, where it ends within them or did before;
    /// all of them where it does not.
    pub(super) fn rest_of_frame(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while !self.is_between() && at < bytes.len() {
            at += self.read(&bytes[at..]);
        }
        at
    }

    /// Reads all of `bytes`.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            at += self.read(&bytes[at..]);
        }
    }

    /// Whether no frame is begun.
    pub(super) fn is_between(&self) -> bool {
        self.left == 0 && self.head.is_empty()
    }

    /// Reads some of `bytes`, at most to the end of a frame.
    fn read(&mut self, bytes: &[u8]) -> usize {
        if self.left > 0 {
            let length = self.left.min(bytes.len() as u64);
            self.left -= length;
            return length as usize;
        }
        self.head.push(bytes[0]);
        if let Some(length) = payload(&self.head) {
            self.head.clear();
            self.left = length;
        }
        1
    }
}

/// The length of what follows a whole head.
fn payload(head: &[u8]) -> Option<u64> {
    let second = *head.get(1)?;
    let (masked, length) = (second & 0x80 != 0, second & 0x7f);
    let extended = match length {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if head.len() < LEAST_HEAD + extended + if masked { 4 } else { 0 } {
        return None;
    }
    let number = head[LEAST_HEAD..LEAST_HEAD + extended].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    Some(if extended == 0 { u64::from(length) } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x82];
        match length {
            0..126 => frame.push(mask | length as u8),
            126..65_536 => {
                frame.push(mask | 0x7e);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 0x7f);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(if masked { &[1, 2, 3, 4][..] } else { &[] });
        frame.extend(vec![0x88; length]);
        frame
    }

    #[test]
    fn the_end_of_every_frame_is_found_however_the_bytes_are_cut() {
        for cut in [1, 2, 3, 7, 1_000, 100_000] {
            for (length, masked) in
                [(0, false), (1, true), (125, false), (126, true), (65_535, false), (65_536, true), (70_000, false)]
            {
                let frame = frame(length, masked);
                let mut frames = Frames::default();
                let mut passed = 0;
                for part in frame.chunks(cut) {
                    assert_eq!(frames.is_between(), passed == 0, "{length} after {passed}");
                    frames.pass(part);
                    passed += part.len();
                }
                assert!(frames.is_between(), "{length}, masked: {masked}, in parts of {cut}");
            }
        }
    }

    #[test]
    fn what_follows_the_frame_that_was_begun_is_left() {
        let mut frames = Frames::default();
        let two = [frame(10, false), frame(5, false)].concat();
        frames.pass(&two[..4]);
        assert_eq!(frames.rest_of_frame(&two[4..]), 8);
        assert_eq!(frames.rest_of_frame(&two[12..]), 0, "no frame is begun");
    }
}
