//! Secrets, which a file names and never holds: `env:NAME` or `file:PATH`.

use std::fmt;
use std::path::Path;

use super::environment::{Environment, Variable, is_name};
use super::quantity::quoted;
use super::report::Wrong;
use super::validate::{Cluster, read_bounded};

/// Larger than any key or certificate chain.
const LARGEST_SECRET: usize = 64 * 1024;

const SHAPE: &str = "write `env:NAME` or `file:PATH`";

/// What nobody may read in a log, a message or the journal. It cannot be displayed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Where secrets are looked for.
#[derive(Clone, Copy)]
pub(super) struct Vault<'a> {
    pub(super) environment: &'a Environment,
    /// Of the file that names them.
    pub(super) folder: &'a Path,
    /// Whether Services and Deployments can be followed.
    pub(super) cluster: Cluster,
}

impl Secret {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secret").finish_non_exhaustive()
    }
}

/// Whether a value is kept elsewhere, and not written out.
pub(super) fn is_elsewhere(text: &str) -> bool {
    text.starts_with("env:") || text.starts_with("file:")
}

/// The secret that a value names. What is wrong with it is told by its name, and never by what it holds.
pub(super) fn read(text: &str, vault: Vault<'_>) -> Result<Secret, Wrong> {
    let (kept, secret) = match text.split_once(':') {
        Some(("env", name)) => (format!("the variable `{name}`"), variable(name, vault.environment)?),
        Some(("file", "")) => return Err(Wrong::new("names no file", SHAPE)),
        Some(("file", path)) => (quoted(path), file(path, vault.folder)?),
        _ => return Err(Wrong::new("is written out, and is a secret", SHAPE)),
    };
    if secret.is_empty() {
        return Err(Wrong::new(format!("{kept} is empty"), "a secret is at least one character"));
    }
    Ok(Secret(secret))
}

fn variable(name: &str, environment: &Environment) -> Result<String, Wrong> {
    if !is_name(name) {
        // Not shown, because it may be the secret itself.
        return Err(Wrong::new("does not name a variable", "write `env:` and the name of a variable, not its value"));
    }
    let wrong = |message: &str, label: String| Wrong::new(format!("the variable `{name}` {message}"), label);
    match environment.variable(name) {
        Variable::Unset => Err(wrong("is not set", "set it where Portcullis is started".to_owned())),
        Variable::NotText => Err(wrong("is not UTF-8", String::new())),
        Variable::Text(text) if text.len() > LARGEST_SECRET => {
            Err(wrong("is too large", format!("at most {LARGEST_SECRET} bytes")))
        }
        Variable::Text(text) => Ok(text.to_owned()),
    }
}

/// Without the newline at the end, which editors and `echo` add.
fn file(path: &str, folder: &Path) -> Result<String, Wrong> {
    let text = read_bounded(&folder.join(path), LARGEST_SECRET).map_err(|error| {
        Wrong::new(format!("{} cannot be read: {error}", quoted(path)), "a path is relative to the file that names it")
    })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').filter(|_| line.len() < text.len()).unwrap_or(line).to_owned())
}
