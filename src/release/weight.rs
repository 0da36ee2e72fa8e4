//! Green's share of new requests.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Green's share of new requests, 0 to 100 %, in basis points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u16);

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0} is not a weight: it must be a number from 0 to 100 with at most two decimals")]
pub struct NotAWeight(pub f64);

impl Weight {
    pub const ZERO: Weight = Weight(0);
    pub const FULL: Weight = Weight(10_000);
    /// Where the weight drops to when green looks bad and blame is not yet certain.
    pub const PROBE: Weight = Weight(1_000);

    /// From percent, as the API and the configuration write it.
    pub fn from_percent(percent: f64) -> Result<Weight, NotAWeight> {
        let basis_points = percent * 100.0;
        let whole = basis_points.round();
        if !(0.0..=10_000.0).contains(&basis_points) || (basis_points - whole).abs() > 1e-6 {
            return Err(NotAWeight(percent));
        }
        Ok(Weight(whole as u16))
    }

    /// None above 100 %.
    pub const fn from_basis_points(basis_points: u16) -> Option<Weight> {
        if basis_points > Weight::FULL.0 { None } else { Some(Weight(basis_points)) }
    }

    /// As a function, for serde.
    pub(super) const fn full() -> Weight {
        Weight::FULL
    }

    pub const fn is_full(&self) -> bool {
        self.0 == Weight::FULL.0
    }

    pub const fn basis_points(self) -> u16 {
        self.0
    }

    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.percent())
    }
}

impl Serialize for Weight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.percent())
    }
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Weight, D::Error> {
        Weight::from_percent(f64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Weight {
    fn schema_name() -> Cow<'static, str> {
        "Weight".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 100, "description": "Percent, with at most two decimals." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_a_percentage_with_at_most_two_decimals() {
        for (percent, basis_points) in [(0.0, 0), (0.01, 1), (33.33, 3333), (99.99, 9999), (100.0, 10_000)] {
            assert_eq!(Weight::from_percent(percent).map(Weight::basis_points), Ok(basis_points));
        }
        for percent in [-1.0, -0.01, 100.01, 101.0, 0.001, 33.333, f64::INFINITY, 1e308] {
            assert_eq!(Weight::from_percent(percent), Err(NotAWeight(percent)));
        }
        assert!(Weight::from_percent(f64::NAN).is_err());
    }
}
