//! The Leases: one that elects who takes the steps, and one of each replica, by which they find each other.
//!
//! As clients of Kubernetes do it: who holds the Lease renews it, and others take it once they have seen it unchanged for as
//! long as it lasts, by their own clocks. The holder relies on it for two thirds of that, from before it was asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use tokio::time::{Instant, timeout};

use super::peers::Peer;
use crate::admin::Hop;

/// Of the Leases of replicas: whose replicas they are.
pub const ROLLOUT: &str = "portcullis.dev/rollout";

/// Where the admin listener of a replica is.
pub const ADMIN: &str = "portcullis.dev/admin";

/// A replica's Leases.
pub(super) struct Leases {
    pub(super) api: Api<Lease>,
    /// The resource's name, which is that of the Lease that elects.
    pub(super) rollout: String,
    pub(super) replica: String,
    /// Where its admin listener is, and by what it is spoken to.
    pub(super) authority: String,
    pub(super) hop: Hop,
    pub(super) lasts: Duration,
}

/// Who leads, as far as this replica has seen.
#[derive(Default)]
pub(super) struct Election {
    /// The last change of the Lease, and when it was seen.
    seen: Option<(String, Instant)>,
    /// Until when this replica relies on it.
    until: Option<Instant>,
}

/// What one look at the Lease comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Elected {
    This { until: Instant },
    Other { holder: Option<String> },
}

impl Leases {
    /// How often a Lease is renewed, or looked at.
    pub(super) fn period(&self) -> Duration {
        self.lasts * 2 / 15
    }

    /// How long the holder relies on it.
    pub(super) fn relied_on(&self) -> Duration {
        self.lasts * 2 / 3
    }

    /// Renews the Lease that elects, or takes it if it is to be had.
    pub(super) async fn elect(&self, election: &mut Election) -> Elected {
        let asked = Instant::now();
        let holder = match timeout(self.relied_on(), self.stand(election, asked)).await {
            Ok(Ok(None)) => {
                let until = asked + self.relied_on();
                election.until = Some(until);
                return Elected::This { until };
            }
            Ok(Ok(holder)) => {
                election.until = None;
                return Elected::Other { holder };
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        tracing::debug!(why = holder, "the Lease was neither renewed nor taken");
        match election.until.filter(|until| Instant::now() < *until) {
            Some(until) => Elected::This { until },
            None => Elected::Other { holder: None },
        }
    }

    /// None if it is this replica's.
    async fn stand(&self, election: &mut Election, now: Instant) -> kube::Result<Option<String>> {
        let Some(lease) = self.api.get_opt(&self.rollout).await? else {
            let lease = Lease { metadata: named(&self.rollout), spec: Some(self.spec(None)) };
            return taken(self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let version = lease.resource_version().unwrap_or_default();
        let since = match &election.seen {
            Some((seen, since)) if *seen == version => *since,
            Some(_) | None => {
                election.seen = Some((version, now));
                now
            }
        };
        let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
        let lasts = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let lasts = lasts.map_or(self.lasts, Duration::from_secs);
        match holder {
            Some(holder) if holder != self.replica && now - since < lasts => Ok(Some(holder)),
            Some(_) | None => {
                let lease = Lease { spec: Some(self.spec(Some(&spec))), ..lease };
                taken(self.api.replace(&self.rollout, &PostParams::default(), &lease).await)
            }
        }
    }

    /// Gives the Lease back, so that others need not wait, and ends that of this replica.
    pub(super) async fn resign(&self, leads: bool) {
        if leads
            && let Ok(Some(mut lease)) = self.api.get_opt(&self.rollout).await
            && let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.replica))
        {
            spec.holder_identity = None;
            spec.renew_time = Some(MicroTime(jiff::Timestamp::now()));
            if let Err(error) = self.api.replace(&self.rollout, &PostParams::default(), &lease).await {
                tracing::debug!(%error, "the Lease was not given back");
            }
        }
        if let Err(error) = self.api.delete(&self.own(), &DeleteParams::default()).await {
            tracing::debug!(%error, "the Lease of this replica was not deleted");
        }
    }

    /// Shows the others that this replica is there.
    pub(super) async fn show(&self) -> kube::Result<()> {
        let name = self.own();
        let mut metadata = named(&name);
        let label = (ROLLOUT.to_owned(), self.rollout.clone());
        let annotation = (ADMIN.to_owned(), self.hop.url(&self.authority));
        let Some(lease) = self.api.get_opt(&name).await? else {
            metadata.labels = Some(BTreeMap::from([label]));
            metadata.annotations = Some(BTreeMap::from([annotation]));
            let lease = Lease { metadata, spec: Some(self.spec(None)) };
            self.api.create(&PostParams::default(), &lease).await?;
            return Ok(());
        };
        let mut lease = Lease { spec: Some(self.spec(lease.spec.as_ref())), ..lease };
        lease.labels_mut().insert(label.0, label.1);
        lease.annotations_mut().insert(annotation.0, annotation.1);
        self.api.replace(&name, &PostParams::default(), &lease).await?;
        Ok(())
    }

    /// The replicas that have shown themselves of late, without this one.
    pub(super) async fn others(&self) -> kube::Result<Vec<Peer>> {
        let wanted = ListParams::default().labels(&format!("{ROLLOUT}={}", self.rollout));
        let leases = self.api.list(&wanted).await?;
        let oldest = jiff::Timestamp::now().saturating_sub(self.lasts * 2).ok();
        let peer = |lease: &Lease| {
            let spec = lease.spec.as_ref()?;
            let renewed = spec.renew_time.as_ref()?.0;
            let name = spec.holder_identity.clone()?;
            let is_there = name != self.replica && oldest.is_none_or(|oldest| renewed > oldest);
            is_there.then(|| Some(Peer { name, admin: lease.annotations().get(ADMIN)?.clone() })).flatten()
        };
        Ok(leases.items.iter().filter_map(peer).collect())
    }

    fn own(&self) -> String {
        format!("{}-{}", self.rollout, self.replica)
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(jiff::Timestamp::now());
        let before = before.cloned().unwrap_or_default();
        let is_new = before.holder_identity.as_ref() != Some(&self.replica);
        LeaseSpec {
            holder_identity: Some(self.replica.clone()),
            lease_duration_seconds: i32::try_from(self.lasts.as_secs().max(1)).ok(),
            acquire_time: if is_new { Some(now.clone()) } else { before.acquire_time },
            lease_transitions: Some(before.lease_transitions.unwrap_or_default() + i32::from(is_new)),
            renew_time: Some(now),
            ..before
        }
    }
}

/// Whoever was faster has it.
fn taken(written: kube::Result<Lease>) -> kube::Result<Option<String>> {
    match written {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) if status.code == CONFLICT => Ok(Some(String::new())),
        Err(error) => Err(error),
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

/// HTTP's 409.
pub(super) const CONFLICT: u16 = 409;

#[cfg(test)]
mod tests;
