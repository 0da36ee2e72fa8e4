//! One process takes over from another: its sockets with whoever waits in them, its journal, and so its release.
//!
//! The two speak over a Unix socket, `take-over.sock` in the data directory, which whoever has the journal listens on. A
//! successor connects to it, and each must be a process of the same user. Then, in this order (`>` is said by the successor):
//!
//! | | said | what holds from here on |
//! |---|---|---|
//! | 1 | `> hello` | nothing has changed |
//! | 2 | `< socket` for each, with its descriptor; `< all` | both have the listening sockets, and the predecessor alone accepts |
//! | 3 | `> ready`: the successor's configuration is sound, and about these sockets | |
//! | 4 | `< yours`: everything decided is on the disk, the journal is closed | the predecessor serves and accepts, and decides nothing. Its workers still act on a streak: they send everything to blue |
//! | 5 | `> opened`: the journal is open, everything is read | the successor has decided and written nothing |
//! | 6 | `< go`, with the epoch that a worker has sent to blue since 4, if one has | the successor decides, and the predecessor never again unless 7 fails to come |
//! | 7 | `> serving` | the successor accepts. The predecessor stops accepting, and drains |
//!
//! *Nobody is refused*: the sockets are the same all the time, and at each instant one of the two accepts, at the end of 6
//! both. Who is in the queue at 7 is accepted by the successor.
//!
//! *All or nothing*: whoever refuses says why and hangs up, and a process that dies hangs up as well. Up to 3 the predecessor
//! has changed nothing. From 4 to 6 it opens the journal again and goes on with what it has in mind, which the journal gets
//! whole: before 6 the successor has written nothing. After 6 it waits for 7 as long as the successor lives: there is
//! always exactly one that decides. Should the successor die between the two, the predecessor goes on from its own state, of
//! the same epoch. A successor that hangs before 6 is given up, and must hear so at 6; while it holds the journal all
//! the same, the predecessor decides without it, under an alarm, and looks for it again and again.
//!
//! *The release*: to it this is a restart ([`crate::control`]), under the same epoch. A latch that is in the predecessor's
//! table at 6 goes over with it. What still runs in the predecessor after 7 began in an epoch that the successor has
//! restored, or in an earlier one, and it is no evidence: the predecessor shows and records nothing more. Its own workers
//! may still latch by it, which moves what they begin themselves to blue; the successor judges by what it sees.
//!
//! Absent: a new start of the old binary. If the successor turns out bad, start the old one with `--take-over` again, as
//! long as it knows the journal's schema.

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod give;
mod take;
mod wire;

pub use give::{Offer, Relieved, bind};
pub use take::{Claim, NotTaken, Sockets};

/// In the data directory.
const SOCKET: &str = "take-over.sock";

/// What the two speak; another number is refused.
const PROTOCOL: u32 = 1;
