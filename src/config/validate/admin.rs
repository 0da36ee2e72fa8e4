//! The admin API: where it listens, and who may use it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{NamedFiles, read_text, tls, tokens};
use crate::config::fault::Fault;
use crate::config::quantity::{self, quoted};
use crate::config::raw::RawAdmin;
use crate::config::report::{Scope, Wrong};
use crate::config::secret::Vault;
use crate::config::{Access, Admin, Http2, Tls, Token};

pub(super) fn admin(
    scope: &mut Scope<'_, '_>,
    raw: RawAdmin,
    proxy: Option<SocketAddr>,
    files: NamedFiles<'_>,
    tokens_faults: &mut Vec<Fault>,
) -> Option<Admin> {
    let listen = scope.required("listen", raw.listen, quantity::socket);
    if let (Some(listen), Some(proxy)) = (listen, proxy)
        && collide(listen, proxy)
    {
        let message = format!("`{listen}` is taken by the proxy's own `listen: {proxy}`");
        scope.wrong("listen", Wrong::new(message, "the admin API has a port of its own"));
    }
    let mut read = Vec::new();
    let access = match raw.tokens {
        Some(file) => match files {
            NamedFiles::In(vault) => read_tokens(scope, &file, vault, tokens_faults, &mut read).map(Access::Tokens),
            // Without a token nobody has access.
            NamedFiles::Unread => Some(Access::Tokens(Vec::new())),
        },
        None if scope.report.is_spoiled(&scope.at.key("tokens")) => None,
        None => {
            if let Some(listen) = listen.filter(|listen| !listen.ip().is_loopback()) {
                let message = format!("`{listen}` is not on loopback, and there are no tokens");
                let wrong = Wrong::new(message, format!("write `127.0.0.1:{}`", listen.port()))
                    .help("or name a file of tokens: `tokens: tokens.yaml`");
                scope.wrong("listen", wrong);
            }
            Some(Access::Loopback)
        }
    };
    let tls = raw.tls.and_then(|raw| tls::tls(&mut scope.key("tls"), raw.0, files, Http2::Off));
    read.extend(tls.iter().flat_map(Tls::files).cloned());
    Some(Admin { listen: listen?, access: access?, tls, files: read })
}

fn read_tokens(
    scope: &mut Scope<'_, '_>,
    file: &str,
    vault: Vault<'_>,
    tokens_faults: &mut Vec<Fault>,
    read: &mut Vec<PathBuf>,
) -> Option<Vec<Token>> {
    if file.is_empty() {
        scope.wrong("tokens", Wrong::new("is empty", "write the path of a file, like `tokens.yaml`"));
        return None;
    }
    let path = vault.folder.join(file);
    read.push(path.clone());
    let text = match read_text(&path) {
        Ok(text) => text,
        Err(error) => {
            let label = "a path is relative to the configuration file";
            scope.wrong("tokens", Wrong::new(format!("{} cannot be read: {error}", quoted(file)), label));
            return None;
        }
    };
    let vault = Vault { folder: path.parent().unwrap_or(Path::new("")), ..vault };
    tokens::parse(text, path.display().to_string(), vault, read)
        .map_err(|mut faults| tokens_faults.append(&mut faults))
        .ok()
}

/// Whether one socket keeps the other from being bound; port 0 is chosen by the system.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let holds = |address: IpAddr| address.is_unspecified();
    one.port() != 0 && one.port() == other.port() && (one.ip() == other.ip() || holds(one.ip()) || holds(other.ip()))
}
