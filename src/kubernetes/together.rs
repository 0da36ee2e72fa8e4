//! This replica among the others: what `control` wants written and read, and what it has to hear.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::api::PostParams;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::lease::{CONFLICT, Elected, Election, Leases};
use super::peers::{self, Asking, Peer};
use super::resource::{ActionsStatus, GatedRollout, GatedRolloutStatus, LatchStatus, VerdictStatus};
use super::{Cluster, PROXY, acting};
use crate::admin::Leader;
use crate::control::replicas::Link;
use crate::control::status::Status;
use crate::control::together::{Body, Ends, Order, Place, Word};
use crate::proxy::{Lifecycle, Phase};
use crate::release::Weight;
use crate::replica::{Heard, How, Shared, Stamp, Write, Written};

/// What it works on.
pub(super) struct Hub {
    pub(super) leases: Leases,
    pub(super) ends: Ends,
    pub(super) status: watch::Receiver<Arc<Status>>,
    pub(super) lifecycle: Lifecycle,
    /// Whether this replica takes the steps.
    pub(super) leads: watch::Sender<bool>,
    /// For those who ask this replica.
    pub(super) leader: watch::Sender<Leader>,
    pub(super) asking: Asking,
    /// For what the others count.
    pub(super) link: Link,
}

/// Nobody waits longer for an answer of the API server.
const LONGEST_ANSWER: Duration = Duration::from_secs(5);

/// Between two attempts to read, at first and at most; and after a write that was refused for what trying again may not mend.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The objects that a write may still be about. The versions that `control` knows are among the last.
const KEPT: usize = 16;

/// The other replicas; none before they were met.
pub(super) type Met = Option<Vec<Peer>>;

/// The resource in the versions that `control` was told of.
#[derive(Default)]
struct Known(VecDeque<Arc<GatedRollout>>);

/// Takes part, until the process ends.
pub(super) async fn follow(cluster: &Cluster, hub: Hub) {
    let Hub { leases, ends, status, lifecycle, leads, leader, asking, link } = hub;
    let Ends { words, orders, place, acted } = ends;
    let (found, others) = watch::channel(None);
    let (among, joined) = watch::channel(peers::Among { place: Place::Follows, others: Arc::default() });
    tokio::join!(
        elect(&leases, &words, &leader, others.clone(), lifecycle.clone()),
        meet(&leases, &found, place.clone(), lifecycle),
        carry(cluster, orders, &words, &status, &others, &place),
        is_placed(place.clone(), leads),
        is_among(place.clone(), others.clone(), among),
        peers::follow(joined, asking, link),
        acting::follow(cluster, &words, place.clone(), others.clone(), acted),
    );
}

async fn is_placed(mut place: watch::Receiver<Place>, leads: watch::Sender<bool>) {
    while place.changed().await.is_ok() {
        let is_leader = *place.borrow_and_update() == Place::Leads;
        leads.send_if_modified(|known| std::mem::replace(known, is_leader) != is_leader);
    }
}

/// Tells whoever asks the others who they are, and whether this one is to ask them.
async fn is_among(
    mut place: watch::Receiver<Place>,
    mut others: watch::Receiver<Met>,
    among: watch::Sender<peers::Among>,
) {
    loop {
        let others_now = others.borrow_and_update().clone().unwrap_or_default().into();
        let now = peers::Among { place: *place.borrow_and_update(), others: others_now };
        among.send_if_modified(|known| {
            let is_new = *known != now;
            *known = now;
            is_new
        });
        let changed = tokio::select! {
            changed = place.changed() => changed,
            changed = others.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// Stands for election for as long as the proxy serves.
async fn elect(
    leases: &Leases,
    words: &mpsc::Sender<Word>,
    leader: &watch::Sender<Leader>,
    mut others: watch::Receiver<Met>,
    mut lifecycle: Lifecycle,
) {
    let mut election = Election::default();
    let mut led = false;
    while *lifecycle.borrow_and_update() == Phase::Serving {
        let word = match leases.elect(&mut election).await {
            Elected::This { until } => {
                led = true;
                leader.send_replace(Leader::This);
                Word::Leads { until }
            }
            Elected::Other { holder } => {
                led = false;
                let holder = holder.filter(|holder| !holder.is_empty());
                let at = |holder: &String| others.borrow().iter().flatten().find(|peer| peer.name == *holder).cloned();
                leader.send_replace(Leader::Other { admin: holder.as_ref().and_then(at).map(|peer| peer.admin) });
                Word::Follows { leader: holder }
            }
        };
        if words.send(word).await.is_err() {
            return;
        }
        tokio::select! {
            () = sleep(leases.period()) => {}
            _ = lifecycle.changed() => {}
            // Where the leader is to be found may be among it.
            Ok(()) = others.changed() => {}
        }
    }
    leader.send_replace(Leader::Other { admin: None });
    // Nothing is decided by it from here on, before another can have it.
    if words.send(Word::Follows { leader: None }).await.is_ok() {
        _ = timeout(LONGEST_ANSWER, leases.resign(led)).await;
    }
}

/// Shows the others that this replica is there, and looks who they are.
///
/// The leader looks as often as it renews its Lease, because it adds up what they count. A hundred that all did would ask for ten
/// thousand Leases within two seconds.
async fn meet(
    leases: &Leases,
    found: &watch::Sender<Met>,
    mut place: watch::Receiver<Place>,
    mut lifecycle: Lifecycle,
) {
    let mut is_shown_until = Instant::now();
    while *lifecycle.borrow_and_update() == Phase::Serving {
        let leads = *place.borrow_and_update() == Place::Leads;
        let met = timeout(LONGEST_ANSWER, async {
            if Instant::now() >= is_shown_until {
                leases.show().await?;
                is_shown_until = Instant::now() + leases.relied_on();
            }
            leases.others().await
        });
        let until = match met.await {
            Ok(Ok(others)) => {
                let met = Some(others);
                found.send_if_modified(|known| std::mem::replace(known, met.clone()) != met);
                if leads { leases.period() } else { leases.relied_on() }
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "the other replicas were not met");
                leases.period()
            }
            Err(_) => {
                tracing::debug!("the other replicas were not met: no answer");
                leases.period()
            }
        };
        tokio::select! {
            () = sleep(until) => {}
            Ok(()) = place.changed() => {}
            _ = lifecycle.changed() => {}
        }
    }
}

/// Carries words and orders between `control` and the API server.
async fn carry(
    cluster: &Cluster,
    mut orders: mpsc::Receiver<Order>,
    words: &mpsc::Sender<Word>,
    status: &watch::Receiver<Arc<Status>>,
    others: &watch::Receiver<Met>,
    place: &watch::Receiver<Place>,
) {
    let mut known = Known::default();
    let mut seen = cluster.seen.clone();
    let mut reading: Option<(u32, Duration)> = None;
    loop {
        let (wanted, wait) = reading.unwrap_or((0, Duration::ZERO));
        let word = tokio::select! {
            biased;
            order = orders.recv() => match order {
                None => return,
                Some(Order::Read(number)) => {
                    reading = Some((number, Duration::ZERO));
                    None
                }
                Some(Order::Write(write)) => {
                    let Write { version, shared } = *write;
                    let by = shared.by;
                    let written = match known.with(&version) {
                        Some(resource) => {
                            let was = resource.status_or_none();
                            let leader = match *place.borrow() {
                                Place::Leads => Some(cluster.replica.clone()),
                                Place::Follows => was.leader.clone(),
                            };
                            let replicas = u32::try_from(others.borrow().iter().flatten().count() + 1).ok();
                            let told = GatedRolloutStatus { leader, replicas, ..was };
                            let told = told.with(&shared, &cluster.replica, &status.borrow());
                            put(cluster, GatedRollout { status: Some(told), ..GatedRollout::clone(&resource) }).await
                        }
                        None => Written::Conflict,
                    };
                    Some(Word::Wrote { by, written })
                }
            },
            heard = read(cluster, wait), if reading.is_some() => match heard {
                Some(resource) => {
                    reading = None;
                    heard_of(resource.into(), How::Read(wanted), &mut known)
                }
                None => {
                    reading = Some((wanted, (wait * 2).clamp(SHORTEST_WAIT, LONGEST_WAIT)));
                    None
                }
            },
            changed = seen.changed() => {
                if changed.is_err() {
                    return;
                }
                let resource = seen.borrow_and_update().clone();
                resource.and_then(|resource| heard_of(resource, How::Watched, &mut known))
            }
        };
        if let Some(word) = word
            && words.send(word).await.is_err()
        {
            return;
        }
    }
}

async fn read(cluster: &Cluster, wait: Duration) -> Option<GatedRollout> {
    sleep(wait).await;
    match timeout(LONGEST_ANSWER, cluster.api.get_opt(&cluster.name)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the state of the replicas was not read");
            None
        }
        Err(_) => None,
    }
}

/// None of a state that this program does not understand: nothing is done about it, and nothing is written over it.
fn heard_of(resource: Arc<GatedRollout>, how: How, known: &mut Known) -> Option<Word> {
    let version = resource.resource_version()?;
    let shared = match shared(&resource.status_or_none()) {
        Ok(shared) => shared,
        Err(error) => {
            tracing::error!(%error, "the state of the replicas cannot be read: everything is as it was");
            return None;
        }
    };
    known.keep(resource);
    Some(Word::Heard(Box::new(Heard { version, shared, how })))
}

fn shared(status: &GatedRolloutStatus) -> Result<Option<Shared<Body>>, serde_json::Error> {
    let (Some(turn), Some(record)) = (status.turn, &status.record) else { return Ok(None) };
    let body = serde_json::from_value(record.clone())?;
    let turn = u64::try_from(turn).unwrap_or_default();
    Ok(Some(Shared { turn, by: status.by.as_deref().map_or(NOBODY, stamp), body }))
}

/// What somebody else has written by hand.
const NOBODY: Stamp = Stamp { process: 0, number: 0 };

/// `REPLICA/PROCESS/NUMBER`.
fn stamp(text: &str) -> Stamp {
    let mut parts = text.rsplit('/').map(|part| part.parse().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(number), Some(process)) => Stamp { process, number },
        (_, _) => NOBODY,
    }
}

async fn put(cluster: &Cluster, resource: GatedRollout) -> Written<String> {
    let parameters = PostParams { field_manager: Some(PROXY.to_owned()), ..PostParams::default() };
    let written = cluster.api.replace_status(&cluster.name, &parameters, &resource);
    let why = match timeout(LONGEST_ANSWER, written).await {
        Ok(Ok(written)) => return written.resource_version().map_or(Written::Unknown, Written::Done),
        Ok(Err(kube::Error::Api(status))) if status.code == CONFLICT => return Written::Conflict,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer".to_owned(),
    };
    tracing::warn!(why, "the state of the replicas was not written, as far as is known");
    sleep(SHORTEST_WAIT * 4).await;
    Written::Unknown
}

impl GatedRolloutStatus {
    /// The same with another state of the release.
    fn with(self, shared: &Shared<Body>, replica: &str, status: &Status) -> GatedRolloutStatus {
        let Shared { turn, by: Stamp { process, number }, body } = shared;
        let record = &body.record;
        let weight = Weight::from_basis_points(record.weight).unwrap_or_default();
        let verdict = &status.verdict;
        let is_news = record.latch.is_some() && self.actions.as_ref().is_none_or(|known| known.epoch != record.epoch);
        let actions = || ActionsStatus { epoch: record.epoch, replica: replica.to_owned(), left: body.to_do.clone() };
        GatedRolloutStatus {
            actions: if is_news { Some(actions()) } else { self.actions.clone() },
            turn: i64::try_from(*turn).ok(),
            by: Some(format!("{replica}/{process}/{number}")),
            epoch: Some(record.epoch),
            state: Some(record.state.clone()),
            weight: Some(weight.percent()),
            step: record.step.map(|index| index + 1),
            blue: Some(record.blue.clone()),
            green: Some(record.green.clone()),
            latch: record.latch.clone().map(|latch| LatchStatus::new(record.epoch, latch)),
            verdict: match &record.latch {
                Some(latch) => Some(VerdictStatus { kind: "fail".to_owned(), sentence: latch.reason.clone() }),
                None => {
                    Some(VerdictStatus { kind: verdict.kind.name().to_owned(), sentence: verdict.sentence.clone() })
                }
            },
            record: Some(serde_json::to_value(body).expect("plain data")),
            ..self
        }
    }
}

impl Known {
    fn keep(&mut self, resource: Arc<GatedRollout>) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(resource);
    }

    fn with(&self, version: &str) -> Option<Arc<GatedRollout>> {
        self.0.iter().rev().find(|known| known.metadata.resource_version.as_deref() == Some(version)).cloned()
    }
}

#[cfg(test)]
mod tests;
