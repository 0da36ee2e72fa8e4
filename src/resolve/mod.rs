//! Names to addresses, on a thread of its own: looked up when they come, and again as long as they are wanted, as often as
//! their time to live says. What was found last holds for as long as lookups fail.
//!
//! [`lookup`] is one lookup. It is `hickory-resolver`'s and not `getaddrinfo`'s, which tells no time to live, cannot tell that
//! there is no address from a failure for one family of the two, and hangs in a thread that nobody can end. What it reads
//! is what `getaddrinfo` reads, `/etc/hosts` and `/etc/resolv.conf` with its search domains and `ndots`; other sources of
//! `/etc/nsswitch.conf` are not asked.

mod lookup;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::config::{Endpoint, Service};
use crate::live::{Addresses, Site};
use lookup::{Answer, Failure, Source};

/// What is looked up, and who is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub names: BTreeSet<String>,
    /// Empty for those of the system.
    pub nameservers: Vec<SocketAddr>,
}

/// The addresses of a name from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    pub addresses: Vec<Site>,
}

/// Where others ask for names that are about to be wanted.
#[derive(Clone, Debug)]
pub struct Lookups {
    names: mpsc::Sender<Ask>,
    /// None where no Services are followed.
    services: Option<mpsc::Sender<Ask>>,
}

/// What names stand for.
#[derive(Debug)]
pub struct Ask {
    pub names: BTreeSet<String>,
    pub reply: oneshot::Sender<Addresses>,
}

/// What is known when the thread has started, and what it will find.
pub struct Started {
    pub lookups: Lookups,
    /// Of every name that could be looked up in time.
    pub first: Addresses,
    pub found: mpsc::Receiver<Found>,
    /// Where others tell what they have found.
    pub findings: mpsc::Sender<Found>,
}

/// For so long whoever begins to use a name waits for its first lookup. A name server answers within milliseconds; one that
/// needs longer must not keep a proxy from serving by its other endpoints.
const FIRST: Duration = Duration::from_secs(2);

/// Below a second a name that changes with every answer would be nothing but lookups; beyond a minute the address of an endpoint
/// that has left may be another's, whatever the time to live says.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// After a failure, and twice as long after each one more. Ten seconds are what a name server that is back waits at most.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// What was found and has yet to be taken in. `control` takes it in at once.
const WAITING: usize = 64;

/// Starts the thread, which goes on until nobody wants anything any more. Returns when the first lookups have ended, or
/// their time has.
pub fn start(wanted: watch::Receiver<Wanted>) -> io::Result<Started> {
    let (asks, asked) = mpsc::channel(WAITING);
    let (findings, found) = mpsc::channel(WAITING);
    let others = findings.clone();
    let (begin, begun) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("portcullis-resolver".to_owned()).spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = runtime.expect("whoever cannot have a poll of its own cannot serve either");
        runtime.block_on(async {
            let first = Wanted::clone(&wanted.borrow());
            let source = Rc::new(Source::new(first.nameservers));
            // An error means that whoever started it is gone, and so are the others that it serves.
            _ = begin.send(source.all(for_dns(first.names)).await);
            serve(source, wanted, asked, findings).await;
        });
    })?;
    let first = begun.recv().map_err(io::Error::other)?;
    Ok(Started { lookups: Lookups { names: asks, services: None }, first, found, findings: others })
}

impl Lookups {
    /// What the names among `endpoints` stand for, as far as that can be found out in time.
    pub async fn of<'e>(&self, endpoints: impl IntoIterator<Item = &'e Endpoint>) -> Addresses {
        let names = endpoints.into_iter().filter_map(Endpoint::name).map(str::to_owned);
        let (services, names): (BTreeSet<String>, BTreeSet<String>) = names.partition(|name| is_service(name));
        let (mut found, pods) = tokio::join!(ask(Some(&self.names), names), ask(self.services.as_ref(), services));
        found.extend(pods);
        found
    }

    /// The same, where others find the pods of Services.
    #[must_use]
    pub fn with_services(self, services: mpsc::Sender<Ask>) -> Lookups {
        Lookups { services: Some(services), ..self }
    }
}

async fn ask(whom: Option<&mpsc::Sender<Ask>>, names: BTreeSet<String>) -> Addresses {
    let Some(whom) = whom.filter(|_| !names.is_empty()) else { return Addresses::default() };
    let (reply, answer) = oneshot::channel();
    match whom.send(Ask { names, reply }).await {
        Ok(()) => answer.await.unwrap_or_default(),
        // The proxy is on its way out.
        Err(_) => Addresses::default(),
    }
}

/// A Service of Kubernetes is no name for DNS.
fn is_service(name: &str) -> bool {
    name.parse::<Service>().is_ok()
}

fn for_dns(names: BTreeSet<String>) -> BTreeSet<String> {
    names.into_iter().filter(|name| !is_service(name)).collect()
}

async fn serve(
    mut source: Rc<Source>,
    mut wanted: watch::Receiver<Wanted>,
    mut asked: mpsc::Receiver<Ask>,
    findings: mpsc::Sender<Found>,
) {
    let mut followed: BTreeMap<String, Followed> = BTreeMap::new();
    loop {
        let Wanted { names, nameservers } = Wanted::clone(&wanted.borrow_and_update());
        let names = for_dns(names);
        if nameservers != source.nameservers {
            source = Rc::new(Source::new(nameservers));
            followed.clear();
        }
        followed.retain(|name, _| names.contains(name));
        for name in names {
            let follow = || follow(name.clone(), Rc::clone(&source), findings.clone());
            followed.entry(name.clone()).or_insert_with(|| Followed(tokio::task::spawn_local(follow())));
        }
        loop {
            tokio::select! {
                changed = wanted.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                Some(Ask { names, reply }) = asked.recv() => {
                    let source = Rc::clone(&source);
                    // An error means that whoever asked has gone.
                    tokio::task::spawn_local(async move { _ = reply.send(source.all(names).await) });
                }
            }
        }
    }
}

/// The lookups of one name; they end when this is dropped.
struct Followed(JoinHandle<()>);

impl Drop for Followed {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Source {
    /// What can be found within [`FIRST`].
    async fn all(&self, names: BTreeSet<String>) -> Addresses {
        let first = async |name: String| {
            let found = tokio::time::timeout(FIRST, self.look_up(&name, &[])).await;
            match found {
                Ok(Ok(Answer { addresses, .. })) => Some((name, places(&addresses))),
                // Whoever follows the name says so.
                Ok(Err(_)) | Err(_) => None,
            }
        };
        join_all(names.into_iter().map(first)).await.into_iter().flatten().collect()
    }
}

/// Looks `name` up again and again.
async fn follow(name: String, source: Rc<Source>, findings: mpsc::Sender<Found>) {
    let mut known: Vec<IpAddr> = Vec::new();
    let mut failed_in_a_row: u32 = 0;
    loop {
        let wait = match source.look_up(&name, &known).await {
            Ok(Answer { addresses, time_to_live }) => {
                if addresses != known || failed_in_a_row > 0 {
                    tracing::info!(name, addresses = list(&addresses), was = list(&known), "name resolved");
                }
                failed_in_a_row = 0;
                known.clone_from(&addresses);
                if findings.send(Found { name: name.clone(), addresses: places(&addresses) }).await.is_err() {
                    return;
                }
                time_to_live.clamp(SHORTEST, LONGEST)
            }
            Err(failure) => {
                say(&name, &known, failed_in_a_row, &failure);
                failed_in_a_row = failed_in_a_row.saturating_add(1);
                retry(failed_in_a_row)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

fn say(name: &str, known: &[IpAddr], failed_before: u32, failure: &Failure) {
    let kept = list(known);
    if failed_before == 0 {
        tracing::warn!(name, kept, %failure, "name not resolved");
    } else {
        tracing::debug!(name, kept, %failure, "name still not resolved");
    }
}

fn retry(failed_in_a_row: u32) -> Duration {
    let doubled = failed_in_a_row.saturating_sub(1).min(16);
    (RETRY * (1 << doubled)).min(LONGEST_RETRY)
}

fn places(addresses: &[IpAddr]) -> Vec<Site> {
    addresses.iter().copied().map(Site::from).collect()
}

fn list(addresses: &[IpAddr]) -> String {
    if addresses.is_empty() {
        return "none".to_owned();
    }
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_that_fail_come_less_often_up_to_a_bound() {
        let seconds: Vec<u64> = (1..=7).chain([u32::MAX]).map(|failed| retry(failed).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10, 10, 10]);
    }
}
