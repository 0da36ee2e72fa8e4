//! Which share of blue's requests is copied to green, and what became of the copies.

use schemars::JsonSchema;
use serde::Serialize;

use super::Control;
use crate::course::Input;
use crate::course::evidence::Counted;
use crate::gate::ByVersion;
use crate::measure::{Compared, Mirrored, Tick};
use crate::release::{Epoch, Weight};

/// How copies were answered otherwise than their originals, in one epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Differing {
    epoch: Epoch,
    compared: u64,
    status: u64,
    length: u64,
}

/// Of the requests that are copied to green, as `GET /v1/status` has it.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MirrorStatus {
    /// Percent of blue's.
    pub share: Weight,
    /// The originals.
    pub blue: Counted,
    /// The copies.
    pub green: Counted,
    /// Whole answers of both that were compared in this release, and how many of green's had another status, or the same and
    /// another length.
    pub compared: u64,
    pub other_status: u64,
    pub other_length: u64,
}

impl Control {
    /// Has the workers copy as much as the release says, or else the configuration, and send to green the cohorts that it names.
    /// There is none of that without a release.
    pub(super) fn beside(&self) {
        if self.keeps_beside() {
            return;
        }
        let of_open = |_| self.course.step_mirrors().unwrap_or(self.config.mirror.share);
        let share = self.course.state().run().map(of_open);
        let cohorts = self.cohorts(&self.inputs.routing.live().settings);
        self.inputs.routing.beside(self.course.epoch(), share, cohorts);
    }

    /// Gives the deciding core what is told apart from the evidence.
    pub(super) fn feed_beside(&mut self, tick: &Tick) {
        if self.course.state().run().is_none() {
            return;
        }
        if let Some(mirrored) = tick.mirrored.as_deref() {
            self.differing.add(mirrored, self.course.epoch());
            self.feed(&Input::Mirrored(&mirrored.samples), None).expect("no operator asks for it");
        }
        if let Some(overridden) = tick.overridden.as_deref() {
            self.feed(&Input::Overridden(overridden), None).expect("no operator asks for it");
        }
    }

    /// None where nothing is copied, nor was in the last minute.
    pub(super) fn mirror_status(&self) -> Option<MirrorStatus> {
        self.course.state().run()?;
        let share = self.inputs.routing.table().copied();
        let ByVersion { blue, green } = self.course.mirrored();
        let differing = if self.differing.epoch == self.course.epoch() { self.differing } else { Differing::default() };
        let is_used = share > Weight::ZERO || green.requests > 0;
        is_used.then(|| MirrorStatus {
            share,
            blue: Counted::new(blue),
            green: Counted::new(green),
            compared: differing.compared,
            other_status: differing.status,
            other_length: differing.length,
        })
    }
}

impl Differing {
    fn add(&mut self, mirrored: &Mirrored, epoch: Epoch) {
        if self.epoch != epoch {
            *self = Differing { epoch, ..Differing::default() };
        }
        let of = |compared| mirrored.compared(compared);
        self.compared += of(Compared::Same) + of(Compared::Status) + of(Compared::Length);
        self.status += of(Compared::Status);
        self.length += of(Compared::Length);
    }
}
