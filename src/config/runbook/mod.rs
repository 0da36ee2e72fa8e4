//! What is done about releases: the actions of a runbook, validated.
//!
//! [`moment`] is when, [`kind`] what, [`text`] and [`template`] the values in it, [`reading`] makes all of it from the file.

mod choosing;
mod keys;
pub mod kind;
mod moment;
mod reading;
mod template;
mod text;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub(in crate::config) use keys::{example, kind_keys};
pub use kind::Kind;
pub use moment::Moment;
pub(in crate::config) use reading::{RawAction, RawRunbook, runbook};
pub use template::{Condition, Markup, Template, Unrendered};
pub(in crate::config) use text::Around;
pub use text::Text;

use crate::release::Gates;

/// All actions, by the moments that they are of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runbook {
    actions: Vec<(Moment, Arc<Action>)>,
    /// Hosts, as they are written in URLs, whose addresses may be any.
    pub allow: Arc<[String]>,
    /// Where people find this proxy's API; none: nobody is shown a link.
    pub link: Option<String>,
}

/// One thing that is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// No other of the runbook has it.
    pub name: String,
    pub kind: Kind,
    pub after: After,
    /// None: once.
    pub every: Option<Every>,
    /// Of one attempt.
    pub timeout: Duration,
    /// After the first attempt.
    pub retries: u32,
    pub on_failure: OnFailure,
    pub when: Option<Condition>,
    /// The actions whose answers it names, and which it waits for.
    pub needs: BTreeSet<String>,
}

/// How long after the moment an action is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Delay(Duration),
    /// On the day after, at this time of the day, by a clock that is so many seconds ahead of UTC.
    NextDay {
        seconds: u32,
        offset: i32,
    },
}

/// An action that comes again for as long as its moment lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every {
    pub interval: Duration,
    /// All in all.
    pub most: u32,
}

/// What a failure means for the actions after it, of the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    Continue,
    /// They wait until it has succeeded, and are left out if it does not.
    Stop,
}

impl Runbook {
    /// In the order of the file.
    pub fn at(&self, moment: Moment) -> impl Iterator<Item = &Arc<Action>> {
        self.actions.iter().filter(move |(of, _)| *of == moment).map(|(_, action)| action)
    }

    pub fn names_at(&self, moment: Moment) -> Vec<String> {
        self.at(moment).map(|action| action.name.clone()).collect()
    }

    /// Those of a moment that tell of it and change nothing, nor wait for one that does.
    pub fn telling_at(&self, moment: Moment) -> Vec<String> {
        let telling = || self.at(moment).filter(|action| action.kind.only_tells());
        let is_of_them = |name: &String| telling().any(|action| action.name == *name);
        telling().filter(|action| action.needs.iter().all(is_of_them)).map(|action| action.name.clone()).collect()
    }

    pub fn action(&self, name: &str) -> Option<&Arc<Action>> {
        self.actions.iter().map(|(_, action)| action).find(|action| action.name == name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.actions.iter().map(|(_, action)| action.name.as_str())
    }

    /// How long the answers may take of those that are asked before a release goes on.
    pub fn gates(&self) -> Gates {
        let longest = |moment: Moment| {
            let actions = self.at(moment).map(|action| action.longest());
            actions.reduce(|sum, longest| sum + longest).map(|longest| longest + SLACK)
        };
        Gates {
            before_start: longest(Moment::BeforeStart),
            before_step: longest(Moment::BeforeStep),
            before_promotion: longest(Moment::BeforePromotion),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }
}

impl Action {
    /// With all of its attempts, and the time between them.
    fn longest(&self) -> Duration {
        let between: Duration = (0..self.retries).map(back_off).sum();
        self.timeout * (self.retries + 1) + between
    }
}

/// Before the next attempt at a gate, after so many that were in vain and the first.
pub fn back_off(attempts: u32) -> Duration {
    LONGEST_BACK_OFF.min(Duration::from_secs(1 << attempts.min(16)))
}

const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// More than the ways of a question and of its answer take.
const SLACK: Duration = Duration::from_secs(10);
