//! The same odd requests through Portcullis, nginx and HAProxy to one kind of endpoint, which keeps every byte. README.md beside
//! this is the table of what came of each.

mod peers;
mod play;
mod requests;
mod streams;
mod table;

use peers::Peer;
use play::{Candidate, Outcome};
use table::{Column, Section};

/// One thing that a client sends on a connection of its own.
pub struct Case {
    /// As the table calls it.
    pub name: &'static str,
    pub sent: Vec<u8>,
    /// So many requests at most are in it, whoever reads it.
    pub most: usize,
}

/// What became of all cases through one proxy, section by section.
fn play(mut candidate: Candidate, cases: &[Vec<Case>; 2]) -> [Vec<Outcome>; 2] {
    let [requests, streams] = cases;
    [
        requests.iter().map(|case| candidate.request(case)).collect(),
        streams.iter().map(|case| candidate.stream(case)).collect(),
    ]
}

#[test]
fn odd_requests_smuggle_nothing_and_come_to_what_the_table_says() {
    let cases = [requests::cases(), streams::cases()];
    let [nginx, haproxy] = [peers::nginx as fn() -> Option<Peer>, peers::haproxy].map(|start| {
        let peer = start()?;
        Some((peer.version, peer.candidate))
    });
    let (ours, peers) = std::thread::scope(|scope| {
        let cases = &cases;
        let peers = [nginx, haproxy]
            .map(|peer| peer.map(|(version, candidate)| (version, scope.spawn(move || play(candidate, cases)))));
        let ours = play(Candidate::portcullis(), cases);
        let peers = peers.map(|peer| {
            peer.map(|(version, outcomes)| Column { version, outcomes: outcomes.join().expect("it played to the end") })
        });
        (ours, peers)
    });
    let named = cases.iter().flatten().zip(ours.iter().flatten());
    let faults: Vec<String> = named
        .flat_map(|(case, outcome)| outcome.faults.iter().map(|fault| format!("{}: {fault}", case.name)))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    let titles = ["HTTP/1 to HTTP/1", "HTTP/2 to HTTP/1"];
    let mut sections: Vec<Section> = Vec::new();
    for (title, cases) in titles.into_iter().zip(&cases) {
        sections.push(Section { title, names: cases.iter().map(|case| case.name).collect() });
    }
    table::check(&sections, &ours, &peers);
}
