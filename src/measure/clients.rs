//! How many different clients the requests of a version came from, where a key keeps clients on one version: the
//! requests of one client are then no independent draws, and whoever compares the versions must know how many are.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// What was drawn when the version of a request was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn {
    /// The request by itself.
    Request,
    /// Its client, once for all of its requests.
    Client(u64),
}

/// Different clients of one version.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    keyed: HashSet<u64, BuildHasherDefault<Identity>>,
    /// Requests that were drawn by themselves.
    single: u64,
}

/// What one proxy tells others of its clients, so that one that came to several of them counts once.
///
/// Of each client that is 16 bits of its key: two that have them in common count as one, which makes whoever compares more careful.
/// Of a thousand clients 8 go that way, of ten thousand 7 %. A key decides by its highest bits which version serves the client,
/// so the lowest tell the clients of one version apart as well as any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Rising.
    marks: Vec<u16>,
    single: u64,
}

/// The clients of several proxies.
#[derive(Clone, Debug, Default)]
pub struct Union {
    /// A bit for each mark; empty where there is none.
    marks: Vec<u64>,
    single: u64,
}

/// Different clients that one worker tells apart between two hand-overs; what comes after counts for nobody. To count too
/// few makes whoever compares more careful, never less. 74 KiB, which only sticky traffic takes.
const MOST_CLIENTS: usize = 4096;

/// As many of one route: 5 KiB.
pub(super) const MOST_CLIENTS_OF_ROUTE: usize = 256;

/// The keys are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Clients {
    pub fn add(&mut self, drawn: Drawn) {
        self.add_up_to(drawn, MOST_CLIENTS);
    }

    /// As [`Clients::add`], where so many are told apart at most.
    pub(super) fn add_up_to(&mut self, drawn: Drawn, most: usize) {
        match drawn {
            Drawn::Request => self.single += 1,
            Drawn::Client(key) if self.keyed.len() < most => _ = self.keyed.insert(key),
            Drawn::Client(_) => {}
        }
    }

    /// Takes in what another worker has seen, or the same one a moment later.
    pub fn merge(&mut self, other: &Clients) {
        self.keyed.extend(&other.keyed);
        self.single += other.single;
    }

    /// What is told of them to others.
    pub fn keys(&self) -> Keys {
        let mut marks: Vec<u16> = self.keyed.iter().map(|key| *key as u16).collect();
        marks.sort_unstable();
        marks.dedup();
        Keys { marks, single: self.single }
    }

    pub fn clear(&mut self) {
        self.keyed.clear();
        self.single = 0;
    }

    /// How many draws the requests come from; none when each was drawn by itself.
    pub fn count(&self) -> Option<u64> {
        (!self.keyed.is_empty()).then(|| self.keyed.len() as u64 + self.single)
    }
}

impl Keys {
    /// None unless the marks rise.
    pub fn new(marks: Vec<u16>, single: u64) -> Option<Keys> {
        marks.is_sorted_by(|one, next| one < next).then_some(Keys { marks, single })
    }

    pub fn merge(&mut self, other: &Keys) {
        self.marks.extend(&other.marks);
        self.marks.sort_unstable();
        self.marks.dedup();
        self.single = self.single.saturating_add(other.single);
    }

    pub fn marks(&self) -> &[u16] {
        &self.marks
    }

    pub fn single(&self) -> u64 {
        self.single
    }
}

impl Union {
    pub fn add(&mut self, keys: &Keys) {
        if !keys.marks.is_empty() {
            self.marks.resize(usize::from(u16::MAX) / 64 + 1, 0);
        }
        for mark in &keys.marks {
            self.marks[usize::from(mark / 64)] |= 1 << (mark % 64);
        }
        self.single = self.single.saturating_add(keys.single);
    }

    /// As [`Clients::count`].
    pub fn count(&self) -> Option<u64> {
        let marked: u64 = self.marks.iter().map(|bits| u64::from(bits.count_ones())).sum();
        (marked > 0).then(|| marked.saturating_add(self.single))
    }
}

impl Hasher for Identity {
    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("only u64 is hashed");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(drawn: impl IntoIterator<Item = Drawn>) -> Clients {
        let mut clients = Clients::default();
        drawn.into_iter().for_each(|drawn| clients.add(drawn));
        clients
    }

    #[test]
    fn a_client_counts_once_on_all_workers_together_and_a_request_without_a_key_for_itself() {
        use Drawn::{Client, Request};
        let mut first = clients([Client(1), Client(2), Client(1), Request]);
        first.merge(&clients([Client(2), Client(3), Request]));
        assert_eq!(first.count(), Some(5));
        first.clear();
        assert_eq!(first.count(), None);
        assert_eq!(clients([Request, Request]).count(), None);
    }

    #[test]
    fn a_client_that_came_to_two_proxies_counts_once_and_those_that_share_a_mark_as_one() {
        use Drawn::{Client, Request};
        let mut union = Union::default();
        union.add(&clients([Request, Request]).keys());
        assert_eq!(union.count(), None, "each was drawn by itself");
        union.add(&clients([Client(1), Client(2 << 40 | 7), Request]).keys());
        union.add(&clients([Client(1), Client(3 << 40 | 7), Client(65_535)]).keys());
        assert_eq!(union.count(), Some(3 + 3));
    }

    #[test]
    fn more_clients_than_the_bound_count_as_the_bound() {
        assert_eq!(clients((0..100_000).map(Drawn::Client)).count(), Some(MOST_CLIENTS as u64));
    }
}
