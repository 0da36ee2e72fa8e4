//! How the headers of the PROXY protocol ended that connections have to begin with.

/// How one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    Success,
    /// The connection begins with something else.
    Missing,
    Malformed,
    TooLarge,
    /// It took too long.
    Timeout,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyHeaders([u64; ProxyHeader::ALL.len()]);

impl ProxyHeader {
    pub const ALL: [ProxyHeader; 5] = [
        ProxyHeader::Success,
        ProxyHeader::Missing,
        ProxyHeader::Malformed,
        ProxyHeader::TooLarge,
        ProxyHeader::Timeout,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            ProxyHeader::Success => "success",
            ProxyHeader::Missing => "missing",
            ProxyHeader::Malformed => "malformed",
            ProxyHeader::TooLarge => "too_large",
            ProxyHeader::Timeout => "timeout",
        }
    }
}

impl ProxyHeaders {
    pub fn count(&mut self, header: ProxyHeader) {
        self.0[header as usize] += 1;
    }

    pub fn of(&self, header: ProxyHeader) -> u64 {
        self.0[header as usize]
    }

    pub fn is_empty(&self) -> bool {
        *self == ProxyHeaders::default()
    }
}
