//! States that differ in nothing that matters are one: in which replica is which, in what processes, writes and raises are
//! called, and in what nobody asks for again.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::super::debt::Debt;
use super::super::{How, Stamp};
use super::node::{Node, Packet, Release};
use super::world::State;

/// Of a write that nobody knows again.
const NOBODY: Stamp = Stamp { process: 0, number: 0 };

impl State {
    /// The one that stands for all that are like it.
    pub(super) fn alike(mut self) -> State {
        self.forget();
        self.arrange();
        self.rename();
        self.renumber_raises();
        self
    }

    /// Who has written what matters as long as that one waits to hear of it.
    fn forget(&mut self) {
        let waited: BTreeSet<Stamp> = self.nodes.iter().flat_map(waits_for).collect();
        let forget = |by: &mut Stamp| {
            if !waited.contains(by) {
                *by = NOBODY;
            }
        };
        self.history.iter_mut().for_each(|shared| forget(&mut shared.by));
        let told = self.nodes.iter().map(|node| usize::from(node.watched)).min().unwrap_or(0);
        let past = told.min(self.history.len().saturating_sub(1));
        for shared in &mut self.history[..past] {
            let Release { epoch, step, is_latched, .. } = shared.body;
            shared.body = Release { epoch, step, is_latched, ..Release::default() };
        }
        for known in self.nodes.iter_mut().filter_map(|node| node.replica.known.as_mut()) {
            known.by = NOBODY;
        }
        let air = std::mem::take(&mut self.air).into_iter().filter_map(|mut packet| match &mut packet {
            Packet::Write(write) => {
                forget(&mut write.shared.by);
                Some(packet)
            }
            Packet::Wrote { by, .. } => waited.contains(by).then_some(packet),
            Packet::Answer { heard, .. } => {
                heard.shared.iter_mut().for_each(|shared| forget(&mut shared.by));
                Some(packet)
            }
        });
        self.air = air.collect();
    }

    /// Two that are in the same place may stay in any order: that costs states, and hides none.
    fn arrange(&mut self) {
        let holder = self.lease.map(|(holder, _)| holder);
        let mut nodes: Vec<(u64, bool, Node)> = Vec::new();
        for (number, node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            let mut anonymous = node.clone();
            let process = std::mem::take(&mut anonymous.replica.process);
            each_stamp(&mut anonymous, |stamp| stamp.process -= process);
            let (mut hasher, holds) = (DefaultHasher::new(), holder == Some(number));
            (anonymous, holds).hash(&mut hasher);
            nodes.push((hasher.finish(), holds, node));
        }
        nodes.sort_by_key(|(key, _, _)| *key);
        if let Some((holder, _)) = &mut self.lease {
            *holder = nodes.iter().position(|(_, holds, _)| *holds).expect("the one that has it is there still");
        }
        self.nodes = nodes.into_iter().map(|(_, _, node)| node).collect();
    }

    fn rename(&mut self) {
        let mut processes: BTreeMap<u32, u32> = BTreeMap::from([(0, 0)]);
        let mut stamps: BTreeMap<Stamp, Stamp> = BTreeMap::from([(NOBODY, NOBODY)]);
        let mut reads: BTreeMap<(u32, u32), u32> = BTreeMap::new();
        for (node, process) in self.nodes.iter_mut().zip(1..) {
            processes.insert(node.replica.process, process);
            let mut numbers: BTreeSet<u32> = waits_for(node).map(|stamp| stamp.number).collect();
            numbers.extend(node.replica.reading);
            for (known, number) in numbers.into_iter().zip(1..) {
                stamps.insert(Stamp { process: node.replica.process, number: known }, Stamp { process, number });
                reads.insert((node.replica.process, known), number);
                node.replica.numbered = number;
            }
        }
        for node in &mut self.nodes {
            each_stamp(node, |stamp| *stamp = stamps[stamp]);
            let process = node.replica.process;
            node.replica.reading = node.replica.reading.map(|number| reads[&(process, number)]);
            node.replica.process = processes[&process];
        }
        self.history.iter_mut().for_each(|shared| shared.by = stamps[&shared.by]);
        let renamed = std::mem::take(&mut self.air).into_iter().map(|mut packet| {
            match &mut packet {
                Packet::Write(write) => write.shared.by = stamps[&write.shared.by],
                Packet::Wrote { by, .. } => *by = stamps[by],
                Packet::Answer { process, heard } => {
                    heard.shared.iter_mut().for_each(|shared| shared.by = stamps[&shared.by]);
                    if let How::Read(number) = &mut heard.how {
                        *number = reads[&(*process, *number)];
                    }
                    *process = processes[process];
                }
            }
            packet
        });
        self.air = renamed.collect();
        self.processes = self.nodes.len() as u32;
    }

    fn renumber_raises(&mut self) {
        let mut known = BTreeSet::new();
        self.each_release(|release| _ = known.insert(release.raise));
        let numbers: BTreeMap<u8, u8> = known.into_iter().zip(0..).collect();
        self.raises = numbers.len() as u8;
        self.each_release(|release| release.raise = numbers[&release.raise]);
    }

    fn each_release(&mut self, mut does: impl FnMut(&mut Release)) {
        for node in &mut self.nodes {
            does(&mut node.home);
            let replica = &mut node.replica;
            replica.known.iter_mut().chain(&mut replica.flight).for_each(|shared| does(&mut shared.body));
            match &mut replica.debt {
                Debt::Nothing => {}
                Debt::Raise { body, .. } | Debt::State { body, .. } | Debt::Latch { body, .. } => does(body),
            }
        }
        self.history.iter_mut().for_each(|shared| does(&mut shared.body));
        let air = std::mem::take(&mut self.air).into_iter().map(|mut packet| {
            match &mut packet {
                Packet::Write(write) => does(&mut write.shared.body),
                Packet::Wrote { .. } => {}
                Packet::Answer { heard, .. } => heard.shared.iter_mut().for_each(|shared| does(&mut shared.body)),
            }
            packet
        });
        self.air = air.collect();
    }
}

/// The writes by which it would know that they are its own.
fn waits_for(node: &Node) -> impl Iterator<Item = Stamp> + use<> {
    let owed = match &node.replica.debt {
        Debt::Nothing => [None; 2],
        Debt::Raise { by, over, .. } | Debt::State { by, over, .. } => [Some(*by), *over],
        Debt::Latch { by, .. } => [Some(*by), None],
    };
    owed.into_iter().flatten().chain(node.replica.flight.as_ref().map(|shared| shared.by))
}

fn each_stamp(node: &mut Node, mut does: impl FnMut(&mut Stamp)) {
    let replica = &mut node.replica;
    match &mut replica.debt {
        Debt::Nothing => {}
        Debt::Raise { by, over, .. } | Debt::State { by, over, .. } => {
            does(by);
            over.iter_mut().for_each(&mut does);
        }
        Debt::Latch { by, .. } => does(by),
    }
    replica.flight.iter_mut().for_each(|shared| does(&mut shared.by));
}
