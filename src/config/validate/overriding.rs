//! Who may choose a version by a header or a cookie.

use http::HeaderName;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TE, TRANSFER_ENCODING, UPGRADE, VIA};

use super::networks::networks;
use super::{NamedFiles, sticky};
use crate::config::quantity::quoted;
use crate::config::raw::RawOverride;
use crate::config::report::{Scope, Wrong};
use crate::config::{OverrideKey, Overriding, secret};
use crate::gate::policy::Seen;

/// A shorter secret could be guessed.
const SHORTEST: usize = 16;

/// What is taken out where it is not allowed must not be what a request lives by.
const NEEDED: [HeaderName; 9] =
    [AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TE, TRANSFER_ENCODING, UPGRADE, VIA];

/// `service` is what signed values are for; none where that was at fault.
pub(super) fn overriding(
    scope: &mut Scope<'_, '_>,
    raw: RawOverride,
    service: Option<&str>,
    files: NamedFiles<'_>,
) -> Option<Overriding> {
    let is_written = |scope: &Scope<'_, '_>, key: &str| scope.report.is_written(&scope.at.key(key));
    if !is_written(scope, "header") && !is_written(scope, "cookie") {
        let wrong = Wrong::new("says neither `header` nor `cookie`", "write one, like `header: x-portcullis-version`");
        scope.wrong_here(wrong);
    }
    if !is_written(scope, "from") && !is_written(scope, "secret") {
        let wrong = Wrong::new("lets nobody choose", "write `from`, networks that may, or `secret`, for signed values");
        scope.wrong_here(wrong);
    }
    let header = scope.optional("header", raw.header, None, |name| header(name).map(Some));
    let cookie = scope.optional("cookie", raw.cookie, None, |name| sticky::token(name, "cookie").map(Some));
    let from = networks(scope, "from", raw.from.unwrap_or_default());
    if from.iter().any(|network| network.prefix_len() == 0) {
        let label = "anybody may choose green, at every weight";
        scope.report.warn(scope.at.key("from"), Wrong::new("has a network of all addresses", label));
    }
    let key = match files {
        NamedFiles::In(vault) => scope.optional("secret", raw.secret, None, |text| {
            let secret = secret::read(&text, vault)?;
            if secret.expose().len() < SHORTEST {
                let label = format!("at least {SHORTEST} characters; `openssl rand -hex 32` makes one");
                return Err(Wrong::new("is too short to be a secret", label));
            }
            Ok(Some(OverrideKey::new(secret.expose(), service.unwrap_or_default().to_owned())))
        }),
        // What decides is not signed.
        NamedFiles::Unread => Some(None),
    };
    let seen = Seen { streak: raw.streak == Some(true), triggers: raw.triggers == Some(true) };
    Some(Overriding { header: header?, cookie: cookie?, from, key: key?, seen })
}

fn header(name: String) -> Result<HeaderName, Wrong> {
    let name = sticky::token(name, "header")?;
    let header = HeaderName::try_from(&name).map_err(|_| sticky::not_a_name(&name, "header"))?;
    if NEEDED.contains(&header) {
        let message = format!("{} says something else", quoted(&name));
        return Err(Wrong::new(message, "choose a name of its own, like `x-portcullis-version`"));
    }
    Ok(header)
}
