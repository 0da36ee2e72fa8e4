//! A newer green while a release is open: that one ends, so that the newer has its plan from the beginning.

use super::telling::{self, Tone};
use super::{Cluster, PROXY, Proxy};
use crate::control::command::Change;
use crate::release::Input;

/// What a release that goes on is told as.
const NOT_SUPERSEDED: &str = "ReleaseNotSuperseded";

/// What was told of a release that goes on all the same, and its epoch.
#[derive(Default)]
pub(super) struct Superseding {
    told: Option<(u32, String)>,
}

impl Superseding {
    /// Ends the release of `green`, if it is open. What the proxy's own runbook has changed is no newer green.
    pub(super) async fn end(&mut self, cluster: &Cluster, proxy: &Proxy, green: &str, reason: &str, actor: &str) {
        let status = proxy.status.borrow().clone();
        if !status.is_open() || status.green.version != green || actor == PROXY {
            return;
        }
        let newer = Input::Supersede { actor: actor.to_owned(), reason: reason.to_owned() };
        let Err(failed) = proxy.commands.send(Change::Operator(newer)).await else { return };
        let now = (status.epoch.number(), failed.to_string());
        if self.told.as_ref() != Some(&now) {
            tracing::warn!(green, %failed, "a release goes on although there is a newer green");
            telling::tell(cluster, Tone::Warning, NOT_SUPERSEDED, &format!("{reason} ({actor}): {failed}")).await;
            self.told = Some(now);
        }
    }
}
