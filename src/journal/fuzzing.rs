//! What is fuzzed of the journal; [`crate::fuzzing`] says how.

use std::fmt::Debug;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::seal::{seal_json, unseal};
use super::slot::{OpenChunk, Slot, read, unpack};
use super::{ReleaseDocument, ReleaseHeader, StateRecord};
use crate::control::slots::recorded;
use crate::report::Report;

/// Evidence as it is kept: what can be read is written as what is read again, and can be given to the deciding core.
pub(crate) fn evidence(bytes: &[u8]) {
    let Some(slots) = read(bytes) else { return };
    let mut chunk = OpenChunk::new(1, 0);
    slots.iter().for_each(|slot| chunk.push(slot));
    let packed = chunk.take(Timestamp::UNIX_EPOCH).pack();
    assert_eq!(unpack(&packed).expect("it has just been packed"), slots);
    for slot in slots {
        same_as_json(&slot);
        // What is no input of this program is refused.
        recorded(slot).ok();
    }
}

/// Damage is found, whatever it is.
pub(crate) fn damage(bytes: &[u8]) {
    if let Ok(slots) = unpack(bytes) {
        assert!(slots.is_empty() || bytes.len() > 4);
    }
    assert!(bytes.len() > 8 || unseal::<serde_json::Value>(bytes).is_err());
    unseal::<StateRecord>(bytes).ok();
    if serde_json::from_slice::<serde_json::Value>(bytes).is_ok() {
        let mut sealed = seal_json(bytes);
        unseal::<serde_json::Value>(&sealed).expect("it is whole");
        let last = sealed.len() - 1;
        sealed[last] ^= 1;
        assert!(unseal::<serde_json::Value>(&sealed).is_err());
    }
}

/// Records from their JSON, which the API gives out as well. A report of any can be written, and nothing in it is markup
/// that somebody else has written.
pub(crate) fn records(bytes: &[u8]) {
    if let Ok(slot) = serde_json::from_slice::<Slot>(bytes) {
        same_as_json(&slot);
    }
    if let Ok(state) = serde_json::from_slice::<StateRecord>(bytes) {
        same_as_json(&state);
    }
    if let Ok(document) = serde_json::from_slice::<ReleaseDocument>(bytes) {
        same_as_json(&document);
        ReleaseHeader::epoch_in(&document.record.header.id);
        let report = Report::new(document, None, Timestamp::UNIX_EPOCH);
        let (html, report) = (report.html(), report.markdown());
        assert!(!html.to_ascii_lowercase().contains("<script"), "{html}");
        let mut letters = report.chars();
        let unescaped: String = std::iter::from_fn(|| match letters.next() {
            Some('\\') => letters.next().map(|_| ' '),
            letter => letter,
        })
        .collect();
        assert!(!unescaped.contains(['<', '`']) && !unescaped.contains("](") && !unescaped.contains("!["), "{report}");
    }
}

fn same_as_json<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let json = serde_json::to_string(value).expect("records are plain data");
    assert_eq!(serde_json::from_str::<T>(&json).expect("it has just been written"), *value, "{json}");
}
