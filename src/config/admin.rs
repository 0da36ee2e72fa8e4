//! The admin API: where it listens, and who may use it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::Tls;

#[derive(Clone, Debug)]
pub struct Admin {
    pub listen: SocketAddr,
    pub access: Access,
    /// None: it speaks HTTP as it is.
    pub tls: Option<Tls>,
    /// That of the tokens, those that it names, and those of `tls`.
    pub files: Vec<PathBuf>,
}

/// Who may use the admin API.
#[derive(Clone, Debug)]
pub enum Access {
    /// Everybody who can reach the listener, which is on loopback.
    Loopback,
    Tokens(Vec<Token>),
}

/// One person or pipeline. Only the digest of the secret is known.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub name: String,
    pub role: Role,
    pub sha256: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Viewer,
    Operator,
}

/// Without the digest, which is nobody's business.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}
