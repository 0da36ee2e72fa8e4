//! The tokens file, and the tokens that it names. No message quotes what may be a secret, and no line of the file is shown.

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::config::fault::Fault;
use crate::config::keys::tokens_keys;
use crate::config::raw::{Mapping, RawToken, RawTokens};
use crate::config::read::{closest, read};
use crate::config::reference::References;
use crate::config::report::{Scope, Wrong};
use crate::config::secret::{self, Secret, Vault};
use crate::config::source::{self, Excerpts, Source};
use crate::config::{Role, Token};

const MOST_TOKENS: usize = 1000;

/// Notes in `read_from` where else it was looked.
pub(super) fn parse(
    text: String,
    name: String,
    vault: Vault<'_>,
    read_from: &mut Vec<PathBuf>,
) -> Result<Vec<Token>, Vec<Fault>> {
    let source = Source::new(name, text, Excerpts::Hidden);
    let (document, faults) = source::parse(Arc::new(source), References::To(vault.environment));
    let Some(document) = document else { return Err(faults) };
    let (raw, mut report) = read::<RawTokens>(&document, faults, tokens_keys);
    let listed = raw.iter().filter_map(|raw| raw.tokens.as_ref()).flatten().flatten();
    let kept = listed.flat_map(|Mapping(token)| [&token.token, &token.sha256]).flatten();
    read_from.extend(kept.filter_map(|kept| kept.strip_prefix("file:")).map(|file| vault.folder.join(file)));
    let tokens = raw.and_then(|raw| tokens(&mut report.root(), raw, vault));
    let (faults, _) = report.into_parts();
    match tokens {
        Some(tokens) if faults.is_empty() => Ok(tokens),
        _ => Err(faults),
    }
}

fn tokens(root: &mut Scope<'_, '_>, raw: RawTokens, vault: Vault<'_>) -> Option<Vec<Token>> {
    let Some(raw) = raw.tokens else { return root.missing("tokens") };
    if raw.is_empty() {
        root.wrong("tokens", Wrong::new("is empty", "without a token nobody could use the admin API"));
        return None;
    }
    super::too_many(root, "tokens", raw.len(), MOST_TOKENS)?;
    let mut list = root.key("tokens");
    let mut names = Vec::new();
    let mut tokens = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let Some(raw) = raw else { continue };
        let mut scope = list.index(index);
        let name = raw.0.name.clone();
        tokens.extend(token(&mut scope, raw.0, vault));
        super::unique(&mut scope, name, &mut names);
    }
    Some(tokens)
}

fn token(scope: &mut Scope<'_, '_>, raw: RawToken, vault: Vault<'_>) -> Option<Token> {
    let name = scope.required("name", raw.name, super::label);
    let role = scope.required("role", raw.role, role);
    let is_written = |key: &str| scope.report.is_written(&scope.at.key(key));
    let sha256 = match (is_written("token"), is_written("sha256")) {
        (true, true) => {
            let wrong = Wrong::new("a second key beside `sha256`: a token is known by one", "remove one of them");
            scope.misplaced("token", wrong);
            None
        }
        (false, false) if scope.report.is_spoiled(&scope.at.key("token")) => None,
        (true, false) => scope.required("token", raw.token, |text| hashed(&text, vault)),
        (false, _) => scope.required("sha256", raw.sha256, |text| digest(text, vault)),
    };
    Some(Token { name: name?, role: role?, sha256: sha256? })
}

fn role(text: String) -> Result<Role, Wrong> {
    match text.as_str() {
        "viewer" => Ok(Role::Viewer),
        "operator" => Ok(Role::Operator),
        other => {
            let label = match closest(other, &["viewer", "operator"]) {
                Some(role) => format!("did you mean `{role}`?"),
                None => "write `viewer` or `operator`".to_owned(),
            };
            Err(Wrong::new("is not a role", label))
        }
    }
}

/// Of a token that is kept elsewhere.
fn hashed(text: &str, vault: Vault<'_>) -> Result<[u8; 32], Wrong> {
    let token = secret::read(text, vault)?;
    if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        let label = "a token is one line of ASCII letters, digits and punctuation, without spaces";
        return Err(Wrong::new("is no token that a request could carry", label));
    }
    Ok(Sha256::digest(token.expose()).into())
}

/// A digest is no secret, and may be written out.
fn digest(text: String, vault: Vault<'_>) -> Result<[u8; 32], Wrong> {
    let kept = if secret::is_elsewhere(&text) { Some(secret::read(&text, vault)?) } else { None };
    hexadecimal(kept.as_ref().map_or(&text, Secret::expose)).ok_or_else(|| {
        Wrong::new("is not 64 hexadecimal digits", "write the token's SHA-256 digest")
            .help("`printf %s \"$TOKEN\" | sha256sum` prints it")
    })
}

fn hexadecimal(digits: &str) -> Option<[u8; 32]> {
    let nibbles: Vec<u8> =
        digits.chars().map(|digit| digit.to_digit(16).map(|nibble| nibble as u8)).collect::<Option<_>>()?;
    if nibbles.len() != 64 {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(nibbles.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Some(digest)
}
