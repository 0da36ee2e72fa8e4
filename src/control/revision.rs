//! Which of its states somebody has seen who asks for a change, so that of two who have seen the same only one changes it.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use super::Control;
use super::command::Refused;

/// Rises with every decision that is told, and starts anew with every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    process: u32,
    number: u64,
}

/// What tells this process from the one before.
static PROCESS: LazyLock<u32> = LazyLock::new(|| fastrand::u32(..));

/// What a change is asked for on condition of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    #[default]
    Whatever,
    /// That nothing has been decided since one of these.
    OneOf(Vec<Revision>),
}

/// Before anything was decided.
impl Default for Revision {
    fn default() -> Revision {
        Revision { process: *PROCESS, number: 0 }
    }
}

impl Revision {
    pub(super) fn rise(&mut self) {
        self.number += 1;
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{}", self.process, self.number)
    }
}

impl FromStr for Revision {
    type Err = ();

    fn from_str(text: &str) -> Result<Revision, ()> {
        let (process, number) = text.split_once('.').ok_or(())?;
        let process = u32::from_str_radix(process, 16).map_err(|_| ())?;
        Ok(Revision { process, number: number.parse().map_err(|_| ())? })
    }
}

impl Control {
    /// Whether something was decided that whoever asks has not seen.
    pub(super) fn refuses_unseen(&self, seen: &Seen) -> Option<Refused> {
        match seen {
            Seen::Whatever => None,
            Seen::OneOf(seen) if seen.contains(&self.revision) => None,
            Seen::OneOf(_) => Some(Refused::Unseen { last: self.last_told.clone() }),
        }
    }
}
