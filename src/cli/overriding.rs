//! `portcullis override`: a signed value that chooses a version.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use crate::config::{self, Environment};
use crate::gate::Version;

/// Print a signed value with which a client may choose a version
#[derive(Debug, clap::Args)]
pub(super) struct Sign {
    /// The configuration file, whose `override.secret` signs
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// For how long it holds, like `8h`
    #[arg(long = "for", value_name = "DURATION", default_value = "1h")]
    time: String,
    /// The green version that it is for, if that is not the one of the file
    #[arg(long, value_name = "VERSION")]
    green: Option<String>,
}

const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

impl Sign {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let config = config::load(&self.config, &Environment::of_process())?;
        let time = config::duration(&self.time, Duration::from_secs(1)..=LONGEST).map_err(anyhow::Error::msg)?;
        let key = config.overriding.as_ref().and_then(|overriding| overriding.key.as_ref());
        let key = key.context("the file has no `override.secret` that could sign")?;
        let green = self.green.as_ref().unwrap_or(&config.versions.green.version);
        let expiry = jiff::Timestamp::now().as_second() + i64::try_from(time.as_secs())?;
        anstream::println!("{}", key.sign(Version::Green, green, expiry));
        Ok(())
    }
}
