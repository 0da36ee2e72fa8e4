//! What became of requests that ask for a version.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overridden {
    Allowed,
    Malformed,
    Network,
    Forged,
    Expired,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides([u64; Overridden::ALL.len()]);

impl Overridden {
    pub const ALL: [Overridden; 5] =
        [Overridden::Allowed, Overridden::Malformed, Overridden::Network, Overridden::Forged, Overridden::Expired];

    pub const fn name(self) -> &'static str {
        match self {
            Overridden::Allowed => "allowed",
            Overridden::Malformed => "malformed",
            Overridden::Network => "network",
            Overridden::Forged => "forged",
            Overridden::Expired => "expired",
        }
    }
}

impl Overrides {
    pub fn count(&mut self, came_to: Overridden) {
        self.0[came_to as usize] += 1;
    }

    pub fn of(&self, came_to: Overridden) -> u64 {
        self.0[came_to as usize]
    }

    pub fn is_empty(&self) -> bool {
        *self == Overrides::default()
    }
}
