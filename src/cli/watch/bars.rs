//! What `watch` shows on a terminal: lines that stay, and below them a bar per step and the present figures.

use console::style;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use crate::cli::status::{self, text};

/// The part that is redrawn in place.
pub(super) struct Bars {
    area: MultiProgress,
    /// Of the epoch that they were made for.
    steps: Vec<ProgressBar>,
    epoch: Option<u64>,
    figures: [ProgressBar; 4],
}

/// Redraws in a second.
const REDRAWS: u8 = 10;

impl Bars {
    pub(super) fn new() -> Bars {
        let area = MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(REDRAWS));
        let style = ProgressStyle::with_template("  {msg}").expect("the template is written here");
        let figures = [(); 4].map(|()| area.add(ProgressBar::new(0).with_style(style.clone())));
        Bars { area, steps: Vec::new(), epoch: None, figures }
    }

    pub(super) fn say(&self, line: &str, kind: &str) {
        let line = match kind {
            "rolledBack" | "routeTakenBack" | "frozen" | "irreversible" => style(line).red().bold().to_string(),
            "promoted" | "completed" => style(line).green().to_string(),
            _ => line.to_owned(),
        };
        if self.area.println(&line).is_err() {
            anstream::println!("{line}");
        }
    }

    pub(super) fn show(&mut self, of: &Value) {
        let steps = of["plan"]["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        let epoch = of["epoch"].as_u64();
        if self.epoch != epoch || self.steps.len() != steps.len() {
            self.steps.drain(..).for_each(|bar| bar.finish_and_clear());
            self.steps = steps.iter().enumerate().map(|(number, step)| self.bar(number, step)).collect();
            self.epoch = epoch;
        }
        let state = text(&of["state"]);
        let at = of["step"].as_u64().and_then(|step| usize::try_from(step).ok()).unwrap_or_default();
        for (number, (bar, step)) in self.steps.iter().zip(steps).enumerate() {
            let (colour, position) = match state {
                "completed" => ("green", Some(u64::MAX)),
                "idle" => ("dim", Some(0)),
                "rolledBack" => ("red", None),
                _ if number + 1 < at => ("green", Some(u64::MAX)),
                _ if number + 1 == at && state == "paused" => ("yellow", millis(&of["baked"])),
                _ if number + 1 == at => ("cyan", millis(&of["baked"])),
                _ => ("dim", Some(0)),
            };
            bar.set_style(bar_style(colour));
            let awaited = (number + 1 == at).then(|| status::awaited(of)).flatten();
            bar.set_message(message(step, awaited));
            if let Some(position) = position {
                bar.set_position(position);
            }
        }
        let mut lines = status::lines(of).into_iter();
        for figure in &self.figures {
            figure.set_message(lines.next().unwrap_or_default());
        }
    }

    /// No more is redrawn; the last figures stay.
    pub(super) fn end(&self) {
        self.steps.iter().chain(&self.figures).for_each(ProgressBar::abandon);
    }

    fn bar(&self, number: usize, step: &Value) -> ProgressBar {
        let bar = ProgressBar::new(millis(&step["bake"]).unwrap_or_default()).with_style(bar_style("dim"));
        let bar = self.area.insert(number, bar);
        bar.set_prefix(format!("{} %", step["weight"].as_f64().unwrap_or_default()));
        bar.set_message(message(step, None));
        bar
    }
}

/// What stands beside a step's bar.
fn message(step: &Value, awaited: Option<String>) -> String {
    let bake = match (step["mirror"].as_f64(), step["cohort"].as_str()) {
        (Some(share), _) => format!("{}, {share} % mirrored", status::seconds(&step["bake"])),
        (None, Some(cohort)) => format!("{}, cohort {cohort}", status::seconds(&step["bake"])),
        (None, None) => status::seconds(&step["bake"]),
    };
    match awaited {
        Some(awaited) => format!("{bake}, then an approval {awaited}"),
        None => format!("{bake}{}", status::approval(step)),
    }
}

fn millis(seconds: &Value) -> Option<u64> {
    seconds.as_f64().map(|seconds| (seconds * 1e3) as u64)
}

fn bar_style(colour: &str) -> ProgressStyle {
    ProgressStyle::with_template(&format!("  {{prefix:>7}}  {{bar:24.{colour}}}  {{msg}}"))
        .expect("the template is written here")
        .progress_chars("██░")
}
