//! What is fuzzed of taking over; [`crate::fuzzing`] says how.

use super::wire::Word;

/// A word of another process, which is the same when it is said again.
pub(crate) fn word(bytes: &[u8]) {
    let Ok(word) = serde_json::from_slice::<Word>(bytes) else { return };
    let said = serde_json::to_string(&word).expect("a word is plain data");
    let again: Word = serde_json::from_str(&said).expect("it has just been said");
    assert_eq!(format!("{word:?}"), format!("{again:?}"));
}
