//! How TLS handshakes with clients ended.

/// How one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    Success,
    Failure,
    /// The client took too long.
    Timeout,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handshakes([u64; Handshake::ALL.len()]);

impl Handshake {
    pub const ALL: [Handshake; 3] = [Handshake::Success, Handshake::Failure, Handshake::Timeout];

    pub const fn name(self) -> &'static str {
        match self {
            Handshake::Success => "success",
            Handshake::Failure => "failure",
            Handshake::Timeout => "timeout",
        }
    }
}

impl Handshakes {
    pub fn count(&mut self, handshake: Handshake) {
        self.0[handshake as usize] += 1;
    }

    pub fn of(&self, handshake: Handshake) -> u64 {
        self.0[handshake as usize]
    }

    pub fn is_empty(&self) -> bool {
        *self == Handshakes::default()
    }
}
