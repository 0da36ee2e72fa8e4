//! The files as they are written: every key optional, so that validation finds all that are missing.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};

/// A mapping. A derived structure alone would also take a list of its fields' values.
#[derive(Clone, Debug, Default)]
pub(super) struct Mapping<T>(pub(super) T);

/// A value with a unit, or a number that is read as if it were text.
#[derive(Clone, Debug)]
pub(super) struct Quantity(pub(super) String);

/// A whole number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count(pub(super) i64);

/// An element of a list; none when the element had a fault of its own.
type Element<T> = Option<T>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawConfig {
    pub(super) service: Option<String>,
    pub(super) listen: Option<String>,
    pub(super) workers: Option<Count>,
    pub(super) admin: Option<Mapping<RawAdmin>>,
    pub(super) blue: Option<Mapping<RawVersion>>,
    pub(super) green: Option<Mapping<RawVersion>>,
    pub(super) trusted_proxies: Option<Vec<Element<String>>>,
    pub(super) timeouts: Option<Mapping<RawTimeouts>>,
    pub(super) limits: Option<Mapping<RawLimits>>,
    pub(super) ejection: Option<Mapping<RawEjection>>,
    pub(super) drain: Option<Mapping<RawDrain>>,
    pub(super) access_log: Option<bool>,
    pub(super) gate: Option<Mapping<RawGate>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawAdmin {
    pub(super) listen: Option<String>,
    pub(super) tokens: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawVersion {
    pub(super) version: Option<String>,
    pub(super) endpoints: Option<Vec<Element<String>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTimeouts {
    pub(super) connect: Option<Quantity>,
    pub(super) request_head: Option<Quantity>,
    pub(super) response_head: Option<Quantity>,
    pub(super) body_idle: Option<Quantity>,
    pub(super) keep_alive: Option<Quantity>,
    pub(super) tunnel_idle: Option<Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawLimits {
    pub(super) connections: Option<Count>,
    pub(super) head_bytes: Option<Quantity>,
    pub(super) head_fields: Option<Count>,
    pub(super) response_head_bytes: Option<Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawEjection {
    pub(super) failures: Option<Count>,
    pub(super) duration: Option<Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawDrain {
    pub(super) wait: Option<Quantity>,
    pub(super) deadline: Option<Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawGate {
    pub(super) minimum_requests: Option<Count>,
    pub(super) triggers: Option<Vec<Element<Mapping<RawTrigger>>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTrigger {
    pub(super) name: Option<String>,
    pub(super) metric: Option<String>,
    pub(super) quantile: Option<Quantity>,
    pub(super) measure: Option<String>,
    pub(super) above: Option<Quantity>,
    pub(super) below: Option<Quantity>,
    pub(super) above_blue: Option<Quantity>,
    pub(super) at_least: Option<Count>,
    pub(super) floor: Option<Quantity>,
    pub(super) window: Option<Quantity>,
    pub(super) sustained: Option<Quantity>,
    pub(super) minimum_requests: Option<Count>,
    pub(super) action: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTokens {
    pub(super) tokens: Option<Vec<Element<Mapping<RawToken>>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawToken {
    pub(super) name: Option<String>,
    pub(super) role: Option<String>,
    pub(super) sha256: Option<String>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Mapping<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Mapping<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Mapping<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Mapping)
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                Ok(Quantity(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }
        }

        deserializer.deserialize_any(Text)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;

        impl Visitor<'_> for Whole {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Count, E> {
                Ok(Count(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Count, E> {
                i64::try_from(number).map(Count).map_err(|_| E::custom("out of range, expected a whole number"))
            }
        }

        deserializer.deserialize_any(Whole)
    }
}
