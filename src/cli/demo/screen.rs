//! What the demo tells: lines that stay and, on a terminal, a bar per step and the present figures below them.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use console::style;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::load::Seen;
use crate::control::status::{Status, StepStatus, VersionStatus};
use crate::gate::Kind;
use crate::gate::verdict::count;
use crate::release::Weight;

pub(super) struct Screen {
    began: Instant,
    live: Option<Live>,
}

/// The part that is redrawn in place.
struct Live {
    area: MultiProgress,
    steps: Vec<ProgressBar>,
    figures: [ProgressBar; 4],
    spaces: [ProgressBar; 2],
}

/// Where one step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// For so long.
    Baking(Duration),
    Held,
    RolledBack,
}

/// What the line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Bad,
}

/// Redraws in a second; the figures change ten times.
const REDRAWS: u8 = 10;

impl Screen {
    /// A bar for each of `steps`, full after its bake.
    pub(super) fn new(steps: &[StepStatus]) -> Screen {
        let live = std::io::stdout().is_terminal().then(|| Live::new(steps));
        Screen { began: Instant::now(), live }
    }

    /// A line without the time.
    pub(super) fn print(&self, line: &str, tone: Tone) {
        match &self.live {
            Some(live) => live.print(line, tone),
            None => print(line),
        }
    }

    /// A line with the time since the beginning.
    pub(super) fn say(&self, line: &str, tone: Tone) {
        self.print(&format!("{:5.1} s  {line}", self.began.elapsed().as_secs_f64()), tone);
    }

    /// Where step `number` (from 0) of `weight` is; `text` stands beside its bar.
    pub(super) fn step(&self, number: usize, weight: Weight, progress: Progress, text: &str) {
        match (&self.live, progress) {
            (Some(live), _) => live.step(number, progress, text),
            (None, Progress::Baking(_)) => {}
            (None, Progress::Held | Progress::RolledBack) => self.say(&format!("{weight}: {text}"), Tone::Plain),
        }
    }

    /// The present figures. Only a terminal shows them.
    pub(super) fn figures(&self, status: &Status, seen: Seen) {
        if let Some(live) = &self.live {
            live.figures(status, seen);
        }
    }

    /// No more is redrawn; the last figures stay.
    pub(super) fn end(&self) {
        if let Some(live) = &self.live {
            live.steps.iter().chain(&live.figures).chain(&live.spaces).for_each(ProgressBar::abandon);
            print("");
        }
    }
}

impl Live {
    fn new(steps: &[StepStatus]) -> Live {
        let area = MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(REDRAWS));
        let above = area.add(text_line());
        let steps = steps.iter().map(|step| {
            let bar = area.add(ProgressBar::new((step.bake * 1e3) as u64).with_style(bar_style("dim")));
            bar.set_prefix(step.weight.to_string());
            bar.tick();
            bar
        });
        let steps = steps.collect();
        let between = area.add(text_line());
        let figures = [(); 4].map(|()| area.add(text_line()));
        let spaces = [above, between];
        spaces.iter().for_each(ProgressBar::tick);
        Live { area, steps, figures, spaces }
    }

    fn print(&self, line: &str, tone: Tone) {
        let line = match tone {
            Tone::Plain => line.to_owned(),
            Tone::Good => style(line).green().to_string(),
            Tone::Bad => style(line).red().bold().to_string(),
        };
        if self.area.println(&line).is_err() {
            print(&line);
        }
    }

    fn step(&self, number: usize, progress: Progress, text: &str) {
        let bar = &self.steps[number];
        match progress {
            Progress::Baking(held) => {
                bar.set_style(bar_style("cyan"));
                bar.set_position(u64::try_from(held.as_millis()).unwrap_or(u64::MAX));
            }
            Progress::Held => {
                bar.set_style(bar_style("green"));
                bar.set_position(u64::MAX);
            }
            Progress::RolledBack => bar.set_style(bar_style("red")),
        }
        bar.set_message(text.to_owned());
    }

    fn figures(&self, status: &Status, seen: Seen) {
        let [blue, green, clients, verdict] = &self.figures;
        blue.set_message(version(&style("blue ").blue().to_string(), &status.blue));
        green.set_message(version(&style("green").green().to_string(), &status.green));
        clients.set_message(format!(
            "clients   {:>8} answers   {:>5} failed   {} waiting",
            count(seen.ended),
            count(seen.failed),
            seen.under_way()
        ));
        let kind = style(status.verdict.kind.name());
        let kind = match status.verdict.kind {
            Kind::Pass => kind.green(),
            Kind::Wait => kind.yellow(),
            Kind::Fail => kind.red(),
        };
        verdict.set_message(format!("verdict   {kind}: {}", status.verdict.sentence));
    }
}

fn version(name: &str, of: &VersionStatus) -> String {
    let p95 = of.counted.p95.map_or_else(|| "-".to_owned(), |p95| format!("{p95:.1} ms"));
    let (requests, failures) = (count(of.counted.requests), count(of.counted.failures));
    format!("{name} {}  {requests:>8} requests  {failures:>5} failed   P95 {p95}", of.version)
}

fn bar_style(colour: &str) -> ProgressStyle {
    ProgressStyle::with_template(&format!("  {{prefix:>5}}  {{bar:16.{colour}}}  {{msg}}"))
        .expect("the template is written here")
        .progress_chars("██░")
}

fn text_line() -> ProgressBar {
    let style = ProgressStyle::with_template("  {msg}").expect("the template is written here");
    ProgressBar::new(0).with_style(style)
}

/// Whoever reads may go away, as `head` does; the demo ends with its story all the same.
fn print(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}
