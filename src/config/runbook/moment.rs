//! When actions run.

use serde::{Deserialize, Serialize};

use crate::release;

/// What happens to a release that something may be done about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Moment {
    Started,
    Paused,
    RolledBack,
    Promoted,
    /// After a rollback blue is well.
    Recovered,
    /// After a rollback blue is bad as well.
    NotRecovered,
    BeforeStart,
    BeforeStep,
    BeforePromotion,
    /// Before a rollback that its trigger puts off to try something.
    First,
}

impl Moment {
    pub const ALL: [Moment; 10] = [
        Moment::Started,
        Moment::Paused,
        Moment::RolledBack,
        Moment::Promoted,
        Moment::Recovered,
        Moment::NotRecovered,
        Moment::BeforeStart,
        Moment::BeforeStep,
        Moment::BeforePromotion,
        Moment::First,
    ];

    /// As the configuration has it.
    pub const fn name(self) -> &'static str {
        match self {
            Moment::Started => "started",
            Moment::Paused => "paused",
            Moment::RolledBack => "rolledBack",
            Moment::Promoted => "promoted",
            Moment::Recovered => "recovered",
            Moment::NotRecovered => "notRecovered",
            Moment::BeforeStart => "beforeStart",
            Moment::BeforeStep => "beforeStep",
            Moment::BeforePromotion => "beforePromotion",
            Moment::First => "first",
        }
    }

    pub fn named(name: &str) -> Option<Moment> {
        Moment::ALL.into_iter().find(|moment| moment.name() == name)
    }

    /// Whether its actions are waited for.
    pub const fn is_gate(self) -> bool {
        matches!(self, Moment::BeforeStart | Moment::BeforeStep | Moment::BeforePromotion | Moment::First)
    }

    /// Whether it is over with some later one, so that updates come until then.
    pub const fn lasts(self) -> bool {
        matches!(self, Moment::Started | Moment::Paused | Moment::RolledBack | Moment::NotRecovered)
    }

    /// What it asks of a release, where it does.
    pub const fn asks(self) -> Option<release::Moment> {
        match self {
            Moment::BeforeStart => Some(release::Moment::BeforeStart),
            Moment::BeforeStep => Some(release::Moment::BeforeStep),
            Moment::BeforePromotion => Some(release::Moment::BeforePromotion),
            Moment::Started
            | Moment::Paused
            | Moment::RolledBack
            | Moment::Promoted
            | Moment::Recovered
            | Moment::NotRecovered
            | Moment::First => None,
        }
    }
}

impl From<release::Moment> for Moment {
    fn from(moment: release::Moment) -> Moment {
        match moment {
            release::Moment::BeforeStart => Moment::BeforeStart,
            release::Moment::BeforeStep => Moment::BeforeStep,
            release::Moment::BeforePromotion => Moment::BeforePromotion,
        }
    }
}
