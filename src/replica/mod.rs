//! Many replicas that act as one: what one of them knows, and what it does about what it hears.
//!
//! The API server keeps one state for all. Whoever changes it names the version that it has seen, and is refused if there is a
//! newer one; so states follow each other, each with the next [`Shared::turn`]. One replica, by a lease, takes the steps of the
//! release, and routes a raise only once it is written. Any replica may latch its epoch: it does so at home first and writes
//! it after, and a latch outlives every state of its epoch that it meets, so that split brain can only end on blue.
//!
//! Pure: `control` gives it what has happened and carries out what it says, and a model checks every order of things with the
//! same code. Absent: the release itself, of which it knows what [`Body`] tells; I/O, and any clock.

mod debt;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::time::Duration;

use debt::Debt;

/// What the replicas share of a release.
pub trait Body: Clone {
    fn epoch(&self) -> u32;

    /// Whether its epoch was rolled back.
    fn is_latched(&self) -> bool;
}

/// Which write a state came with: no two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp {
    /// Another one after every start.
    pub process: u32,
    pub number: u32,
}

/// The state of all replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shared<B> {
    /// Rises by one with every write.
    pub turn: u64,
    pub by: Stamp,
    pub body: B,
}

/// What the API server has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Heard<V, B> {
    /// What a write must name; it says nothing else.
    pub version: V,
    /// None before the first write.
    pub shared: Option<Shared<B>>,
    pub how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum How {
    /// Told by itself, perhaps late.
    Watched,
    /// The answer to [`Effect::Read`] with this number: not older than the question.
    Read(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lease {
    Lost,
    /// Nobody else has it before this time on the replica's own clock, which goes on while the process stands still.
    Held {
        until: Duration,
    },
}

/// What was decided here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Green gets more: not before it is written. Only while [`Replica::may_step`].
    Raises,
    /// Green gets no more than before. It holds already; a follower keeps it to itself, and so does whoever is not sure of the
    /// state that it was decided on: what is followed next takes its place.
    Keeps,
    /// The epoch is latched, and that holds already.
    Latches,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Written<V> {
    Done(V),
    /// There is a newer version.
    Conflict,
    /// Nobody knows whether it was done, or will be.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect<V, B> {
    /// Go by this state from here on; what has been waiting for its write never was. An epoch that is latched here stays so.
    Follow(B),
    /// The decision that was waiting for its write holds.
    Go,
    /// What holds already is written by now, and not by anybody else.
    Kept,
    /// Nobody has written anything yet: decide what holds here.
    Begin,
    /// Green gets nothing until there is something to follow.
    ServeBlue,
    Write(Write<V, B>),
    /// Ask for the state until there is an answer.
    Read(u32),
}

/// To be written in the place of `version`, and of no other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Write<V, B> {
    pub version: V,
    pub shared: Shared<B>,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica<V, B> {
    process: u32,
    /// Of the last [`Stamp`], and of the last read.
    numbered: u32,
    lease: Lease,
    known: Option<Shared<B>>,
    version: Option<V>,
    debt: Debt<B>,
    /// What is being written.
    flight: Option<Shared<B>>,
    /// The read that is to be answered before anything is written.
    reading: Option<u32>,
    trust: Trust,
}

/// Whether what is known may be routed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Trust {
    Kept,
    /// Too much may have happened since: only a read that was asked for after that tells.
    Lost,
}

impl<V: Clone, B: Body> Replica<V, B> {
    /// One that has just started, and what it does first: green gets nothing before the state has been read.
    pub fn new(process: u32) -> (Replica<V, B>, Vec<Effect<V, B>>) {
        let mut replica = Replica {
            process,
            numbered: 0,
            lease: Lease::Lost,
            known: None,
            version: None,
            debt: Debt::Nothing,
            flight: None,
            reading: None,
            trust: Trust::Kept,
        };
        let effects = replica.woke();
        (replica, effects)
    }

    /// Whether a step may be taken at this moment: nobody else takes one, and all that was decided here is written.
    pub fn may_step(&self, now: Duration) -> bool {
        self.leads_surely(now)
            && self.known.is_some()
            && self.reading.is_none()
            && self.flight.is_none()
            && matches!(self.debt, Debt::Nothing)
    }

    /// Whether it has the lease, as far as it knows.
    pub fn leads(&self) -> bool {
        matches!(self.lease, Lease::Held { .. })
    }

    /// Whether what is known here may be gone by. Otherwise what was decided last may never have been, and is taken back by
    /// [`Effect::Follow`].
    pub fn is_sure(&self) -> bool {
        self.trust == Trust::Kept
    }

    /// How many states there were before the one that is gone by.
    pub fn turn(&self) -> u64 {
        self.known.as_ref().map_or(0, |known| known.turn)
    }

    /// Something was decided here: `body` is the state after it.
    pub fn decide(&mut self, decision: Decision, body: B, now: Duration) -> Vec<Effect<V, B>> {
        let by = self.stamp();
        let over = self.flight.as_ref().map(|flight| flight.by).filter(|flight| self.debt.is_over(*flight));
        match (decision, &self.debt) {
            (Decision::Latches, _) => self.debt = Debt::Latch { by, body },
            (Decision::Raises | Decision::Keeps, Debt::Latch { .. }) => {}
            (Decision::Keeps, Debt::Raise { .. }) | (Decision::Raises, _) => {
                self.debt = Debt::Raise { by, over, body };
            }
            (Decision::Keeps, Debt::Nothing | Debt::State { .. }) if self.leads() && self.is_sure() => {
                self.debt = Debt::State { by, over, body };
            }
            (Decision::Keeps, Debt::Nothing | Debt::State { .. }) => {}
        }
        self.pay(now).into_iter().collect()
    }

    /// The API server has told its state.
    pub fn heard(&mut self, heard: Heard<V, B>, now: Duration) -> Vec<Effect<V, B>> {
        let Heard { version, shared, how } = heard;
        self.version = Some(version);
        let is_answer = matches!(how, How::Read(number) if self.reading == Some(number));
        let mut was_lost = false;
        if is_answer {
            self.reading = None;
            was_lost = std::mem::replace(&mut self.trust, Trust::Kept) == Trust::Lost;
        }
        let mut effects = match shared {
            Some(shared) if shared.turn > self.turn() => self.learn(shared, now),
            Some(_) | None if was_lost => self.follow(),
            Some(_) | None => vec![],
        };
        if was_lost && matches!(effects.as_slice(), [] | [Effect::Kept]) {
            // It is its own, or before one of its own, and does not hold here any more.
            effects.extend(self.follow());
        }
        effects.extend(self.begin());
        effects.extend(self.pay(now));
        effects
    }

    /// A write has been answered, or nobody waits for its answer any more.
    pub fn wrote(&mut self, by: Stamp, written: Written<V>, now: Duration) -> Vec<Effect<V, B>> {
        let Some(shared) = self.flight.take_if(|flight| flight.by == by) else { return vec![] };
        match written {
            // Since then it was heard of, and perhaps of more.
            Written::Done(_) if shared.turn <= self.turn() => self.pay(now).into_iter().collect(),
            Written::Done(version) if self.is_late(by, now) => {
                self.version = Some(version);
                self.doubt()
            }
            Written::Done(version) => {
                self.version = Some(version);
                let mut effects = self.learn(shared, now);
                effects.extend(self.pay(now));
                effects
            }
            Written::Conflict | Written::Unknown => vec![self.read()],
        }
    }

    /// The lease was won, renewed or lost.
    pub fn lease(&mut self, lease: Lease, now: Duration) -> Vec<Effect<V, B>> {
        let led = self.leads();
        self.lease = lease;
        match (led, self.leads()) {
            (false, true) => vec![self.read()],
            (true, false) => self.stand_down(),
            (true, true) | (false, false) => self.pay(now).into_iter().collect(),
        }
    }

    /// The process stood still for so long that all may have changed.
    pub fn woke(&mut self) -> Vec<Effect<V, B>> {
        if let Debt::Raise { .. } = self.debt {
            self.debt = Debt::Nothing;
        }
        let mut effects = vec![Effect::ServeBlue];
        effects.extend(self.doubt());
        effects
    }

    /// What was waiting for its write holds by now; the process may have stood still on the way there.
    pub fn went(&mut self, now: Duration) -> Vec<Effect<V, B>> {
        if self.leads_surely(now) { vec![] } else { self.woke() }
    }

    fn doubt(&mut self) -> Vec<Effect<V, B>> {
        self.trust = Trust::Lost;
        vec![self.read()]
    }

    /// A state that is newer than what is known.
    fn learn(&mut self, shared: Shared<B>, now: Duration) -> Vec<Effect<V, B>> {
        let debt = std::mem::replace(&mut self.debt, Debt::Nothing);
        let (epoch, is_latched) = (shared.body.epoch(), shared.body.is_latched());
        let by = shared.by;
        self.known = Some(shared);
        match debt {
            Debt::Raise { by: own, .. } if own == by && self.leads_surely(now) => vec![Effect::Go],
            Debt::State { by: own, .. } | Debt::Latch { by: own, .. } if own == by => vec![Effect::Kept],
            // More was decided here while it was written: that is written next, and what it says holds or waits already.
            Debt::Raise { over: Some(over), .. } | Debt::State { over: Some(over), .. } if over == by => {
                self.debt = debt;
                vec![]
            }
            // A rollback wins every merge.
            Debt::Latch { by, body } if body.epoch() >= epoch && !is_latched => {
                self.debt = Debt::Latch { by, body };
                vec![]
            }
            Debt::Nothing | Debt::Raise { .. } | Debt::State { .. } | Debt::Latch { .. } => self.follow(),
        }
    }

    /// Goes by what is known, unless that may be routed by only after a read, or there is something newer of its own.
    fn follow(&self) -> Vec<Effect<V, B>> {
        let body = match (&self.debt, &self.known) {
            (Debt::Latch { .. }, _) | (_, None) => return vec![],
            (Debt::State { body, .. }, Some(_)) => body,
            (Debt::Nothing | Debt::Raise { .. }, Some(known)) => &known.body,
        };
        match self.trust {
            Trust::Lost if !body.is_latched() => vec![],
            Trust::Lost | Trust::Kept => vec![Effect::Follow(body.clone())],
        }
    }

    /// What was decided as a leader, and is not known to be written, is for the next one to decide.
    fn stand_down(&mut self) -> Vec<Effect<V, B>> {
        let debt = std::mem::replace(&mut self.debt, Debt::Nothing);
        match debt {
            Debt::Raise { .. } | Debt::State { .. } => self.follow(),
            Debt::Nothing => vec![],
            Debt::Latch { .. } => {
                self.debt = debt;
                vec![]
            }
        }
    }

    fn begin(&self) -> Option<Effect<V, B>> {
        let is_first = self.leads() && self.known.is_none() && matches!(self.debt, Debt::Nothing);
        (is_first && self.reading.is_none()).then_some(Effect::Begin)
    }

    /// Writes what is owed, once it is known in the place of what.
    fn pay(&mut self, now: Duration) -> Option<Effect<V, B>> {
        let version = self.version.clone()?;
        if self.flight.is_some() || self.reading.is_some() {
            return None;
        }
        let (by, body) = match &self.debt {
            Debt::Nothing => return None,
            Debt::Raise { by, body, .. } | Debt::State { by, body, .. } if self.leads_surely(now) => {
                (*by, body.clone())
            }
            Debt::Raise { .. } | Debt::State { .. } => return None,
            Debt::Latch { by, body } => (*by, body.clone()),
        };
        let shared = Shared { turn: self.turn() + 1, by, body };
        self.flight = Some(shared.clone());
        Some(Effect::Write(Write { version, shared }))
    }

    fn leads_surely(&self, now: Duration) -> bool {
        matches!(self.lease, Lease::Held { until } if now < until)
    }

    /// Whether it is a raise of somebody who may no longer lead: others may have gone on from it.
    fn is_late(&self, by: Stamp, now: Duration) -> bool {
        matches!(&self.debt, Debt::Raise { by: own, .. } if *own == by) && !self.leads_surely(now)
    }

    fn read(&mut self) -> Effect<V, B> {
        self.numbered += 1;
        self.reading = Some(self.numbered);
        Effect::Read(self.numbered)
    }

    fn stamp(&mut self) -> Stamp {
        self.numbered += 1;
        Stamp { process: self.process, number: self.numbered }
    }
}
