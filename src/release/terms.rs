//! Whose plan a release goes by: the configuration's, or one that it brings along.

use super::{Gates, Plan};

/// What a release asks for when it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Terms {
    /// The plan of the configuration, if there is one.
    #[default]
    Configured,
    /// The same plan, and a rollback would do harm: why.
    Irreversible(String),
    /// A plan of its own.
    Own(Plan),
}

/// What a release goes by. Its own plan is not touched by what becomes of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Planned {
    Configured(Option<Plan>),
    Own(Plan),
}

impl Terms {
    /// None where the release shall be irreversible and there is no plan for it.
    pub fn over(self, configured: Option<&Plan>) -> Option<Planned> {
        match self {
            Terms::Configured => Some(Planned::Configured(configured.cloned())),
            Terms::Irreversible(reason) => {
                configured.map(|plan| Planned::Own(Plan { irreversible: Some(reason), ..plan.clone() }))
            }
            Terms::Own(plan) => Some(Planned::Own(plan)),
        }
    }
}

impl Planned {
    pub const fn plan(&self) -> Option<&Plan> {
        match self {
            Planned::Configured(plan) => plan.as_ref(),
            Planned::Own(plan) => Some(plan),
        }
    }

    /// The plan that the release brought along, if it did.
    pub const fn own(&self) -> Option<&Plan> {
        match self {
            Planned::Configured(_) => None,
            Planned::Own(plan) => Some(plan),
        }
    }

    /// The same with what is asked before it goes on, which is of the configuration whoever wrote the plan.
    #[must_use]
    pub fn with_gates(self, gates: Gates) -> Planned {
        match self {
            Planned::Configured(plan) => Planned::Configured(plan.map(|plan| Plan { gates, ..plan })),
            Planned::Own(plan) => Planned::Own(Plan { gates, ..plan }),
        }
    }

    /// Who wrote the plan, as the API names it.
    pub const fn source(&self) -> &'static str {
        match self {
            Planned::Configured(_) => "configuration",
            Planned::Own(_) => "release",
        }
    }
}

impl From<Option<Plan>> for Planned {
    fn from(configured: Option<Plan>) -> Planned {
        Planned::Configured(configured)
    }
}
