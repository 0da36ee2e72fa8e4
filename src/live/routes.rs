//! Which route a request is on, and what that makes of it.
//!
//! The first segment of the path leaves few routes to look at, however many there are.

use http::HeaderMap;
use http::header::HOST;
use http::request::Parts;
use rapidhash::v3::rapidhash_v3;

use crate::config::{Config, HostPattern, RouteConfig, RouteShield, Timeouts, end_of_segment};
use crate::gate::policy::PathPattern;
use crate::gate::route::{Goes, MOST_ROUTES, RouteSet};
use crate::gate::{RouteMark, RouteNumber};
use crate::measure::templates;

/// All that is told apart by what a request asks for.
#[derive(Debug)]
pub struct Routes {
    edition: u16,
    declared: Vec<RouteConfig>,
    /// Of no evidence, whatever the route.
    exclude: Vec<PathPattern>,
    /// The routes of which each path begins with a segment of this hash, in the order of the hashes.
    by_segment: Vec<(u64, Set)>,
    /// Those with a path that begins otherwise, or with none.
    anywhere: Set,
    /// The templates that were learnt, by their hashes; their numbers come after those of the routes.
    learnt: Vec<u64>,
    /// Whether there is room for more.
    learns: bool,
}

/// Routes by their numbers, a bit each.
type Set = u64;

const _: () = assert!(MOST_ROUTES <= Set::BITS as usize, "each has a bit");

/// What a request is by what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// None where no routes are configured.
    pub route: Option<RouteMark>,
    pub goes: Goes,
}

impl Place {
    /// Where nothing is told apart.
    pub const PLAIN: Place = Place { route: None, goes: Goes::Judged };

    /// The same where these routes go to blue.
    #[must_use]
    pub fn without(self, taken_back: RouteSet) -> Place {
        match self.route {
            Some(route) if taken_back.contains(route) => Place { goes: Goes::ToBlue, ..self },
            Some(_) | None => self,
        }
    }
}

impl Routes {
    /// None where nothing is to be told apart. Another `edition` has other numbers.
    pub fn new(config: &Config, edition: u16) -> Option<Routes> {
        let Config { routes, learnt, learn_routes, policy, .. } = config;
        let counting = &policy.counting;
        if routes.is_empty() && counting.exclude.is_empty() && *learn_routes == 0 {
            return None;
        }
        let (mut by_segment, mut anywhere) = (Vec::new(), 0);
        for (number, route) in routes.iter().enumerate() {
            let bit: Set = 1 << number;
            if route.paths.is_empty() {
                anywhere |= bit;
            }
            for path in &route.paths {
                match path.first_segment() {
                    Some(segment) => add(&mut by_segment, rapidhash_v3(segment.as_bytes()), bit),
                    None => anywhere |= bit,
                }
            }
        }
        by_segment.sort_unstable_by_key(|(hash, _)| *hash);
        Some(Routes {
            edition,
            declared: routes.clone(),
            exclude: counting.exclude.clone(),
            by_segment,
            anywhere,
            learnt: learnt.iter().map(|template| templates::hash(template)).collect(),
            learns: learnt.len() < *learn_routes,
        })
    }

    /// The place of the request with this head.
    pub fn place(&self, head: &Parts) -> Place {
        let path = head.uri.path();
        let excluded = self.exclude.iter().any(|pattern| pattern.matches(path));
        if self.declared.is_empty() && self.learnt.is_empty() {
            return Place { route: None, goes: if excluded { Goes::Excluded } else { Goes::Judged } };
        }
        let found = self.find(head, path).or_else(|| self.find_learnt(path));
        let number = RouteNumber::from_index(found.unwrap_or_else(|| self.other())).expect("there are no more");
        let route = found.and_then(|found| self.declared.get(found));
        let goes = match route.map_or(Goes::Judged, |route| route.goes) {
            Goes::Judged if excluded => Goes::Excluded,
            goes => goes,
        };
        Place { route: Some(RouteMark { edition: self.edition, number }), goes }
    }

    /// Whether the path of a request at `place` may become a route.
    pub fn learns_of(&self, place: Place) -> bool {
        let is_other = place.route.is_none_or(|route| route.number.index() == self.other());
        self.learns && is_other && place.goes == Goes::Judged
    }

    fn other(&self) -> usize {
        self.declared.len() + self.learnt.len()
    }

    fn find_learnt(&self, path: &str) -> Option<usize> {
        if self.learnt.is_empty() {
            return None;
        }
        let hash = templates::hash(path);
        self.learnt.iter().position(|learnt| *learnt == hash).map(|position| self.declared.len() + position)
    }

    /// Of a route of this edition; none where those of the configuration hold.
    pub fn timeouts(&self, route: RouteMark) -> Option<&Timeouts> {
        self.declared.get(route.number.index()).map(|route| &route.timeouts)
    }

    /// What holds on a route of this edition; none where it is as elsewhere.
    pub fn shield(&self, route: RouteMark) -> Option<&RouteShield> {
        self.declared.get(route.number.index()).map(|route| &route.shield)
    }

    fn find(&self, head: &Parts, path: &str) -> Option<usize> {
        let mut candidates = self.anywhere | self.by_first_segment(path);
        while candidates != 0 {
            let number = candidates.trailing_zeros() as usize;
            let RouteConfig { hosts, paths, methods, .. } = &self.declared[number];
            let fits = (methods.is_empty() || methods.contains(&head.method))
                && (paths.is_empty() || paths.iter().any(|template| template.matches(path)))
                && (hosts.is_empty() || is_for(hosts, &head.headers));
            if fits {
                return Some(number);
            }
            candidates &= candidates - 1;
        }
        None
    }

    fn by_first_segment(&self, path: &str) -> Set {
        let Some(path) = path.as_bytes().strip_prefix(b"/") else { return 0 };
        let hash = rapidhash_v3(&path[..end_of_segment(path)]);
        let found = self.by_segment.binary_search_by_key(&hash, |(hash, _)| *hash);
        found.map_or(0, |at| self.by_segment[at].1)
    }
}

fn add(by_segment: &mut Vec<(u64, Set)>, hash: u64, bit: Set) {
    match by_segment.iter_mut().find(|(known, _)| *known == hash) {
        Some((_, set)) => *set |= bit,
        None => by_segment.push((hash, bit)),
    }
}

fn is_for(hosts: &[HostPattern], headers: &HeaderMap) -> bool {
    headers.get(HOST).is_some_and(|host| hosts.iter().any(|pattern| pattern.matches(host.as_bytes())))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use http::Request;

    use super::*;
    use crate::config::{Environment, parse};

    fn routes(rest: &str) -> Routes {
        let text = format!(
            "listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\n\
             blue: {{ version: v1, endpoints: [\"127.0.0.1:1\"] }}\ngreen: {{ version: v2, endpoints: [] }}\n{rest}"
        );
        let config = parse(&text, "test", Path::new(""), &Environment::default()).expect("a configuration");
        Routes::new(&config, 3).expect("something is told apart")
    }

    fn place(routes: &Routes, method: &str, target: &str) -> (Option<usize>, Goes) {
        let request =
            Request::builder().method(method).uri(target).header(HOST, "test:80").body(()).expect("a request");
        let Place { route, goes } = routes.place(&request.into_parts().0);
        assert!(route.is_none_or(|route| route.edition == 3));
        (route.map(|route| route.number.index()), goes)
    }

    #[test]
    fn the_first_route_that_fits_is_found_among_64_whatever_its_paths_begin_with() {
        let many: Vec<String> =
            (0..62).map(|number| format!("{{ name: r{number}, paths: [/r{number}/*, /x/r{number}] }}")).collect();
        let all = format!(
            "routes: [{}, {{ name: any, paths: [\"/{{x}}/y\", /ab*] }}, {{ name: last, hosts: [test], methods: [DELETE] }}]",
            many.join(", ")
        );
        let routes = routes(&all);
        for number in 0..62 {
            assert_eq!(place(&routes, "GET", &format!("/r{number}/a")), (Some(number), Goes::Judged));
            assert_eq!(place(&routes, "GET", &format!("/x/r{number}?/r0/")), (Some(number), Goes::Judged));
        }
        for (method, target, expected) in [
            ("GET", "/r0", 64),
            ("GET", "/r0/y", 0),
            ("GET", "/r70/y", 62),
            ("GET", "/abc", 62),
            ("DELETE", "/", 63),
            ("OPTIONS", "*", 64),
        ] {
            assert_eq!(place(&routes, method, target).0, Some(expected), "{method} {target}");
        }
    }

    #[test]
    fn an_excluded_path_is_excluded_on_any_route_and_without_one_but_what_is_pinned_stays_so() {
        let gate = "gate: { exclude: [/healthz, /a/x] }";
        let plain = routes(gate);
        assert_eq!(place(&plain, "GET", "/healthz"), (None, Goes::Excluded));
        assert_eq!(place(&plain, "GET", "/"), (None, Goes::Judged));
        let some = routes(&format!(
            "routes: [{{ name: a, paths: [/a/*] }}, {{ name: h, paths: [/healthz], pin: blue }}]\n{gate}"
        ));
        assert_eq!(place(&some, "GET", "/a/x"), (Some(0), Goes::Excluded));
        assert_eq!(place(&some, "GET", "/a/y"), (Some(0), Goes::Judged));
        assert_eq!(place(&some, "GET", "/healthz"), (Some(1), Goes::ToBlue));
    }
}
