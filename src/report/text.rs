//! Times, weights and names as people read them.

use std::time::Duration;

use jiff::Timestamp;

use crate::release::input::{GATE, PLAN};

/// `rolledBack` as `rolled back`.
pub(super) fn words(name: &str) -> String {
    let mut words = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(character.to_lowercase());
    }
    words
}

pub(super) fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// To the millisecond: much can happen within a second.
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S.%3f UTC").to_string()
}

/// Of a day that was named before.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// Hours, minutes and seconds.
pub(super) fn elapsed(after: Duration) -> String {
    let seconds = after.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// As [`elapsed`], to the millisecond.
pub(super) fn elapsed_exactly(after: Duration) -> String {
    format!("{}.{:03}", elapsed(after), after.subsec_millis())
}

/// An actor in a sentence.
pub(super) fn who(actor: &str) -> String {
    match actor {
        GATE | PLAN => format!("the {actor}"),
        person => person.to_owned(),
    }
}

pub(super) fn weight(basis_points: u16) -> String {
    format!("{} %", f64::from(basis_points) / 100.0)
}

/// A time of a release that began at `started`.
pub(super) fn since(started: Timestamp, after: Duration) -> Timestamp {
    started.checked_add(after).unwrap_or(Timestamp::MAX)
}

/// What others wrote, to stand in front of a full stop of ours.
pub(super) fn unstopped(sentence: &str) -> &str {
    sentence.trim().trim_end_matches('.')
}

/// Of what is no letter to be seen: text may not run backwards, or hide.
pub(super) const fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
