//! What was refused for want of memory, and what blue could not take in a ramp.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    Request,
    /// Before anything of it was read.
    Connection,
    /// A request that blue would have had.
    InRamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sheds([u64; Shed::InRamp as usize + 1]);

impl Shed {
    /// For want of memory.
    pub const OVERLOAD: [Shed; 2] = [Shed::Request, Shed::Connection];

    pub const fn name(self) -> &'static str {
        match self {
            Shed::Request => "request",
            Shed::Connection => "connection",
            Shed::InRamp => "in_ramp",
        }
    }
}

impl Sheds {
    pub fn count(&mut self, shed: Shed) {
        self.0[shed as usize] += 1;
    }

    pub fn of(&self, shed: Shed) -> u64 {
        self.0[shed as usize]
    }

    pub fn is_empty(&self) -> bool {
        *self == Sheds::default()
    }
}
