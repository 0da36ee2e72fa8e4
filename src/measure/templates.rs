//! Templates of paths: what is left of a path once the segments that name one thing among many are left open. So few of them
//! stand for all the paths of a service.

use rapidhash::v3::rapidhash_v3;

/// Paths by their templates, as one worker saw them between two hand-overs.
#[derive(Debug, Default)]
pub struct Templates(Vec<Seen>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub hash: u64,
    pub template: String,
    pub requests: u64,
}

/// Templates that a worker tells apart between two hand-overs; those with most requests are nearly always among them.
const MOST: usize = 64;

/// Deeper segments and longer templates are not told apart.
const DEEPEST: usize = 8;
const LONGEST: usize = 120;

/// Longer ones are no words.
const LONGEST_WORD: usize = 24;

/// What stands for a segment that is left open, and for whatever is deeper.
const OPEN: &str = "{}";
const DEEPER: &str = "*";

/// The hash of the template of `path`, which begins with `/`; nothing is allocated.
pub fn hash(path: &str) -> u64 {
    parts(path).fold(0, |hash, part| {
        (hash ^ rapidhash_v3(part.as_bytes())).rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

fn text(path: &str) -> String {
    parts(path).flat_map(|part| ["/", part]).collect()
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    let segments = path.strip_prefix('/').unwrap_or(path).split('/').enumerate();
    let part = |(depth, segment)| {
        if depth == DEEPEST {
            DEEPER
        } else if is_word(segment) {
            segment
        } else {
            OPEN
        }
    };
    segments.take(DEEPEST + 1).map(part)
}

/// Whether a segment is a part of the service: in letters, `-`, `_` and `.`, or the `v2` of an API.
fn is_word(segment: &str) -> bool {
    let is_version = || {
        let digits = segment.strip_prefix('v');
        digits.is_some_and(|digits| matches!(digits.len(), 1 | 2) && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let is_plain = |byte: u8| byte.is_ascii_alphabetic() || b"-_.".contains(&byte);
    segment.len() <= LONGEST_WORD && (segment.bytes().all(is_plain) || is_version())
}

impl Templates {
    /// Counts a request for `path`.
    pub fn see(&mut self, path: &str) {
        let (hash, has_room) = (hash(path), self.0.len() < MOST);
        match self.0.iter_mut().find(|seen| seen.hash == hash) {
            Some(seen) => seen.requests += 1,
            None if has_room => self.0.push(Seen { hash, template: text(path), requests: 1 }),
            None => {}
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Seen> {
        self.0.iter()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// What has been seen of late, and what of it is to be told apart.
#[derive(Debug, Default)]
pub struct Learning {
    /// At most [`KEPT`]; one that is new takes the place of the one with fewest requests, and its count, so that none which has
    /// many is missed (the space-saving sketch of Metwally, Agrawal and El Abbadi, 2005).
    seen: Vec<Seen>,
    requests: u64,
}

const KEPT: usize = 256;

/// A template is worth a route from so many requests on, and from one in so many of all.
const FEWEST: u64 = 50;
const RAREST: u64 = 1_000;

impl Learning {
    pub fn take(&mut self, templates: &Templates) {
        for seen in templates.iter().filter(|seen| seen.template.len() <= LONGEST) {
            self.requests += seen.requests;
            if let Some(known) = self.seen.iter_mut().find(|known| known.hash == seen.hash) {
                known.requests += seen.requests;
            } else if self.seen.len() < KEPT {
                self.seen.push(seen.clone());
            } else if let Some(fewest) = self.seen.iter_mut().min_by_key(|known| known.requests) {
                *fewest = Seen { requests: fewest.requests + seen.requests, ..seen.clone() };
            }
        }
    }

    /// The templates that are worth a route and are not among `known`, those with most requests first. What was seen before
    /// counts for half from here on.
    pub fn worth(&mut self, known: &[String]) -> Vec<String> {
        self.seen
            .sort_by(|one, other| other.requests.cmp(&one.requests).then_with(|| one.template.cmp(&other.template)));
        let least = FEWEST.max(self.requests / RAREST);
        let worth = self.seen.iter().take_while(|seen| seen.requests >= least).map(|seen| seen.template.clone());
        let worth = worth.filter(|template| !known.contains(template)).collect();
        self.seen.iter_mut().for_each(|seen| seen.requests /= 2);
        self.requests /= 2;
        worth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_leaves_open_what_names_one_thing_among_many() {
        for (path, expected) in [
            ("/", "/"),
            ("/checkout", "/checkout"),
            ("/users/17/orders", "/users/{}/orders"),
            ("/users/3f2c9a4e-0b1d-4c5e-8f6a-7b8c9d0e1f2a", "/users/{}"),
            ("/api/v2/items/a1b2", "/api/v2/items/{}"),
            ("/static/app.min.js", "/static/app.min.js"),
            ("/caf%C3%A9", "/{}"),
            ("/a-very-long-title-of-an-article", "/{}"),
            ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/*"),
        ] {
            assert_eq!(text(path), expected);
            assert_eq!(hash(path), hash(expected), "{path}");
        }
        assert_ne!(hash("/a/b"), hash("/b/a"));
    }

    #[test]
    fn what_has_many_requests_is_learnt_whatever_else_comes_and_no_more_is_kept_than_there_is_room_for() {
        let (mut learning, mut rare) = (Learning::default(), 0);
        for _ in 0..200 {
            let mut templates = Templates::default();
            for _ in 0..20 {
                templates.see("/checkout/7");
                templates.see("/");
            }
            for _ in 0..40 {
                rare += 1;
                let name: String = format!("{rare:b}").replace('0', "o").replace('1', "l");
                templates.see(&format!("/scan/{name}"));
            }
            learning.take(&templates);
        }
        assert!(learning.seen.len() <= KEPT);
        assert_eq!(learning.worth(&["/".to_owned()])[0], "/checkout/{}");
    }

    #[test]
    fn what_is_rare_is_not_learnt() {
        let mut learning = Learning::default();
        let mut templates = Templates::default();
        (0..49).for_each(|_| templates.see("/a"));
        (0..50).for_each(|_| templates.see("/b"));
        learning.take(&templates);
        assert_eq!(learning.worth(&[]), ["/b"]);
        templates.clear();
        (0..100_000).for_each(|_| templates.see("/b"));
        (0..60).for_each(|_| templates.see("/c"));
        learning.take(&templates);
        assert_eq!(learning.worth(&["/b".to_owned()]), [""; 0], "six in ten thousand");
    }
}
