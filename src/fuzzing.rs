//! What the parsers of ours are fuzzed by: each function takes any bytes, and panics where a promise is broken. `fuzz/` makes a
//! program of each, and a test feeds them what those have found.

use crate::{admin, journal, takeover};

pub use crate::config::fuzzing::{configuration, values};
pub use crate::control::replicas::fuzzing::replicas;
pub use crate::proxy::{answers, fields, frames, proxy_header, requests};

/// It panics where what it holds is broken.
pub type Target = fn(&[u8]);

/// By the names of their programs, and of the folders of their corpora.
pub const TARGETS: [(&str, Target); 9] = [
    ("answers", answers),
    ("configuration", configuration),
    ("fields", fields),
    ("frames", frames),
    ("proxy_header", proxy_header),
    ("records", records),
    ("replicas", replicas),
    ("requests", requests),
    ("values", values),
];

/// What is in forms of our own, on the disk, in a socket or in a request to the admin API; the first byte says which.
pub fn records(bytes: &[u8]) {
    let [which, bytes @ ..] = bytes else { return };
    match which % 5 {
        0 => journal::fuzzing::evidence(bytes),
        1 => journal::fuzzing::damage(bytes),
        2 => journal::fuzzing::records(bytes),
        3 => takeover::fuzzing::word(bytes),
        _ => admin::fuzzing::body(bytes),
    }
}
