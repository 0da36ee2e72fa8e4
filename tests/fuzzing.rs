//! What fuzzing has found, played again without a fuzzer: `fuzz/README.md` says how the corpora come about.

use std::fs;
use std::path::Path;

use portcullis::fuzzing::TARGETS;

#[test]
fn no_promise_is_broken_by_what_fuzzing_has_found() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut broken = Vec::new();
    for (name, target) in TARGETS {
        let mut files: Vec<_> = fs::read_dir(corpora.join(name))
            .unwrap_or_else(|error| panic!("the corpus of {name}: {error}"))
            .map(|entry| entry.expect("the folder can be read").path())
            .collect();
        files.sort();
        assert!(files.len() > 10, "{name} has a corpus of {}", files.len());
        for file in files {
            let bytes = fs::read(&file).expect("the file can be read");
            if std::panic::catch_unwind(|| target(&bytes)).is_err() {
                broken.push(file);
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A program for each, and none of anything else.
#[test]
fn each_target_has_its_program() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let entries = fs::read_dir(programs).expect("the folder can be read");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    names.sort();
    let names: Vec<_> =
        names.iter().map(|path| path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()).collect();
    assert_eq!(names, TARGETS.map(|(name, _)| name));
    let manifest = include_str!("../fuzz/Cargo.toml");
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
