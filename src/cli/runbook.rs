//! `portcullis runbook test FILE`: what the actions of a configuration would send, and whether it is taken.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::actions::deliver::preview;
use crate::actions::outbox::plain;
use crate::actions::reach::Reach;
use crate::actions::{Attempt, Context, End, Facts, Now, Remembered, deliver};
use crate::config::runbook::{Action, Moment};
use crate::config::{self, Config, Environment};
use crate::live::Live;
use crate::resolve::{self, Wanted};
use crate::routing::{Routing, Table};

/// Try out the actions of a configuration's runbook
#[derive(Debug, clap::Args)]
pub(super) struct Runbook {
    #[command(subcommand)]
    does: Does,
}

#[derive(Debug, clap::Subcommand)]
enum Does {
    Test(Test),
}

/// Show what every action would do for a release made up for it, without secrets, and do it with `--send`
#[derive(Debug, clap::Args)]
struct Test {
    /// The configuration file
    file: PathBuf,
    /// The actions of this moment alone, like `rolledBack`
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    moment: Option<Moment>,
    /// The action of this name alone
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Carry them out: requests are marked by the header `Portcullis-Test: true`, and templates see `test`
    #[arg(long)]
    send: bool,
}

/// Without an answer, or with one that refuses.
const FAILED: u8 = 1;

impl Runbook {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let Does::Test(test) = &self.does;
        test.run()
    }
}

impl Test {
    /// 0 when every action can be made, and with `--send` was taken; 1 otherwise.
    fn run(&self) -> anyhow::Result<ExitCode> {
        let config = config::load(&self.file, &Environment::of_process())?;
        let wanted = |moment: Moment| self.moment.is_none_or(|only| only == moment);
        let actions = Moment::ALL
            .into_iter()
            .filter(|moment| wanted(*moment))
            .flat_map(|moment| config.runbook.at(moment).map(move |action| (moment, action)));
        let named = |action: &Action| self.name.as_ref().is_none_or(|name| *name == action.name);
        let actions: Vec<_> = actions.filter(|(_, action)| named(action)).collect();
        anyhow::ensure!(!actions.is_empty(), "{}: its runbook has no such action", self.file.display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let reach = if self.send { Some(reach(&config)?) } else { None };
        let mut earlier = Vec::new();
        let mut has_failed = false;
        for (moment, action) in actions {
            let context = context(&config, moment, action, earlier.clone());
            anstream::println!("== {}: {} ({})", moment.name(), action.name, action.kind.name());
            match preview(&action.kind, &context) {
                Ok(shown) => anstream::println!("{}", shown.trim_end()),
                Err(error) => {
                    has_failed = true;
                    anstream::println!("error: {error}");
                    continue;
                }
            }
            if let Some((reach, _)) = &reach {
                let attempt = runtime.block_on(deliver(action, &context, reach));
                has_failed |= !is_taken(&attempt);
                anstream::println!("-> {}", told(&attempt));
                earlier.push(remembered(action, moment, attempt));
            }
            anstream::println!();
        }
        Ok(ExitCode::from(if has_failed { FAILED } else { 0 }))
    }
}

fn moment(text: &str) -> Result<Moment, String> {
    let names = Moment::ALL.map(Moment::name).join(", ");
    Moment::named(text).ok_or_else(|| format!("use one of {names}"))
}

fn context(config: &Config, moment: Moment, action: &Action, earlier: Vec<Remembered>) -> Context {
    let (blue, green) = (&config.versions.blue.version, &config.versions.green.version);
    let mut facts = Facts::sample(moment, &config.service, blue, green);
    if let Some(link) = &config.runbook.link {
        facts.report = format!("{link}/v1/releases/{}/report", facts.release);
    }
    let at = Timestamp::now().as_millisecond();
    let key = format!("test:{}:{at}", plain(&action.name));
    Context::new(facts, Now { key, ..Now::sample() }, earlier, &config.runbook)
}

/// Of a proxy that serves nothing, and what names are looked up as long as.
fn reach(config: &Config) -> anyhow::Result<(Reach, watch::Sender<Wanted>)> {
    let endpoints = [&config.versions.blue, &config.versions.green];
    let names = endpoints.iter().flat_map(|version| &version.endpoints).filter_map(config::Endpoint::name);
    let wanted = Wanted { names: names.map(str::to_owned).collect(), nameservers: config.nameservers.clone() };
    let (keep, wanted) = watch::channel(wanted);
    let started = resolve::start(wanted).context("names cannot be looked up")?;
    let live = Arc::new(Live::new(config, &started.first));
    let routing = Arc::new(Routing::to(live, Table::default(), None, mpsc::channel(1).0));
    Ok((Reach::new(started.lookups, Arc::clone(&config.runbook.allow), routing), keep))
}

fn is_taken(attempt: &Attempt) -> bool {
    match attempt.end {
        End::Delivered { .. } | End::Task { .. } | End::Skipped { .. } => true,
        End::Retry { .. } | End::Failed { .. } => false,
    }
}

fn told(attempt: &Attempt) -> String {
    match &attempt.end {
        End::Delivered { sentence, .. } => format!("done: {sentence}"),
        End::Task { .. } => "it would be listed as a task".to_owned(),
        End::Skipped { why } => format!("skipped: {why}"),
        End::Retry { why, .. } => format!("failed, and would be tried again: {why}"),
        End::Failed { why } => format!("failed: {why}"),
    }
}

fn remembered(action: &Action, moment: Moment, attempt: Attempt) -> Remembered {
    let (result, values) = match attempt.end {
        End::Delivered { remembered, .. } => ("done", remembered),
        End::Task { .. } => ("task", BTreeMap::new()),
        End::Skipped { .. } => ("skipped", BTreeMap::new()),
        End::Retry { .. } | End::Failed { .. } => ("failed", BTreeMap::new()),
    };
    let (name, kind) = (action.name.clone(), action.kind.name().to_owned());
    Remembered { name, kind, moment, result: result.to_owned(), values }
}
