//! The routes that a configuration names: which one a request is on, and what that makes of it.

use serde::{Deserialize, Serialize};

/// The place of a route among those of a configuration; behind the last stands whatever is on none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouteNumber(u8);

/// What a request is marked with that is on a route: numbers are given anew where the routes of the configuration change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteMark {
    pub edition: u16,
    pub number: RouteNumber,
}

/// A route that can be told to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedRoute {
    pub number: RouteNumber,
    pub name: String,
}

/// A set of them is 64 bits.
pub const MOST_ROUTES: usize = 64;

/// What whatever is on none of the routes is called.
pub const OTHER: &str = "other";

/// The routes of one configuration; empty where it names none, and then nothing is told apart by route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes(Vec<RouteRule>);

/// One route, as far as it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRule {
    pub name: String,
    pub goes: Goes,
    pub rollback: RollbackOf,
}

/// What goes back to blue when a route by itself convicts green.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RollbackOf {
    #[default]
    Version,
    /// The route alone.
    Route,
}

/// Routes that go to blue whatever the weight, by their numbers in one edition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteSet {
    edition: u16,
    /// A bit each. What is on no route is in no set.
    numbers: u64,
}

/// What becomes of the requests on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goes {
    /// To either version, and they are evidence.
    Judged,
    /// To either version, and they are evidence of nothing.
    Excluded,
    /// To blue, whatever the weight; as no random draw they are no evidence either.
    ToBlue,
}

impl Goes {
    /// The name used in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Goes::Judged => "judged",
            Goes::Excluded => "excluded",
            Goes::ToBlue => "toBlue",
        }
    }
}

impl RouteSet {
    /// Those of these names, as far as `routes`, which are of `edition`, has them.
    pub fn named<'n>(names: impl IntoIterator<Item = &'n str>, routes: &Routes, edition: u16) -> RouteSet {
        let numbers = names.into_iter().filter_map(|name| routes.numbered_as(name));
        RouteSet { edition, numbers: numbers.fold(0, |set, number| set | 1 << number.index()) }
    }

    /// Whether a request with this mark is on one of them.
    pub const fn contains(&self, route: RouteMark) -> bool {
        let number = route.number.index();
        self.numbers != 0 && self.edition == route.edition && number < MOST_ROUTES && self.numbers >> number & 1 == 1
    }
}

impl RouteNumber {
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// None where there can be no such place.
    pub fn from_index(index: usize) -> Option<RouteNumber> {
        u8::try_from(index).ok().filter(|_| index <= MOST_ROUTES).map(RouteNumber)
    }
}

impl Routes {
    /// At most [`MOST_ROUTES`], in the order in which they are looked at.
    pub fn new(routes: Vec<RouteRule>) -> Routes {
        assert!(routes.len() <= MOST_ROUTES, "the configuration was refused");
        Routes(routes)
    }

    /// The same and these templates behind them, as far as there is room. A template begins with `/`, which no name does that
    /// people give.
    #[must_use]
    pub fn with_learnt(self, templates: &[String]) -> Routes {
        let mut routes = self.0;
        let learnt = templates.iter().map(|template| RouteRule {
            name: template.clone(),
            goes: Goes::Judged,
            rollback: RollbackOf::Version,
        });
        routes.extend(learnt);
        routes.truncate(MOST_ROUTES);
        Routes(routes)
    }

    /// The same without what was learnt.
    #[must_use]
    pub fn without_learnt(mut self) -> Routes {
        self.0.retain(|route| !route.name.starts_with('/'));
        self
    }

    pub fn learnt(&self) -> Vec<String> {
        self.0.iter().filter(|route| route.name.starts_with('/')).map(|route| route.name.clone()).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many places there are to count in: one more than routes, and none without routes.
    pub fn places(&self) -> usize {
        if self.0.is_empty() { 0 } else { self.0.len() + 1 }
    }

    pub fn other(&self) -> RouteNumber {
        RouteNumber(self.0.len() as u8)
    }

    /// Of a place.
    pub fn name(&self, number: RouteNumber) -> &str {
        self.0.get(number.index()).map_or(OTHER, |route| &route.name)
    }

    pub fn goes(&self, number: RouteNumber) -> Goes {
        self.0.get(number.index()).map_or(Goes::Judged, |route| route.goes)
    }

    /// None where there is no route of this name.
    pub fn numbered_as(&self, name: &str) -> Option<RouteNumber> {
        self.0.iter().position(|route| route.name == name).and_then(RouteNumber::from_index)
    }

    pub fn rollback_of(&self, name: &str) -> RollbackOf {
        self.0.iter().find(|route| route.name == name).map_or(RollbackOf::Version, |route| route.rollback)
    }

    /// Those that can be taken back alone.
    pub fn taken_back_alone(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|route| route.rollback == RollbackOf::Route).map(|route| route.name.as_str())
    }

    pub fn numbered(&self) -> impl Iterator<Item = RouteNumber> + use<> {
        (0..self.places() as u8).map(RouteNumber)
    }

    /// Those that have a verdict of their own. Where no route is judged the rest is all that there is.
    pub fn judged(&self) -> Vec<NamedRoute> {
        let is_judged = |number: &RouteNumber| self.goes(*number) == Goes::Judged;
        let named = |number: RouteNumber| NamedRoute { number, name: self.name(number).to_owned() };
        let judged: Vec<NamedRoute> = self.numbered().filter(is_judged).map(named).collect();
        if judged.len() > 1 { judged } else { Vec::new() }
    }
}

/// A sentence about one route, or about the whole.
pub fn on_route(route: Option<&NamedRoute>, sentence: String) -> String {
    match route {
        Some(route) => format!("on route `{}` {sentence}", route.name),
        None => sentence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(all: &[(&str, Goes)]) -> Routes {
        let rule = |(name, goes): &(&str, Goes)| RouteRule {
            name: (*name).to_owned(),
            goes: *goes,
            rollback: RollbackOf::Version,
        };
        Routes::new(all.iter().map(rule).collect())
    }

    fn judged(all: &[(&str, Goes)]) -> Vec<String> {
        let routes = routes(all);
        routes.judged().into_iter().map(|route| route.name).collect()
    }

    #[test]
    fn what_is_on_no_route_is_judged_beside_those_that_are_and_not_alone() {
        use Goes::{Excluded, Judged, ToBlue};
        assert_eq!(routes(&[]).places(), 0);
        assert_eq!(judged(&[]), [""; 0]);
        assert_eq!(judged(&[("a", Excluded), ("b", ToBlue)]), [""; 0]);
        assert_eq!(judged(&[("a", Excluded), ("b", Judged)]), ["b", "other"]);
    }

    #[test]
    fn a_set_holds_routes_of_one_edition_and_never_what_is_on_none() {
        let names: Vec<String> = (0..MOST_ROUTES).map(|number| number.to_string()).collect();
        let all: Vec<(&str, Goes)> = names.iter().map(|name| (name.as_str(), Goes::Judged)).collect();
        let routes = routes(&all);
        let set = RouteSet::named(["63", "gone", "0", OTHER], &routes, 7);
        let held = |edition: u16| -> Vec<usize> {
            let numbers = routes.numbered().filter(|number| set.contains(RouteMark { edition, number: *number }));
            numbers.map(RouteNumber::index).collect()
        };
        assert_eq!((held(7), held(8)), (vec![0, 63], vec![]));
    }
}
