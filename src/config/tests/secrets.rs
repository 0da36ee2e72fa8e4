//! Secrets that a file names: where they come from, what is wrong with them, and that none is ever shown.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::{LEAST, told};
use crate::config::{Access, Config, Environment, Faults, load};

const TOKEN: &str = "hunter2-and-more";

/// A configuration with a tokens file in a folder of its own, and what else the tests lay there.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = tempfile::tempdir().expect("a folder can be made");
        fs::create_dir(folder.path().join("secrets")).expect("the folder is writable");
        let folder = Folder(folder);
        let admin = "admin: { listen: 0.0.0.0:9090, tokens: secrets/tokens.yaml }";
        folder.write("portcullis.yaml", LEAST.replace("admin: { listen: 127.0.0.1:9090 }", admin));
        folder
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).expect("the folder is writable");
        path
    }

    fn load(&self, key: &str, environment: &Environment) -> Result<Config, Faults> {
        self.write("secrets/tokens.yaml", format!("tokens:\n- {{ name: a, role: viewer, {key} }}\n"));
        load(&self.0.path().join("portcullis.yaml"), environment)
    }
}

fn environment() -> Environment {
    let digest: String = Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect();
    let large = "hunter2".repeat(10_000);
    let set = [("TOKEN", TOKEN), ("DIGEST", &digest), ("EMPTY", ""), ("LINES", "hunter2\nhunter2"), ("LARGE", &large)];
    let not_text = OsString::from_vec(b"hunter2\xff".to_vec());
    set.map(|(name, value)| (name, value.into())).into_iter().chain([("NOT_TEXT", not_text)]).collect()
}

#[test]
fn a_token_comes_from_a_variable_or_from_a_file_beside_the_one_that_names_it() {
    let folder = Folder::new();
    folder.write("secrets/unix", format!("{TOKEN}\n"));
    folder.write("secrets/windows", format!("{TOKEN}\r\n"));
    let bare = folder.write("bare", TOKEN);
    let whole_path = format!("token: 'file:{}'", bare.display());
    for key in [
        "token: env:TOKEN",
        "token: file:unix",
        "token: file:windows",
        "token: file:../bare",
        "token: env:${NAME:-TOKEN}",
        &whole_path,
        "sha256: env:DIGEST",
        "sha256: ${DIGEST}",
    ] {
        let config = folder.load(key, &environment()).unwrap_or_else(|faults| panic!("{key}: {faults}"));
        let Access::Tokens(tokens) = config.admin.access else { panic!("a tokens file is named") };
        let digest: [u8; 32] = Sha256::digest(TOKEN).into();
        assert_eq!(tokens[0].sha256, digest, "{key}");
    }
}

#[test]
fn each_secret_that_cannot_be_had_is_a_fault_with_its_place_that_names_it_and_never_shows_it() {
    let folder = Folder::new();
    folder.write("secrets/empty", "\n");
    folder.write("secrets/binary", b"hunter2\xff");
    folder.write("secrets/large", "hunter2".repeat(10_000));
    folder.write("secrets/lines", "hunter2\n\n");
    fs::create_dir(folder.0.path().join("secrets/folder")).expect("the folder is writable");
    let beside = "a path is relative to the file that names it";
    let carried = "is no token that a request could carry | a token is one line of ASCII letters, digits and \
                   punctuation, without spaces";
    let large = "larger than 65536 bytes";
    for (key, expected) in [
        ("token: env:NONE", "the variable `NONE` is not set | set it where Portcullis is started".to_owned()),
        ("token: env:EMPTY", "the variable `EMPTY` is empty | a secret is at least one character".to_owned()),
        ("token: env:NOT_TEXT", "the variable `NOT_TEXT` is not UTF-8 | ".to_owned()),
        ("token: env:LARGE", "the variable `LARGE` is too large | at most 65536 bytes".to_owned()),
        ("token: env:LINES", carried.to_owned()),
        (
            "token: env:hunter2+",
            "does not name a variable | write `env:` and the name of a variable, not its value".to_owned(),
        ),
        ("token: file:none", format!("`none` cannot be read: No such file or directory (os error 2) | {beside}")),
        ("token: file:folder", format!("`folder` cannot be read: Is a directory (os error 21) | {beside}")),
        ("token: file:empty", "`empty` is empty | a secret is at least one character".to_owned()),
        ("token: file:binary", format!("`binary` cannot be read: stream did not contain valid UTF-8 | {beside}")),
        ("token: file:large", format!("`large` cannot be read: {large} | {beside}")),
        ("token: file:lines", carried.to_owned()),
        ("token: 'file:'", "names no file | write `env:NAME` or `file:PATH`".to_owned()),
        ("token: hunter2", "is written out, and is a secret | write `env:NAME` or `file:PATH`".to_owned()),
        ("token: ${TOKEN}", "is written out, and is a secret | write `env:NAME` or `file:PATH`".to_owned()),
        ("sha256: env:TOKEN", "is not 64 hexadecimal digits | write the token's SHA-256 digest".to_owned()),
        ("sha256: ${TOKEN}", "is not 64 hexadecimal digits | write the token's SHA-256 digest".to_owned()),
    ] {
        let faults = folder.load(key, &environment()).map(|_| ()).expect_err("the secret is faulty");
        let column = if key.starts_with("token") { 35 } else { 36 };
        let (field, _) = key.split_once(':').expect("a key with a value");
        let expected = format!("2:{column} tokens[0].{field}: {expected}");
        assert_eq!(faults.iter().map(told).collect::<Vec<_>>(), [expected], "{key}");
        let json = serde_json::to_string(&faults).expect("faults are plain data");
        let shown = format!("{faults}\n{}\n{json}\n{faults:?}", faults.styled());
        assert!(!shown.contains("hunter2"), "{key}: {shown}");
        assert!(faults.iter().all(|fault| fault.file().ends_with("tokens.yaml")), "{key}: {shown}");
    }
}

#[test]
fn a_token_is_known_by_itself_or_by_its_digest() {
    let folder = Folder::new();
    let check = |key: &str, expected: &[&str]| {
        let faults = folder.load(key, &environment()).map(|_| ()).expect_err("the token is faulty");
        assert_eq!(faults.iter().map(told).collect::<Vec<_>>(), expected, "{key}");
    };
    let twice = "a second key beside `sha256`: a token is known by one | remove one of them";
    check("token: env:TOKEN, sha256: env:DIGEST", &[&format!("2:28 tokens[0].token: {twice}")]);
    check("token: ${NONE}", &["2:35 the variable `NONE` is not set | set it, or write `${NONE:-default}`"]);
    check("tokn: env:TOKEN", &["2:28 unknown key `tokens[0].tokn` | did you mean `token`?"]);
}

#[test]
fn no_secret_is_in_the_configuration_or_in_the_text_that_is_kept_of_it() {
    let folder = Folder::new();
    for key in ["token: env:TOKEN", "sha256: env:DIGEST"] {
        let config = folder.load(key, &environment()).unwrap_or_else(|faults| panic!("{key}: {faults}"));
        let shown = format!("{config:?}\n{}\n{:?}", config.text, environment());
        assert!(!shown.contains("hunter2"), "{key}: {shown}");
    }
}
