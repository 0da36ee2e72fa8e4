//! One bad endpoint, or a bad version? Outlier detection among the endpoints of one version, of three or more.
//!
//! A failure is held back from the evidence while only one endpoint fails. It is that endpoint's if its siblings, which do
//! well, would not fail alike by chance; it is the version's as soon as a sibling fails too, or when the endpoint has
//! answered well since. So failures at random are counted all the same, only a little later, and a version that is bad as a
//! whole is charged after one more failure. One endpoint of a version is excused in an epoch: what fails besides is the
//! version's, and a second endpoint that goes the same way is found as well.

use std::time::Duration;

use super::compare::numbers::ln;
use super::crossing::Tally;

/// What is known of the endpoints of one version. `F` is a failure as it is counted.
#[derive(Clone, Debug)]
pub struct Siblings<F> {
    /// What each did of late; older requests weigh less.
    recent: Vec<Recent>,
    aged_at: Duration,
    suspect: Option<Suspect<F>>,
    excused: Option<usize>,
    /// A second one has been found.
    more: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    bad: f64,
    units: f64,
}

/// The one endpoint that fails.
#[derive(Clone, Debug)]
struct Suspect<F> {
    endpoint: usize,
    since: Duration,
    held: Vec<F>,
    /// What it and its siblings did since it became one.
    failures: u64,
    served: u64,
    others: Tally,
}

/// What one tick comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sifted<F> {
    /// Failures that are the version's.
    pub charged: Vec<F>,
    /// An endpoint that is bad, once.
    pub found: Option<Outlier>,
}

/// One bad endpoint, with the numbers that show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlier {
    pub order: Order,
    pub endpoint: usize,
    pub own: Tally,
    pub others: Tally,
}

/// Of the outliers of one version in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// It is excused.
    First,
    /// It is not.
    Second,
}

/// A difference between an endpoint and its siblings is clear when it would come by chance once in 3,000 times.
const LN_CLEAR: f64 = 8.0;

/// Over a long time there are many looks at the same requests.
const LN_CLEAR_OF_LATE: f64 = 11.5;
const LEAST_OF_LATE: f64 = 4.0;

/// Siblings that fail more than this share do not do well.
const DO_WELL: f64 = 0.05;

/// A suspect that has served so many times as many as it failed is none.
const ANSWERS_WELL: u64 = 3;

/// A failure is held for at most this long.
const HELD: Duration = Duration::from_secs(60);

/// After this long a request weighs half.
const HALF_LIFE: Duration = Duration::from_secs(30);

impl<F> Siblings<F> {
    /// For so many endpoints.
    pub fn new(endpoints: usize) -> Siblings<F> {
        let recent = vec![Recent::default(); endpoints];
        Siblings { recent, aged_at: Duration::ZERO, suspect: None, excused: None, more: false }
    }

    /// Takes what each endpoint served in a tick, by its number, and what failed where.
    pub fn sift(&mut self, served: &[u64], failed: impl IntoIterator<Item = (usize, F)>, now: Duration) -> Sifted<F> {
        self.age(now);
        for (endpoint, served) in served.iter().enumerate() {
            self.serve(endpoint, *served);
        }
        let mut sifted = Sifted { charged: Vec::new(), found: None };
        for (endpoint, failure) in failed {
            self.fail(endpoint, failure, &mut sifted.charged, now);
        }
        sifted.found = self.find();
        let is_over = self.suspect.as_ref().is_some_and(|suspect| suspect.is_over(now));
        match sifted.found {
            Some(Outlier { order: Order::First, endpoint, .. }) => {
                self.excused = Some(endpoint);
                self.recent[endpoint] = Recent::default();
                let held = self.suspect.take().filter(|suspect| suspect.endpoint != endpoint);
                sifted.charged.extend(held.into_iter().flat_map(|suspect| suspect.held));
            }
            Some(Outlier { order: Order::Second, .. }) => self.more = true,
            None => {}
        }
        if is_over {
            sifted.charged.extend(self.suspect.take().into_iter().flat_map(|suspect| suspect.held));
        }
        sifted
    }

    /// Another endpoint has this number from here on, or none. Returns what was held of the one before.
    pub fn replace(&mut self, endpoint: usize) -> Vec<F> {
        if self.recent.len() <= endpoint {
            self.recent.resize(endpoint + 1, Recent::default());
        }
        self.recent[endpoint] = Recent::default();
        self.excused = self.excused.filter(|excused| *excused != endpoint);
        let suspect = self.suspect.take_if(|suspect| suspect.endpoint == endpoint);
        suspect.map(|suspect| suspect.held).unwrap_or_default()
    }

    /// Charges every failure from here on.
    pub fn excuse_nobody(&mut self) {
        self.excused = None;
        self.more = true;
    }

    /// Failures that are neither charged nor excused yet.
    pub fn held(&self) -> usize {
        self.suspect.as_ref().map_or(0, |suspect| suspect.held.len())
    }

    fn serve(&mut self, endpoint: usize, served: u64) {
        if self.excused == Some(endpoint) {
            return;
        }
        if let Some(recent) = self.recent.get_mut(endpoint) {
            recent.units += served as f64;
        }
        if let Some(suspect) = &mut self.suspect {
            if suspect.endpoint == endpoint {
                suspect.served += served;
            } else {
                suspect.others.units += served;
            }
        }
    }

    fn fail(&mut self, endpoint: usize, failure: F, charged: &mut Vec<F>, now: Duration) {
        if self.excused == Some(endpoint) {
            return;
        }
        if let Some(recent) = self.recent.get_mut(endpoint) {
            recent.bad += 1.0;
            recent.units += 1.0;
        }
        let holds = self.excused.is_none() && !self.more;
        let suspect = self.suspect.get_or_insert_with(|| Suspect::new(endpoint, now));
        if suspect.endpoint == endpoint {
            suspect.failures += 1;
            let to = if holds { &mut suspect.held } else { charged };
            return to.push(failure);
        }
        suspect.others.add(Tally { bad: 1, units: 1 });
        charged.push(failure);
        if !do_well(suspect.others) {
            charged.extend(self.suspect.take().into_iter().flat_map(|suspect| suspect.held));
        }
    }

    fn find(&self) -> Option<Outlier> {
        if self.more {
            return None;
        }
        let by_row = self.suspect.as_ref().filter(|suspect| {
            // The first failure made it the suspect, and says nothing more.
            let own = Tally { bad: suspect.failures - 1, units: suspect.failures - 1 + suspect.served };
            own.bad > 0 && do_well(suspect.others) && ln_ratio(own, suspect.others) >= LN_CLEAR
        });
        let by_row = by_row.map(|suspect| {
            let own = Tally { bad: suspect.failures, units: suspect.failures + suspect.served };
            (suspect.endpoint, own, suspect.others)
        });
        let (endpoint, own, others) = by_row.or_else(|| self.find_of_late())?;
        let order = if self.excused.is_none() { Order::First } else { Order::Second };
        Some(Outlier { order, endpoint, own, others })
    }

    /// One that fails some of its requests and not all: over a longer time.
    fn find_of_late(&self) -> Option<(usize, Tally, Tally)> {
        let all = self.recent.iter().fold(Recent::default(), |all, one| all.plus(*one, 1.0));
        let worst = self.recent.iter().enumerate().max_by(|(_, one), (_, other)| one.bad.total_cmp(&other.bad));
        let (endpoint, worst) = worst.filter(|(_, worst)| worst.bad >= LEAST_OF_LATE)?;
        let (own, others) = (worst.whole(), all.plus(*worst, -1.0).whole());
        let clear = do_well(others) && ln_ratio(own, others) >= LN_CLEAR_OF_LATE;
        clear.then_some((endpoint, own, others))
    }

    fn age(&mut self, now: Duration) {
        let passed = now.saturating_sub(std::mem::replace(&mut self.aged_at, now));
        let kept = libm::pow(0.5, passed.as_secs_f64() / HALF_LIFE.as_secs_f64());
        for recent in &mut self.recent {
            recent.bad *= kept;
            recent.units *= kept;
        }
    }
}

impl<F> Suspect<F> {
    fn new(endpoint: usize, since: Duration) -> Suspect<F> {
        Suspect { endpoint, since, held: Vec::new(), failures: 0, served: 0, others: Tally::default() }
    }

    /// Whether its failures are held no longer.
    fn is_over(&self, now: Duration) -> bool {
        self.served >= ANSWERS_WELL * self.failures || now - self.since >= HELD
    }
}

impl Recent {
    fn plus(self, other: Recent, times: f64) -> Recent {
        Recent { bad: self.bad + times * other.bad, units: self.units + times * other.units }
    }

    fn whole(self) -> Tally {
        Tally { bad: self.bad.round() as u64, units: self.units.round().max(self.bad.round()) as u64 }
    }
}

fn do_well(others: Tally) -> bool {
    others.units > 0 && others.rate() <= DO_WELL
}

/// The logarithm of the likelihood ratio of two rates against one; below 0 where the endpoint is no worse.
fn ln_ratio(own: Tally, others: Tally) -> f64 {
    let ln_likelihood = |tally: Tally, rate: f64| {
        let part = |count: u64, rate: f64| if count == 0 { 0.0 } else { count as f64 * ln(rate) };
        part(tally.bad, rate) + part(tally.units - tally.bad, 1.0 - rate)
    };
    let mut all = own;
    all.add(others);
    if own.rate() <= others.rate() {
        return -1.0;
    }
    ln_likelihood(own, own.rate()) + ln_likelihood(others, others.rate())
        - ln_likelihood(own, all.rate())
        - ln_likelihood(others, all.rate())
}

#[cfg(test)]
mod tests;
