//! `portcullis replay ID`: what a policy decides on the recorded evidence of a release, beside what was decided.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use http::Method;
use serde_json::json;

use super::client::{Admin, runtime};
use super::output::Output;
use crate::config::{self, Environment, References};
use crate::gate::verdict::duration;
use crate::journal::{DecisionRecord, ReleaseDocument};
use crate::replay::{Decided, Replay, Replayed};

/// Decide a recorded release again, by its own policy or by another
#[derive(Debug, clap::Args)]
pub(super) struct Again {
    /// The release's id, as `history` shows it
    id: String,
    /// A configuration whose `gate` and `release` decide instead; of it nothing else counts
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    admin: Admin,
}

impl Again {
    /// 1 when the recorded policy does not decide as it did.
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let path = super::release_path(&self.id);
        let document: ReleaseDocument = serde_json::from_value(self.admin.call(Method::GET, &path, None)?)
            .context("the release is not one of this program's")?;
        let mut replay = match &self.policy {
            None => Replay::recorded(&document.record)?,
            Some(file) => {
                let name = file.display().to_string();
                let text = config::read_text(file).with_context(|| format!("{name} cannot be read"))?;
                let environment = Environment::of_process();
                match config::parse_rules(&text, &name, References::To(&environment)) {
                    Ok(rules) => Replay::another(rules, &document.record)?,
                    Err(faults) => {
                        anstream::eprintln!("{}", faults.styled());
                        bail!("{name} is not usable");
                    }
                }
            }
        };
        let evidence = format!("{path}/evidence");
        let read = self.admin.lines(&evidence, |line| {
            replay.take(serde_json::from_slice(line).context("the evidence is not one of this program's")?)?;
            Ok(ControlFlow::Continue(()))
        });
        runtime()?.block_on(read)?;
        let replayed = replay.finish();
        let difference = self.policy.is_none().then(|| replayed.difference(&document.decisions)).flatten();
        if self.output.is_json() {
            let recorded: Vec<Decided> = document.decisions.iter().map(Decided::from).collect();
            let Replayed { decided, remarks, last } = &replayed;
            let all = json!({
                "id": self.id, "recorded": recorded, "replayed": decided, "remarks": remarks,
                "evidenceSeconds": last.as_secs_f64(), "difference": difference,
            });
            anstream::println!("{all:#}");
        } else {
            self.show(&document.decisions, &replayed, difference.as_deref());
        }
        Ok(if difference.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn show(&self, recorded: &[DecisionRecord], replayed: &Replayed, difference: Option<&str>) {
        anstream::println!("What was decided:");
        recorded.iter().map(Decided::from).for_each(|decided| anstream::println!("{}", line(&decided)));
        match &self.policy {
            None => anstream::println!("\nWhat its own policy decides on the evidence:"),
            Some(file) => anstream::println!("\nWhat {} decides on the evidence:", file.display()),
        }
        replayed.decided.iter().for_each(|decided| anstream::println!("{}", line(decided)));
        for remark in &replayed.remarks {
            anstream::println!("  {:>9}  but {}", clock(remark.after), remark.sentence);
        }
        anstream::println!("  {:>9}  the evidence ends", clock(replayed.last));
        match (&self.policy, difference) {
            (None, None) => anstream::println!("\nEvery decision comes out as it was, to the last bit."),
            (None, Some(difference)) => anstream::println!("\nThe decisions differ: {difference}"),
            (Some(_), _) => anstream::println!(
                "\nThe traffic is what the release got at its own weights, and a failure streak what the workers found then."
            ),
        }
    }
}

fn line(decided: &Decided) -> String {
    let Decided { after, kind, actor, sentence, weight, .. } = decided;
    format!("  {:>9}  {kind} by {actor}, green at {} %: {sentence}", clock(*after), f64::from(*weight) / 100.0)
}

/// A time since the beginning, to the tenth of a second where that matters.
fn clock(after: Duration) -> String {
    duration(Duration::from_millis(u64::try_from(after.as_millis() / 100 * 100).unwrap_or(u64::MAX)))
}
