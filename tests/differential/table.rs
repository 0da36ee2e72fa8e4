//! README.md: what was played beside what was recorded, and what people say of the differences.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use super::play::Outcome;

/// The rows of one part of the table.
pub struct Section {
    pub title: &'static str,
    pub names: Vec<&'static str>,
}

/// What a peer made of it all.
pub struct Column {
    pub version: String,
    pub outcomes: [Vec<Outcome>; 2],
}

/// By section and name.
type Judgements = BTreeMap<String, BTreeMap<String, String>>;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential");
/// How the cell of a case ends of which nothing reached the endpoint.
const REFUSED: &str = "→ nothing";
const PEERS: [&str; 2] = ["nginx", "HAProxy"];

const INTRODUCTION: &str = "\
# The same odd requests through three proxies

Written by `PORTCULLIS_DIFFERENTIAL=write cargo test --profile quick --all-features --test portcullis differential::`;
the last column is kept by hand in `judgements.json`, but for what all refuse in ways of their own. What is sent stands in `requests.rs` and `streams.rs` under the names of
the first column, and how it is judged in `play.rs`.

Each case has a connection of its own. By HTTP/1 a good request, `next`, follows it at once, and the client ends its side; by
HTTP/2 it is stream 1. After each case another client sends a good request, which must come to the endpoint and be answered as if
there had been no case. Left of the arrow is what the client got: statuses, or how the stream or the connection ended. Right of it are
the whole requests that the endpoint saw by a strict parse, with the fields that the proxy does not set by itself, the body and the
trailers; a request that was broken off is none. **malformed** is what is no HTTP by that parse.

Every version must pass the test for Portcullis' column, and by none of it may more requests reach the endpoint than were sent, or
anything that is no request. The columns of the others hold for these versions, and are compared with no other:
";

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(FOLDER).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Compares what was played with the table, where a peer is there in the recorded version.
pub fn check(sections: &[Section], ours: &[Vec<Outcome>; 2], peers: &[Option<Column>; 2]) {
    let writes = std::env::var("PORTCULLIS_DIFFERENTIAL").is_ok_and(|what| what == "write");
    let judgements: Judgements = serde_json::from_str(&file("judgements.json")).expect("JSON");
    let table = file("README.md");
    let versions: Vec<String> = (0..2).map(|peer| version(&table, peer, peers[peer].as_ref(), writes)).collect();
    let mut text = format!("{INTRODUCTION}{} {}, {} {}.\n", PEERS[0], versions[0], PEERS[1], versions[1]);
    let (mut unjudged, mut idle) = (Vec::new(), Vec::new());
    for (number, section) in sections.iter().enumerate() {
        let (title, judgements) = (section.title, &judgements[section.title]);
        text +=
            &format!("\n## {title}\n\n| sent | Portcullis | nginx | HAProxy | judgement |\n|---|---|---|---|---|\n");
        for (row, name) in section.names.iter().enumerate() {
            let cell = |peer: usize| match &peers[peer] {
                Some(column) if column.version == versions[peer] => with_faults(&column.outcomes[number][row]),
                _ => recorded(&table, title, name, 2 + peer),
            };
            let cells = [ours[number][row].cell.replace('|', "\\|"), cell(0), cell(1)];
            let differ = cells[1..].iter().any(|cell| *cell != cells[0]);
            let judgement = match (differ, judgements.get(*name)) {
                (false, None) => "",
                (true, None) if cells.iter().all(|cell| cell.ends_with(REFUSED)) => "refused by all",
                (true, None) => {
                    unjudged.push(format!("{title}: {name}: {cells:#?}"));
                    ""
                }
                (true, Some(judgement)) => judgement,
                (false, Some(judgement)) => {
                    idle.push(format!("{title}: {name}"));
                    judgement
                }
            };
            text += &format!("| {name} | {} | {judgement} |\n", cells.join(" | "));
        }
        idle.extend(judgements.keys().filter(|name| !section.names.contains(&name.as_str())).cloned());
    }
    if writes {
        std::fs::write(Path::new(FOLDER).join("README.md"), &text).expect("the folder is writable");
    }
    let changed: Vec<String> = text
        .lines()
        .zip(table.lines())
        .filter(|(new, old)| new != old)
        .map(|(new, old)| format!("recorded: {old}\n  played: {new}"))
        .collect();
    assert!(writes || text == table, "the table is another one now:\n{}", changed.join("\n"));
    assert!(unjudged.is_empty(), "differences that nobody has judged: {}", unjudged.join("\n"));
    assert!(idle.is_empty(), "judged, but there is no difference: {idle:#?}");
}

/// A peer's version in the table, which is the recorded one unless this writes another. Says what is not compared.
fn version(table: &str, peer: usize, column: Option<&Column>, writes: bool) -> String {
    let name = PEERS[peer];
    let line = table.lines().find(|line| line.starts_with(&format!("{} ", PEERS[0]))).unwrap_or_default();
    let version = line.split(", ").nth(peer).and_then(|part| part.strip_prefix(name)).unwrap_or_default();
    let recorded = version.trim().trim_end_matches('.').to_owned();
    match column {
        Some(column) if writes => column.version.clone(),
        Some(column) if column.version != recorded => {
            let (there, of) = (&column.version, &recorded);
            let said =
                format!("\nskipped: the column of {name} in the differential table (it is of {of}, here is {there})");
            writeln!(std::io::stderr(), "{said}").expect("stderr");
            recorded
        }
        _ => recorded,
    }
}

/// A peer's cell, with what ours must not do.
fn with_faults(outcome: &Outcome) -> String {
    let faults = outcome.faults.iter().filter(|fault| !fault.starts_with("the endpoint saw"));
    let faults: String = faults.map(|fault| format!(" **{}**", fault.split(':').next().unwrap_or_default())).collect();
    format!("{}{faults}", outcome.cell).replace('|', "\\|")
}

/// What the table holds in this row and column.
fn recorded(table: &str, title: &str, name: &str, column: usize) -> String {
    let section = table.split("\n## ").find(|section| section.starts_with(title)).unwrap_or_default();
    let row = section.lines().find(|line| line.starts_with(&format!("| {name} | "))).unwrap_or_default();
    row.split(" | ").nth(column).unwrap_or_default().to_owned()
}
