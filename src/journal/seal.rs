//! A record as bytes that tell when they have been damaged: redb checks its own checksums only after a crash.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::error::Failure;

/// Bytes of the hash that are kept: enough against accidents, which are all that it is for.
const SEAL: usize = 8;

/// No record is nearly this long; what is would be a mistake that fills the disk.
const LONGEST: usize = 4 << 20;

fn seal_of(json: &[u8]) -> [u8; SEAL] {
    let hash = Sha256::digest(json);
    std::array::from_fn(|index| hash[index])
}

pub(super) fn seal(record: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let json = serde_json::to_vec(record).expect("records have string keys, and no serializer of theirs fails");
    if json.len() > LONGEST {
        return Err(Failure::TooLarge(json.len()));
    }
    Ok(seal_json(&json))
}

pub(super) fn seal_json(json: &[u8]) -> Vec<u8> {
    [&seal_of(json), json].concat()
}

pub(super) fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let damaged = |detail: &str| Failure::Corrupt(format!("a record {detail}"));
    let (seal, json) = bytes.split_at_checked(SEAL).ok_or_else(|| damaged("is cut short"))?;
    if seal != seal_of(json) {
        return Err(damaged("does not match its checksum"));
    }
    serde_json::from_slice(json).map_err(|error| damaged(&format!("is not what it should be: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_down_to_the_last_bit_of_a_float() {
        // Each is off by one bit when JSON is read by the fast way.
        for float in
            [0.1_f64 + 0.2, 1.000_000_000_000_000_2, 5e-324, 9.536_743_164_062_5e-7, -1.797_693_134_862_315_7e308]
        {
            let back: f64 = unseal(&seal(&float).expect("short")).expect("whole");
            assert_eq!(back.to_bits(), float.to_bits(), "{float:e}");
        }
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_found() {
        let sealed = seal(&json!({ "epoch": 7, "weight": 2500 })).expect("short");
        for position in 0..sealed.len() {
            for bit in 0..8 {
                let mut damaged = sealed.clone();
                damaged[position] ^= 1 << bit;
                assert!(unseal::<Value>(&damaged).is_err(), "byte {position}, bit {bit}");
            }
            assert!(unseal::<Value>(&sealed[..position]).is_err(), "cut at {position}");
        }
    }

    #[test]
    fn a_record_that_would_fill_the_disk_is_refused() {
        let long = "x".repeat(LONGEST);
        assert!(matches!(seal(&long), Err(Failure::TooLarge(size)) if size == LONGEST + 2));
    }
}
