//! A mail.

use std::collections::BTreeSet;

use lettre::message::Mailbox;
use lettre::transport::smtp::client::Certificate;
use schemars::JsonSchema;
use serde::Deserialize;

use super::telling;
use crate::config::quantity::{self, quoted};
use crate::config::raw::Element;
use crate::config::report::{Scope, Wrong};
use crate::config::runbook::Around;
use crate::config::runbook::template::{Markup, Template};
use crate::config::secret::Secret;
use crate::config::validate::read_bounded;
use crate::config::{Authority, Endpoint};

#[derive(Clone, Debug, PartialEq)]
pub struct Email {
    pub server: Authority,
    pub security: MailSecurity,
    /// Who signs the server's certificate, as PEM; none: those that the system trusts.
    pub ca: Option<String>,
    /// The user and the password.
    pub login: Option<(String, Secret)>,
    pub from: Mailbox,
    /// At least one.
    pub to: Vec<Mailbox>,
    /// None: what happened.
    pub subject: Option<Template>,
    /// None: what happened, why and what else there is to know.
    pub text: Option<Template>,
}

/// How others are kept from reading along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// Asked for before anything is said; a server that does not offer it gets nothing.
    StartTls,
    /// TLS from the first byte on.
    Tls,
    None,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawEmail {
    server: Option<String>,
    tls: Option<String>,
    ca: Option<String>,
    user: Option<String>,
    password: Option<String>,
    from: Option<String>,
    to: Option<Vec<Element<String>>>,
    subject: Option<String>,
    text: Option<String>,
}

const SECURITIES: &[(&str, MailSecurity)] =
    &[("starttls", MailSecurity::StartTls), ("tls", MailSecurity::Tls), ("none", MailSecurity::None)];

const MOST_RECIPIENTS: usize = 100;

/// Larger than any bundle of authorities.
const LARGEST_CA: usize = 4 * 1024 * 1024;

impl Email {
    pub(super) fn needs(&self) -> BTreeSet<String> {
        telling::needs([&self.subject, &self.text])
    }
}

impl MailSecurity {
    /// Where servers take mails that way (RFC 6409, RFC 8314, RFC 5321).
    const fn port(self) -> u16 {
        match self {
            MailSecurity::StartTls => 587,
            MailSecurity::Tls => 465,
            MailSecurity::None => 25,
        }
    }
}

pub(in crate::config::runbook) fn email(
    scope: &mut Scope<'_, '_>,
    raw: RawEmail,
    around: &Around<'_>,
) -> Option<Email> {
    let security = telling::one_of("how a connection is secured", SECURITIES);
    let security = scope.optional("tls", raw.tls, MailSecurity::StartTls, security);
    let port = security.unwrap_or(MailSecurity::StartTls).port();
    let server = scope.required("server", raw.server, |text| server(&text, port));
    let ca = scope.optional("ca", raw.ca, None, |path| authority(&path, around).map(Some));
    let login = login(scope, (raw.user, raw.password), security, around);
    let from = scope.required("from", raw.from, mailbox);
    let to = scope.required("to", raw.to, |to| {
        let wrong = Wrong::new("is empty", "write a list of addresses, like `[oncall@example.com]`");
        if to.is_empty() { Err(wrong) } else { Ok(to) }
    });
    let to = to.and_then(|to| telling::list(scope, ("to", to), MOST_RECIPIENTS, mailbox));
    let subject = telling::said(scope, ("subject", raw.subject), Markup::Plain, around);
    let text = telling::said(scope, ("text", raw.text), Markup::Plain, around);
    Some(Email {
        server: server?,
        security: security?,
        ca: ca?,
        login: login?,
        from: from?,
        to: to?,
        subject: subject?,
        text: text?,
    })
}

fn server(text: &str, port: u16) -> Result<Authority, Wrong> {
    let shape = || Wrong::new(format!("{} is not a mail server", quoted(text)), "write `host` or `host:port`");
    if text.contains("://") || text.starts_with("unix:") {
        return Err(shape());
    }
    let is_whole = text.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']') && port.parse::<u16>().is_ok());
    let whole = if is_whole { text.to_owned() } else { format!("{text}:{port}") };
    match quantity::endpoint(&whole)? {
        Endpoint::At(authority) => Ok(authority),
        Endpoint::Secured(_) | Endpoint::Unix(_) | Endpoint::Service(_) => Err(shape()),
    }
}

#[expect(clippy::option_option, reason = "none: at fault; none within: nobody logs in")]
fn login(
    scope: &mut Scope<'_, '_>,
    (user, password): (Option<String>, Option<String>),
    security: Option<MailSecurity>,
    around: &Around<'_>,
) -> Option<Option<(String, Secret)>> {
    match (user, password) {
        (None, None) => Some(None),
        (Some(user), Some(written)) => {
            if security == Some(MailSecurity::None) {
                let label =
                    "whoever is on the way could read it: write `tls: starttls`, or remove `user` and `password`";
                scope.misplaced("password", Wrong::new("is sent over a connection that is not secured", label));
            }
            around.secret(scope, "password", &written).map(|password| Some((user, password)))
        }
        (Some(_), None) => scope.missing("password"),
        (None, Some(_)) => scope.missing("user"),
    }
}

fn mailbox(text: String) -> Result<Mailbox, Wrong> {
    let label = "write `oncall@example.com`, or `Checkout <oncall@example.com>`";
    text.parse().map_err(|_| Wrong::new(format!("{} is not an address of mail", quoted(&text)), label))
}

fn authority(path: &str, around: &Around<'_>) -> Result<String, Wrong> {
    let pem = read_bounded(&around.vault.folder.join(path), LARGEST_CA).map_err(|error| {
        Wrong::new(format!("{} cannot be read: {error}", quoted(path)), "a path is relative to the file that names it")
    })?;
    let wrong = |what: &str| Wrong::new(format!("{} {what}", quoted(path)), "name a PEM file with certificates");
    match Certificate::from_pem(pem.as_bytes()) {
        Ok(_) if pem.contains("-----BEGIN CERTIFICATE-----") => Ok(pem),
        Ok(_) => Err(wrong("holds no certificate")),
        Err(_) => Err(wrong("is not PEM")),
    }
}
