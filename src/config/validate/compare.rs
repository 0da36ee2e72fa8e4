//! The settings of the comparison.

use crate::config::quantity::{fraction, number};
use crate::config::raw::RawCompare;
use crate::config::report::{Scope, Wrong};
use crate::gate::compare::Settings;

#[derive(Clone, Copy, Debug)]
pub(super) enum Comparing {
    Off,
    On(Settings),
}

impl Comparing {
    pub(super) const fn settings(self) -> Option<Settings> {
        match self {
            Comparing::Off => None,
            Comparing::On(settings) => Some(settings),
        }
    }
}

pub(super) fn comparing(scope: &mut Scope<'_, '_>, raw: RawCompare) -> Option<Comparing> {
    let default = Settings::default();
    // Evidence that would convict by chance in one of 20 releases holds a step already.
    let false_alarm = scope.optional("falseAlarm", raw.false_alarm, default.false_alarm, number(1e-6..=0.05));
    let ratio = scope.optional("ratio", raw.ratio, default.ratio, number(1.0..=100.0));
    let margin = scope.optional("margin", raw.margin, default.margin, fraction(0.0..=0.5));
    let slower = scope.optional("slower", raw.slower, default.slower, fraction(0.01..=1.0));
    let unacceptable = scope.optional("unacceptable", raw.unacceptable, default.unacceptable, fraction(0.001..=0.5));
    let settings = Settings {
        false_alarm: false_alarm?,
        ratio: ratio?,
        margin: margin?,
        slower: slower?,
        unacceptable: unacceptable?,
        ..default
    };
    if settings.unacceptable <= settings.margin {
        let wrong = Wrong::new("green may fail as much by `margin`", "write more than `margin`, like `5%`");
        // Whichever of the two is written by hand.
        let key = if scope.report.is_written(&scope.at.key("unacceptable")) { "unacceptable" } else { "margin" };
        scope.wrong(key, wrong);
    }
    Some(if raw.enabled == Some(false) { Comparing::Off } else { Comparing::On(settings) })
}
