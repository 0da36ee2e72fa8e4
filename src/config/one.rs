//! One value, written as in a configuration. The error says what would be right.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::{Endpoint, Environment, Secret, quantity, raw, validate};

/// A duration written as in a configuration; the error says what would be right.
pub fn duration(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    quantity::duration(range)(raw::Quantity(text.to_owned()))
        .map_err(|wrong| format!("{}: {}", wrong.message, wrong.label))
}

/// An endpoint written as in a configuration; the error says what would be right.
pub fn endpoint(text: &str) -> Result<Endpoint, String> {
    quantity::endpoint(text).map_err(|wrong| format!("{}: {}", wrong.message, wrong.label))
}

/// An endpoint as it is recorded, which may be a Service.
pub fn recorded_endpoint(text: &str) -> Result<Endpoint, String> {
    text.parse().map(Endpoint::Service).or_else(|()| endpoint(text))
}

/// A secret that is named as in a configuration, a file from the working directory; the error says what would be right.
pub fn secret(text: &str) -> Result<Secret, String> {
    let environment = Environment::of_process();
    let vault =
        super::secret::Vault { environment: &environment, folder: Path::new(""), cluster: validate::Cluster::Absent };
    super::secret::read(text, vault).map_err(|wrong| format!("{}: {}", wrong.message, wrong.label))
}

/// The name of a version, as in a configuration.
pub fn version_name(text: &str) -> Result<String, String> {
    validate::label(text.to_owned()).map_err(|wrong| format!("{}: {}", wrong.message, wrong.label))
}
