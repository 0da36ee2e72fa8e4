//! From the suspicion that something is wrong to the answer whose fault it is. Specification: §1.4.
//!
//! ```text
//!            green is over the bound            blue is over it as well
//!   Calm ───────────────────────► Suspected ◄──────────────────────────► Common
//!    ▲ ▲                            │   │      blue alone is within again   │
//!    │ └── acquitted: green within ─┘   │ 15 min                            │
//!    │ └── acquitted: green within ─────┼───────────────────────────────────┘
//!    └──── weight raised from 0 ─── Withdrawn
//! ```
//!
//! Convicted is reached from each of them, and left by nothing that comes of requests.

use std::collections::VecDeque;
use std::time::Duration;

use super::numbers::ln;
use crate::gate::crossing::Tally;
use crate::gate::{ByVersion, Version};
use crate::release::Weight;

#[derive(Clone, Debug)]
pub enum Standing {
    Calm,
    /// Green is over the bound, and nothing says that blue is.
    Suspected(Episode),
    /// Both versions are over the bound: not caused by the version.
    Common(Episode),
    /// Nothing has been proved in the time there was: green's weight is to be 0.
    Withdrawn {
        /// At the last tick.
        weight: Weight,
    },
    /// Green is worse than acceptable.
    Convicted(Conviction),
}

/// Where green was convicted, and by what numbers of that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conviction {
    /// None for the whole of both versions.
    pub route: Option<String>,
    pub sentence: String,
}

/// One time of suspicion.
#[derive(Clone, Debug)]
pub struct Episode {
    /// Green's weight when it began.
    pub from: Weight,
    /// When green was suspected; later than the beginning if the cause was held to be common in between.
    since: Duration,
    began: Duration,
    /// The bound when it began: what both versions do meanwhile must not come to be expected.
    bound: f64,
    /// Whole seconds since the beginning, oldest first; at most [`KEPT`].
    seconds: VecDeque<(u64, ByVersion<Tally>)>,
}

/// What one tick shows.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// ln M.
    pub ln_evidence: f64,
    /// The evidence that each version is over the bound.
    pub ln_absolute: ByVersion<f64>,
    pub bound: f64,
    pub counted: ByVersion<Tally>,
    pub weight: Weight,
}

/// What a tick changes beside the standing itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Stays,
    /// Green is within the bound again. With what both versions did in the time that shows it.
    Acquitted(ByVersion<Tally>),
    /// Somebody sends green traffic again after it had been withdrawn.
    Resumed,
}

/// Evidence of the probability of a mistake: one in a thousand suspects green, one in twenty suffices to spare it.
const SUSPECTS: f64 = 1_000.0;
const SHARED: f64 = 20.0;

/// From so much evidence of a difference on, green is neither promoted nor acquitted.
pub const HOLDS: f64 = 20.0;

/// A version is within the bound again after so long and so many units.
const CALM_TIME: Duration = Duration::from_secs(60);
const CALM_UNITS: u64 = 50;

/// Green is withdrawn when nothing has been proved for so long.
const LONGEST: Duration = Duration::from_secs(900);
const KEPT: usize = 900;

impl Standing {
    /// Takes a tick into account.
    pub fn step(self, look: &Look, now: Duration) -> (Standing, Turn) {
        let over = |version: Version, odds: f64| *look.ln_absolute.of(version) >= ln(odds);
        match self {
            Standing::Calm if !over(Version::Green, SUSPECTS) => (Standing::Calm, Turn::Stays),
            Standing::Calm => {
                let episode = Episode::new(look, now);
                let standing =
                    if over(Version::Blue, SHARED) { Standing::Common(episode) } else { Standing::Suspected(episode) };
                (standing, Turn::Stays)
            }
            Standing::Suspected(mut episode) => {
                episode.add(look.counted, now);
                if over(Version::Blue, SHARED) {
                    return (Standing::Common(episode), Turn::Stays);
                }
                if let Some(window) = episode.within(Version::Green, now) {
                    let acquits = look.ln_evidence < ln(HOLDS);
                    return if acquits {
                        (Standing::Calm, Turn::Acquitted(window))
                    } else {
                        (Standing::Suspected(episode), Turn::Stays)
                    };
                }
                if now - episode.since >= LONGEST {
                    return (Standing::Withdrawn { weight: look.weight }, Turn::Stays);
                }
                (Standing::Suspected(episode), Turn::Stays)
            }
            Standing::Common(mut episode) => {
                episode.add(look.counted, now);
                if let Some(window) = episode.within(Version::Green, now)
                    && look.ln_evidence < ln(HOLDS)
                {
                    return (Standing::Calm, Turn::Acquitted(window));
                }
                let blue_is_within = episode.within(Version::Blue, now).is_some();
                if blue_is_within && !over(Version::Blue, SHARED) {
                    episode.since = now;
                    return (Standing::Suspected(episode), Turn::Stays);
                }
                (Standing::Common(episode), Turn::Stays)
            }
            Standing::Withdrawn { weight } if weight == Weight::ZERO && look.weight > Weight::ZERO => {
                (Standing::Calm, Turn::Resumed)
            }
            Standing::Withdrawn { .. } => (Standing::Withdrawn { weight: look.weight }, Turn::Stays),
            Standing::Convicted(conviction) => (Standing::Convicted(conviction), Turn::Stays),
        }
    }

    pub const fn name(&self) -> &'static str {
        match self {
            Standing::Calm => "calm",
            Standing::Suspected(_) => "suspected",
            Standing::Common(_) => "common",
            Standing::Withdrawn { .. } => "withdrawn",
            Standing::Convicted(_) => "convicted",
        }
    }
}

impl Episode {
    fn new(look: &Look, now: Duration) -> Episode {
        Episode { from: look.weight, since: now, began: now, bound: look.bound, seconds: VecDeque::new() }
    }

    fn add(&mut self, counted: ByVersion<Tally>, now: Duration) {
        let second = (now - self.began).as_secs();
        match self.seconds.back_mut() {
            Some((last, total)) if *last == second => sum(total, counted),
            _ => self.seconds.push_back((second, counted)),
        }
        if self.seconds.len() > KEPT {
            self.seconds.pop_front();
        }
    }

    /// What both versions did while this one stayed within the bound: a minute, or longer where that has too few units.
    fn within(&self, version: Version, now: Duration) -> Option<ByVersion<Tally>> {
        if now - self.began < CALM_TIME {
            return None;
        }
        let window = self.window(now, |total| total.of(version).units >= CALM_UNITS);
        let Tally { bad, units } = *window.of(version);
        (units >= CALM_UNITS && bad as f64 <= self.bound * units as f64).then_some(window)
    }

    /// The newest seconds: those of the last minute, and older ones until they are `enough`.
    fn window(&self, now: Duration, enough: impl Fn(&ByVersion<Tally>) -> bool) -> ByVersion<Tally> {
        let second = (now - self.began).as_secs();
        let mut total = ByVersion::default();
        for (number, counted) in self.seconds.iter().rev() {
            if second - number >= CALM_TIME.as_secs() && enough(&total) {
                break;
            }
            sum(&mut total, *counted);
        }
        total
    }
}

fn sum(total: &mut ByVersion<Tally>, counted: ByVersion<Tally>) {
    total.blue.add(counted.blue);
    total.green.add(counted.green);
}
