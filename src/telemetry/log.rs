//! The logs.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Human lines on a terminal, JSON otherwise; `RUST_LOG` chooses the levels.
pub fn logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        lines.init();
    } else {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
    }
}
