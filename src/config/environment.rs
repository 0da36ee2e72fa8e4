//! The variables that a configuration may name.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

/// Variables with their values, which may be secrets. Without any, every reference needs a default.
#[derive(Clone, Default)]
pub struct Environment(HashMap<OsString, OsString>);

/// What stands behind a name.
#[derive(Clone, Copy)]
pub(super) enum Variable<'e> {
    Unset,
    NotText,
    Text(&'e str),
}

impl Environment {
    /// The one place where the configuration looks at the variables of the process.
    pub fn of_process() -> Environment {
        Environment(std::env::vars_os().collect())
    }

    pub(super) fn variable(&self, name: &str) -> Variable<'_> {
        match self.0.get(OsStr::new(name)).map(|value| value.to_str()) {
            None => Variable::Unset,
            Some(None) => Variable::NotText,
            Some(Some(text)) => Variable::Text(text),
        }
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Environment {
        Environment(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Without names and values.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Environment").finish_non_exhaustive()
    }
}

/// As POSIX shells name variables (POSIX.1-2017, XBD 3.235).
pub(super) fn is_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(is_inner) && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}
