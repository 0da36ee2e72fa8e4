//! How commands print: as text or as JSON, in colour or without.

use clap::{ColorChoice, ValueEnum};
use serde_json::Value;

use super::status;

/// How a command that prints state does so.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(super) struct Output {
    /// How to print it
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
    /// The same as `--output json`
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    #[default]
    Text,
    Json,
}

impl Output {
    #[cfg(test)]
    pub(super) fn json() -> Output {
        Output { json: true, ..Output::default() }
    }

    pub(super) fn is_json(self) -> bool {
        self.json || self.output == Form::Json
    }

    /// Prints the status that a call was answered with.
    pub(super) fn show(self, answer: anyhow::Result<Value>) -> anyhow::Result<()> {
        self.show_as(status::lines, answer)
    }

    /// The same of a status that has other lines.
    pub(super) fn show_as(self, lines: fn(&Value) -> Vec<String>, answer: anyhow::Result<Value>) -> anyhow::Result<()> {
        match answer? {
            status if self.is_json() => anstream::println!("{status:#}"),
            status => lines(&status).iter().for_each(|line| anstream::println!("{}", harmless(line))),
        }
        Ok(())
    }
}

/// What `auto` comes to is found out by whoever prints: colour on a terminal, and none with `NO_COLOR`.
pub(super) fn colour(choice: ColorChoice) {
    let (anstream, console) = match choice {
        ColorChoice::Auto => return,
        ColorChoice::Always => (anstream::ColorChoice::Always, true),
        ColorChoice::Never => (anstream::ColorChoice::Never, false),
    };
    anstream.write_global();
    console::set_colors_enabled(console);
    console::set_colors_enabled_stderr(console);
}

/// What others wrote, which must not move the cursor.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_move_the_cursor() {
        assert_eq!(harmless("a\u{1b}[2Jb\r\n"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
    }
}
