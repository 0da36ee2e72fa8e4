//! What became of the requests that green failed and that could have been sent again, to blue.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shielded {
    /// Blue answered in green's place: the client saw no failure.
    Answered,
    /// Blue failed it too.
    BlueFailed,
    /// Blue is known to be bad, or takes no more.
    BlueUnfit,
    /// Blue has had as many of them as it is to have.
    OverBudget,
    /// Its body was too long to be held, or broke off.
    NotHeld,
}

/// Those that one worker has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shields {
    counts: [u64; Shielded::ALL.len()],
    in_epoch: InEpoch,
}

/// Those that blue got, of the failures of one epoch that people are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InEpoch {
    pub given: u64,
    /// Of them, those that have ended.
    pub answered: u64,
    pub failed: u64,
}

/// Whether green's part in a request is one of the failures of the epoch that the counts are of, as people are shown them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfGreen {
    Failure,
    /// Routed before, no evidence, or charged to nobody.
    Aside,
}

impl InEpoch {
    pub fn add(&mut self, other: InEpoch) {
        self.given += other.given;
        self.answered += other.answered;
        self.failed += other.failed;
    }
}

impl Shielded {
    pub const ALL: [Shielded; 5] =
        [Shielded::Answered, Shielded::BlueFailed, Shielded::BlueUnfit, Shielded::OverBudget, Shielded::NotHeld];

    /// Why the client saw a failure; none where it did not.
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Shielded::Answered => None,
            Shielded::BlueFailed => Some("blue_failed"),
            Shielded::BlueUnfit => Some("blue_unfit"),
            Shielded::OverBudget => Some("over_budget"),
            Shielded::NotHeld => Some("not_held"),
        }
    }
}

impl Shields {
    pub fn count(&mut self, shielded: Shielded, of_green: OfGreen) {
        self.counts[shielded as usize] += 1;
        match (of_green, shielded) {
            (OfGreen::Failure, Shielded::Answered) => self.in_epoch.answered += 1,
            (OfGreen::Failure, Shielded::BlueFailed) => self.in_epoch.failed += 1,
            (OfGreen::Failure, Shielded::BlueUnfit | Shielded::OverBudget | Shielded::NotHeld)
            | (OfGreen::Aside, _) => {}
        }
    }

    /// Blue gets one.
    pub fn give(&mut self, of_green: OfGreen) {
        self.in_epoch.given += u64::from(of_green == OfGreen::Failure);
    }

    pub fn of(&self, shielded: Shielded) -> u64 {
        self.counts[shielded as usize]
    }

    /// Of the epoch that the counts beside them are of.
    pub fn in_epoch(&self) -> InEpoch {
        self.in_epoch
    }

    /// Another epoch begins.
    pub fn begin(&mut self) {
        self.in_epoch = InEpoch::default();
    }

    pub fn is_empty(&self) -> bool {
        *self == Shields::default()
    }
}
