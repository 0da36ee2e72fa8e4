//! What keeps a release where it is.

use serde::{Deserialize, Serialize};

use super::Weight;
use super::gates::AtGate;
use super::input::{APPROVAL_DEADLINE, Held, TakenBack};

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
    /// Routes that go to blue for the rest of the release. No step waits for them, but the plan does not promote green
    /// without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_back: Vec<TakenBack>,
    /// What is asked before the plan goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<AtGate>,
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
        self.beside_gate().or_else(|| self.shut_gate().map(|gate| gate.sentence.as_str()))
    }

    /// The same of what is not a gate.
    pub(super) fn beside_gate(&self) -> Option<&str> {
        let probe = self.probe.as_ref().map(|probe| &probe.held);
        let paused = self.paused.as_ref();
        // What was looked at closer has shown, and nothing but a person goes on.
        let milder = if self.taken_back.is_empty() { probe.or(paused) } else { paused.or(probe) };
        let held = self.convicted.as_ref().or(milder);
        self.common.as_deref().or(held.map(|held| held.sentence.as_str()))
    }

    /// Ends what is there for want of an approval alone.
    pub(super) fn approved(&mut self) {
        for held in [&mut self.convicted, &mut self.paused] {
            held.take_if(|held| held.by == APPROVAL_DEADLINE);
        }
    }

    /// Ends what an operator ends who goes on; what was taken back stays so, and what is asked is asked still.
    pub(super) fn let_go(&mut self) -> Holds {
        let (taken_back, gate) = (std::mem::take(&mut self.taken_back), self.gate.take());
        std::mem::replace(self, Holds { taken_back, gate, ..Holds::default() })
    }

    pub(super) fn none(&self) -> bool {
        self.sentence().is_none()
    }
}
