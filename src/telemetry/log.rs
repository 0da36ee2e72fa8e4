//! The logs.

use std::env::{self, VarError};
use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::Warnings;

/// Which lines are written, as `info` or `info,portcullis::access=off`.
const RUST_LOG: &str = "RUST_LOG";

/// Human lines on a terminal, JSON otherwise; `RUST_LOG` chooses the levels.
pub fn logs() -> anyhow::Result<()> {
    let levels = match env::var(RUST_LOG) {
        Ok(levels) if !levels.trim().is_empty() => levels.parse().with_context(|| {
            format!("{RUST_LOG} is `{levels}`; it would be levels, as `debug` or `info,portcullis::access=off`")
        })?,
        Ok(_) | Err(VarError::NotPresent) => Targets::new().with_default(LevelFilter::INFO),
        Err(error) => return Err(error).context(RUST_LOG),
    };
    let lines = fmt::layer().with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        tracing_subscriber::registry().with(lines.with_filter(levels)).init();
    } else {
        let lines = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
        tracing_subscriber::registry().with(lines.with_filter(levels)).init();
    }
    Ok(())
}

/// What is odd about a configuration that was read.
pub fn warn(warnings: &Warnings) {
    for warning in warnings.iter() {
        let (line, column) = warning.position().unzip();
        tracing::warn!(file = warning.file(), line, column, why = warning.label(), "{}", warning.message());
    }
}
