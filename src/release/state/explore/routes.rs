//! The one route that can be taken back.

use super::{Happening, Node};
use crate::gate::route::{Goes, RollbackOf, RouteRule, RouteSet};
use crate::gate::{RouteMark, RouteNumber, Routes};
use crate::release::{Input, TakenBack};

/// Whether the gate takes routes back, which doubles the states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    Nothing,
    Routes,
}

const ROUTE: &str = "checkout";
const EDITION: u16 = 4;

impl Taking {
    pub(super) fn happening(self) -> Option<Happening> {
        let taken = TakenBack { route: ROUTE.to_owned(), by: String::new(), sentence: String::new() };
        (self == Taking::Routes).then_some(Happening::Take(Input::TakeBack(taken)))
    }
}

impl Node {
    /// Whether the workers send what is on the route to blue, although the release goes on.
    pub(super) fn goes_to_blue(&self) -> bool {
        let number = RouteNumber::from_index(0).expect("there is a first");
        self.table.taken_back.contains(RouteMark { edition: EDITION, number })
    }
}

/// These, as the workers are told of them.
pub(super) fn taken_back(names: &[String]) -> RouteSet {
    RouteSet::named(names.iter().map(String::as_str), &routes(), EDITION)
}

fn routes() -> Routes {
    let rule = |goes| RouteRule { name: ROUTE.to_owned(), goes, rollback: RollbackOf::Route };
    Routes::new(vec![rule(Goes::Judged)])
}
