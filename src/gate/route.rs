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
        let learnt = templates.iter().map(|template| RouteRule { name: template.clone(), goes: Goes::Judged });
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
        let rule = |(name, goes): &(&str, Goes)| RouteRule { name: (*name).to_owned(), goes: *goes };
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
}
