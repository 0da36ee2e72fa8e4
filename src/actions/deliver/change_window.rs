//! Whether it is a time in which a release may go on. Nothing is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::End;
use crate::config::runbook::kind::ChangeWindow;

pub(super) fn look(window: &ChangeWindow) -> End {
    match window.shut_for(Timestamp::now()) {
        None => End::Delivered { sentence: "the change window is open".to_owned(), remembered: BTreeMap::new() },
        Some(left) => {
            let why = format!("the change window is shut: {}", shown(window));
            End::Retry { why, after: Some(Duration::try_from(left).unwrap_or_default()) }
        }
    }
}

pub(super) fn preview(window: &ChangeWindow) -> String {
    format!("goes on {}\n", shown(window))
}

fn shown(window: &ChangeWindow) -> String {
    let days: Vec<String> = window.days.iter().map(|day| format!("{day:?}")[..3].to_ascii_lowercase()).collect();
    let zone = window.zone.iana_name().unwrap_or("UTC");
    format!("{} from {:.5} to {:.5} ({zone})", days.join(", "), window.from.to_string(), window.to.to_string())
}
