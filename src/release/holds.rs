//! What keeps a release where it is.

use serde::{Deserialize, Serialize};

use super::Weight;
use super::input::{APPROVAL_DEADLINE, Held};

/// What keeps the plan from going on. Each is there for itself, and all must be gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// Both versions are bad; while that lasts nobody may raise the weight.
    pub common: Option<String>,
    /// What would have rolled back a release that is irreversible; an operator goes on.
    #[serde(default)]
    pub convicted: Option<Held>,
    /// The weight was lowered to look closer.
    pub probe: Option<Probe>,
    /// A trigger or an operator asked for a pause; an operator goes on.
    pub paused: Option<Held>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub held: Held,
    /// The weight before it.
    pub restore: Weight,
}

impl Holds {
    /// The sentence of what holds the release, the gravest first.
    pub fn sentence(&self) -> Option<&str> {
        let probe = self.probe.as_ref().map(|probe| &probe.held);
        let held = self.convicted.as_ref().or(probe).or(self.paused.as_ref());
        self.common.as_deref().or(held.map(|held| held.sentence.as_str()))
    }

    /// Ends what is there for want of an approval alone.
    pub(super) fn approved(&mut self) {
        for held in [&mut self.convicted, &mut self.paused] {
            held.take_if(|held| held.by == APPROVAL_DEADLINE);
        }
    }

    pub(super) fn none(&self) -> bool {
        self.sentence().is_none()
    }
}
