//! What the journal's evidence says of the time around a moment, in slices of equal length. A slice ends with the moment, so
//! that none mixes what was before it with what came after.

use std::time::Duration;

use super::evidence::Decided;
use crate::control::slots::{self, Rare, Recorded};
use crate::course::grounds::Measure;
use crate::gate::{ByVersion, Latency};
use crate::journal::slot::Slot;
use crate::journal::{ReadError, ReleaseDocument};
use crate::measure::Tick;

/// The time that is looked at, since the release started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: Duration,
    to: Duration,
    slice: Duration,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Trace {
    pub(super) window: Window,
    /// From the window's beginning on; none for a slice in which nothing was measured, which is another thing than no requests.
    pub(super) slices: Vec<Option<ByVersion<Slice>>>,
}

/// One version in one slice.
#[derive(Clone, Debug, Default)]
pub(super) struct Slice {
    pub requests: u64,
    pub failures: u64,
    head: Latency,
    whole: Latency,
}

/// How long before the moment the charts begin.
const LEAD: Duration = Duration::from_secs(15 * 60);

/// How long a slice may be, in milliseconds.
const SLICES_MS: [u64; 6] = [200, 500, 1_000, 2_000, 5_000, 10_000];

/// So many slices before the moment are enough to see what happened.
const MOST_BEFORE: u32 = 90;

impl Window {
    /// Around the decision that the release is remembered for, or the last minutes of what goes on.
    pub(super) fn around(release: &ReleaseDocument, lasted: Duration) -> Window {
        let decided = Decided::of(release).filter(|_| release.record.header.ended.is_some());
        let moment = decided.map_or(lasted, |decided| decided.decision.after);
        let lead = moment.min(LEAD);
        let slices = SLICES_MS.map(Duration::from_millis);
        let slice = slices.into_iter().find(|slice| lead <= *slice * MOST_BEFORE).unwrap_or(slices[slices.len() - 1]);
        let before = u32::try_from(lead.as_nanos() / slice.as_nanos()).expect("the lead is minutes long");
        Window { from: moment - slice * before, to: moment + slots::AFTERMATH, slice }
    }

    pub(super) fn slice(&self) -> Duration {
        self.slice
    }

    /// When a slice begins.
    pub(super) fn begin(&self, index: usize) -> Duration {
        self.from + self.slice * u32::try_from(index).expect("a window has few slices")
    }

    /// What came in by then was counted in the slice of this number; none outside.
    fn index_of(&self, after: Duration) -> Option<usize> {
        let since = after.checked_sub(self.from).filter(|since| !since.is_zero() && after <= self.to)?;
        usize::try_from((since.as_nanos() - 1) / self.slice.as_nanos()).ok()
    }
}

impl Trace {
    /// From what is recorded of the window; what lies outside it is passed over.
    pub fn read(window: Window, slots: impl IntoIterator<Item = Result<Slot, ReadError>>) -> Result<Trace, ReadError> {
        let mut trace = Trace { window, slices: Vec::new() };
        for slot in slots {
            let slot = slot?;
            if slot.after > window.to {
                break;
            }
            let after = slot.after;
            let recorded = slots::recorded(slot).map_err(|fault| ReadError::Corrupt(fault.to_string()))?;
            match recorded {
                Recorded::Tick { counted, .. } => trace.count(after, &counted),
                Recorded::Rare(Rare::Counted(counted) | Rare::Aftermath(counted)) => {
                    trace.count(after, &slots::counted(&counted));
                }
                Recorded::Rare(_) => {}
            }
        }
        Ok(trace)
    }

    fn count(&mut self, after: Duration, tick: &Tick) {
        let Some(index) = self.window.index_of(after) else { return };
        if self.slices.len() <= index {
            self.slices.resize_with(index + 1, || None);
        }
        let slice = self.slices[index].get_or_insert_default();
        // What was routed before the weight changed is late for the comparison and no less the version's.
        for counted in [&tick.samples, &tick.late] {
            for (slice, sample) in [(&mut slice.blue, &counted.blue), (&mut slice.green, &counted.green)] {
                slice.requests += sample.evidence.requests;
                slice.failures += sample.evidence.failures;
                slice.head.add(&sample.evidence.latency);
                slice.whole.add(&sample.whole);
            }
        }
    }

    /// How many slices there are before `moment`.
    pub(super) fn before(&self, moment: Duration) -> usize {
        self.window.index_of(moment).map_or(self.slices.len(), |index| (index + 1).min(self.slices.len()))
    }
}

impl Slice {
    pub(super) fn latency(&self, measure: Measure) -> &Latency {
        match measure {
            Measure::Head => &self.head,
            Measure::Whole => &self.whole,
        }
    }
}
