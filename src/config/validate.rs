//! The raw configuration to the validated one. Every value is looked at, whatever is wrong with the others.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::environment::Environment;
use super::fault::{Fault, Faults, Warnings};
use super::keys::config_keys;
use super::quantity::{self, quoted};
use super::raw::{RawConfig, Switch};
use super::read::{closest, listed, read};
use super::reference::References;
use super::report::{Report, Scope, Wrong};
use super::runbook::{self, RawRunbook, Runbook};
use super::secret::Vault;
use super::source::{self, Excerpts, Source};
use super::{AfterRollback, Config, Http2, RequestIds, Rules};
use crate::gate::ByVersion;
use crate::gate::policy::First;
use crate::release::Weight;

mod admin;
mod cohorts;
mod compare;
mod condition;
mod counting;
mod first;
mod gate;
mod health;
mod metric;
mod mirror;
mod networks;
mod overriding;
pub(super) mod release;
mod routes;
mod scaling;
mod service;
mod settings;
mod shield;
mod sticky;
mod tls;
mod tokens;
mod tracing;
mod transport;
mod trigger;
mod version;

pub(super) use first::RawFirst;
pub(super) use service::Cluster;

/// Larger than any configuration; a file that is still larger was named by mistake.
const LARGEST_FILE: usize = 1024 * 1024;
const MOST_WORKERS: i64 = 1024;
/// Names become metric labels.
const LONGEST_NAME: usize = 100;

/// What becomes of the files that a configuration names.
#[derive(Clone, Copy)]
pub(super) enum NamedFiles<'a> {
    In(Vault<'a>),
    Unread,
}

/// Reads a configuration, the variables, certificates and the tokens file that it names, and the secrets that that names.
///
/// # Errors
/// Everything that is wrong with the two files, or that one cannot be read.
pub fn load(path: &Path, environment: &Environment) -> Result<Config, Faults> {
    let name = path.display().to_string();
    match read_text(path) {
        Ok(text) => {
            let config = parse(&text, &name, path.parent().unwrap_or(Path::new("")), environment)?;
            Ok(Config { file: Some(path.to_owned()), ..config })
        }
        Err(error) => {
            let source = Arc::new(Source::new(name, String::new(), Excerpts::Shown));
            Err(Faults::new(vec![Fault::of_file(&source, format!("the configuration cannot be read: {error}"))]))
        }
    }
}

/// A whole text file of bounded size.
///
/// # Errors
/// When it cannot be opened, is too large or is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    read_bounded(path, LARGEST_FILE)
}

/// As [`read_text`], of what comes in.
///
/// # Errors
/// When it cannot be read, is too large or is not UTF-8.
pub fn read_text_from(from: impl Read) -> io::Result<String> {
    read_at_most(from, LARGEST_FILE)
}

pub(super) fn read_bounded(path: &Path, most: usize) -> io::Result<String> {
    read_at_most(File::open(path)?, most)
}

fn read_at_most(from: impl Read, most: usize) -> io::Result<String> {
    let mut text = String::new();
    let length = from.take(most as u64 + 1).read_to_string(&mut text)?;
    if length > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {most} bytes")));
    }
    Ok(text)
}

/// A configuration from text; `name` is what faults call it, and the tokens file is looked for in `folder`.
///
/// # Errors
/// Everything that is wrong with the text and with the tokens file.
pub fn parse(text: &str, name: &str, folder: &Path, environment: &Environment) -> Result<Config, Faults> {
    parse_at(text, name, folder, environment, Cluster::Absent)
}

fn parse_at(
    text: &str,
    name: &str,
    folder: &Path,
    environment: &Environment,
    cluster: Cluster,
) -> Result<Config, Faults> {
    parse_with(text, name, References::To(environment), NamedFiles::In(Vault { environment, folder, cluster }))
}

/// A configuration from the `spec` of a resource, which faults call `name`. Files are named from the working directory.
///
/// # Errors
/// Everything that is wrong with it, named by its path alone: the text is not the one that somebody wrote.
pub fn of_resource(spec: &Value, name: &str, environment: &Environment) -> Result<Config, Faults> {
    // JSON is YAML.
    let text = format!("{spec:#}");
    parse_at(&text, name, Path::new(""), environment, Cluster::Watched).map_err(Faults::without_places)
}

/// What decides, from the text of a whole configuration: a file's, or the [`Config::text`] of a configuration, whose
/// references are text. No other file is read.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse_rules(text: &str, name: &str, references: References<'_>) -> Result<Rules, Faults> {
    let rules = |Config { policy, plan, learn_routes, .. }| Rules { policy, plan, learn_routes };
    parse_with(text, name, references, NamedFiles::Unread).map(rules)
}

/// What the service is called in the text of a whole configuration, as [`Config::text`] has it; none where that is not
/// usable any more.
pub fn service_in(text: &str) -> Option<String> {
    parse_with(text, "a recorded configuration", References::Text, NamedFiles::Unread).ok().map(|config| config.service)
}

pub(super) fn parse_with(
    text: &str,
    name: &str,
    references: References<'_>,
    files: NamedFiles<'_>,
) -> Result<Config, Faults> {
    let source = Source::new(name.to_owned(), text.to_owned(), Excerpts::Shown);
    let (document, faults) = source::parse(Arc::new(source), references);
    let Some(document) = document else { return Err(Faults::new(faults)) };
    let (raw, mut report) = read::<RawConfig>(&document, faults, config_keys);
    let mut tokens_faults = Vec::new();
    let config = raw.and_then(|raw| config(&mut report, raw, files, &mut tokens_faults));
    let (mut faults, warnings) = report.into_parts();
    faults.append(&mut tokens_faults);
    match config {
        Some(config) if faults.is_empty() => {
            Ok(Config { text: document.resolved().into(), warnings: Warnings::new(warnings), ..config })
        }
        _ => Err(Faults::new(faults)),
    }
}

/// Where files are not read it is empty: it decides nothing.
fn runbook(root: &mut Scope<'_, '_>, raw: Option<RawRunbook>, files: NamedFiles<'_>) -> Option<Arc<Runbook>> {
    match (raw, files) {
        (Some(raw), NamedFiles::In(vault)) => runbook::runbook(&mut root.key("runbook"), raw, vault).map(Arc::new),
        (Some(_), NamedFiles::Unread) | (None, _) => Some(Arc::default()),
    }
}

fn config(
    report: &mut Report<'_>,
    raw: RawConfig,
    files: NamedFiles<'_>,
    tokens_faults: &mut Vec<Fault>,
) -> Option<Config> {
    let mut root = report.root();
    let service = root.optional("service", raw.service, "default".to_owned(), label);
    let listen = root.required("listen", raw.listen, quantity::socket);
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let workers = root.optional("workers", raw.workers, cores, |count| {
        let count = quantity::count(1..=MOST_WORKERS)(count)?;
        Ok(NonZeroUsize::new(count as usize).expect("the range begins at 1"))
    });
    let admin = match raw.admin {
        Some(admin) => admin::admin(&mut root.key("admin"), admin.0, listen, files, tokens_faults),
        None => root.missing("admin"),
    };
    let ByVersion { blue, green } = version::both(&mut root, raw.blue, raw.green, files);
    let trusted_proxies = networks::networks(&mut root, "trustedProxies", raw.trusted_proxies.unwrap_or_default());
    let proxied_from = match raw.proxy_protocol {
        Some(raw) => networks::proxied_from(&mut root.key("proxyProtocol"), raw.0.from),
        None => Some(Vec::new()),
    };
    let timeouts = settings::timeouts(&mut root.key("timeouts"), raw.timeouts.unwrap_or_default().0);
    let limits = settings::limits(&mut root.key("limits"), raw.limits.unwrap_or_default().0);
    let rate_limit = match raw.rate_limit {
        Some(raw) => settings::rate_limit(&mut root.key("rateLimit"), raw.0).map(Some),
        None => Some(None),
    };
    let ejection = settings::ejection(&mut root.key("ejection"), raw.ejection.unwrap_or_default().0);
    let drain = settings::drain(&mut root.key("drain"), raw.drain.unwrap_or_default().0);
    let after_rollback = raw.after_rollback.unwrap_or_default();
    let after_rollback = settings::after_rollback(&mut root.key("afterRollback"), after_rollback.0, drain);
    let http2 = settings::http2(&mut root.key("http2"), raw.http2);
    let tls = raw.tls.map(|raw| tls::tls(&mut root.key("tls"), raw.0, files, http2.unwrap_or(Http2::Off)));
    let access_log = settings::access_log(&mut root.key("accessLog"), raw.access_log);
    let request_ids = if raw.request_id == Some(true) { RequestIds::Ensured } else { RequestIds::PassedOn };
    let tracing = tracing::tracing(&mut root.key("tracing"), raw.tracing.unwrap_or_default().0, files);
    let response_head = timeouts.map(|timeouts| timeouts.response_head);
    let max_weight = green.as_ref().map_or(Weight::FULL, |green| green.max_weight);
    let plan = raw.release.and_then(|raw| release::plan(&mut root.key("release"), raw.0, max_weight));
    let is_off = matches!(raw.shield, Some(Switch::Off));
    let elsewhere = if is_off { routes::Shielded::Nothing } else { routes::Shielded::Something };
    let read_routes = |raw| routes::routes(&mut root.key("routes"), raw, timeouts, elsewhere);
    let routes = raw.routes.map_or_else(|| Some(Vec::new()), read_routes);
    let policy = gate::policy(&mut root, raw.gate.map(|gate| gate.0), routes, response_head, plan.as_ref());
    let cohorts = raw.cohorts.map_or(Some(vec![]), |raw| cohorts::cohorts(&mut root.key("cohorts"), raw));
    let sticky = raw.sticky.and_then(|raw| sticky::sticky(&mut root.key("sticky"), raw.0));
    let shield = shield::shield(&mut root.key("shield"), raw.shield, response_head);
    let overriding = raw
        .overriding
        .map(|raw| overriding::overriding(&mut root.key("override"), raw.0, service.as_deref(), files).map(Arc::new));
    let mirror = mirror::mirror(&mut root.key("mirror"), raw.mirror.unwrap_or_default().0);
    let nameservers = networks::nameservers(&mut root.key("resolver"), raw.resolver.unwrap_or_default().0.nameservers);
    let journal = settings::journal(&mut root.key("journal"), raw.journal.unwrap_or_default().0);
    let runbook = runbook(&mut root, raw.runbook.map(|raw| raw.0), files);
    let (trace_context, otlp) = tracing?;
    if let Some(runbook) = &runbook {
        let first = policy.as_ref().filter(|_| matches!(files, NamedFiles::In(_))).map(|(policy, ..)| &policy.first);
        refuse_of_runbook(&mut root, runbook, first.map(Vec::as_slice), after_rollback.as_ref());
    }
    let (mut policy, routes, learn_routes) = policy?;
    let (cohorts, after_rollback) = (cohorts?, after_rollback?);
    policy.watch = after_rollback.watch;
    policy.cohorts = cohorts.iter().map(|cohort| cohort.name.clone()).collect();
    if let Some(plan) = &plan {
        cohorts::refuse_unsuited(&mut root.key("release"), plan, &policy);
    }
    Some(Config {
        service: service?,
        listen: listen?,
        workers: workers?,
        admin: admin?,
        versions: ByVersion { blue: blue?, green: green? },
        trusted_proxies,
        proxied_from: proxied_from?,
        timeouts: timeouts?,
        limits: limits?,
        rate_limit: rate_limit?,
        ejection: ejection?,
        drain: drain?,
        after_rollback,
        http2: http2?,
        tls: tls.flatten(),
        access_log: access_log?,
        request_ids,
        trace_context,
        otlp,
        plan,
        policy,
        sticky,
        cohorts,
        shield: shield?,
        routes,
        learn_routes,
        learnt: Vec::new(),
        mirror: mirror?,
        overriding: overriding.flatten(),
        nameservers: nameservers?,
        journal: journal?,
        runbook: runbook?,
        text: Arc::default(),
        warnings: Warnings::default(),
        file: None,
    })
}

/// What an action cannot do as the rest of the file is.
fn refuse_of_runbook(
    root: &mut Scope<'_, '_>,
    runbook: &Runbook,
    first: Option<&[First]>,
    after_rollback: Option<&AfterRollback>,
) {
    if let Some(first) = first {
        first::refuse_unknown(&mut root.key("gate"), first, runbook);
    }
    if let Some(after_rollback) = after_rollback {
        scaling::refuse_early(&mut root.key("runbook"), runbook, after_rollback.drain);
    }
}

fn too_many(scope: &mut Scope<'_, '_>, key: &str, count: usize, most: usize) -> Option<()> {
    if count > most {
        scope.wrong(key, Wrong::new(format!("has {count} elements"), format!("at most {most} are allowed")));
        return None;
    }
    Some(())
}

/// A name that metrics and sentences show.
pub(super) fn label(text: String) -> Result<String, Wrong> {
    if text.trim().is_empty() {
        return Err(Wrong::new("is empty", "write a name"));
    }
    if text.chars().count() > LONGEST_NAME {
        return Err(Wrong::new(format!("{} is too long", quoted(&text)), format!("at most {LONGEST_NAME} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(Wrong::new(format!("{} has control characters", quoted(&text)), "write a name without them"));
    }
    Ok(text)
}

/// Refuses a name that one of `names` has, which it joins.
fn unique(scope: &mut Scope<'_, '_>, name: Option<String>, names: &mut Vec<String>) {
    let Some(name) = name else { return };
    if names.contains(&name) {
        let message = format!("{} is in the list already", quoted(&name));
        scope.wrong("name", Wrong::new(message, "choose another name"));
    }
    names.push(name);
}

pub(super) fn not_among(text: &str, kind: &str, known: &[&str]) -> Wrong {
    let label = match closest(text, known) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("use one of {}", listed(known)),
    };
    Wrong::new(format!("{} is not {kind}", quoted(text)), label)
}
