//! Email: plain text by SMTP (RFC 5321, 5322), with STARTTLS (RFC 3207) or TLS from the first byte (RFC 8314). The mails of
//! one release are a thread.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters, TlsParametersBuilder};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::actions::End;
use crate::actions::context::Context;
use crate::actions::markup::{one_line, shortened};
use crate::actions::notice::Notice;
use crate::actions::reach::Reach;
use crate::config::runbook::Unrendered;
use crate::config::runbook::kind::Email;
use crate::config::runbook::kind::email::MailSecurity;

/// Of a subject: more than any list of mails shows.
const LONGEST_SUBJECT: usize = 250;

/// Of what a server says.
const LONGEST_WHY: usize = 200;

pub(super) async fn send(
    email: &Email,
    context: &Context,
    reach: &Reach,
    timeout: Duration,
) -> Result<End, Unrendered> {
    let (id, message) = message(email, context)?;
    let (host, port) = (&email.server.host, email.server.port);
    let addresses = match reach.addresses(host, port).await {
        Ok(addresses) => addresses,
        Err(error) if error.is_final() => return Ok(End::Failed { why: error.to_string() }),
        Err(error) => return Ok(End::Retry { why: error.to_string(), after: None }),
    };
    let mut failure = End::Retry { why: format!("{host} has no address"), after: None };
    for address in addresses {
        match transport(email, address, context, timeout) {
            Ok(transport) => match transport.send(message.clone()).await {
                Ok(_) => return Ok(delivered(email, id, context)),
                Err(error) if error.status().is_some() || error.is_client() => return Ok(refused(&error)),
                // Another address of the server may do.
                Err(error) => failure = refused(&error),
            },
            Err(error) => return Ok(refused(&error)),
        }
    }
    Ok(failure)
}

pub(super) fn preview(email: &Email, context: &Context) -> Result<String, Unrendered> {
    let (_, message) = message(email, context)?;
    let text = String::from_utf8_lossy(&message.formatted()).replace("\r\n", "\n");
    Ok(context.masked(&format!("to {}\n\n{text}", email.server)))
}

/// What the mail is called, and the mail.
fn message(email: &Email, context: &Context) -> Result<(String, Message), Unrendered> {
    let notice = Notice::new(context);
    let subject = match &email.subject {
        Some(subject) => one_line(&context.render(subject)?),
        None => notice.headline.clone(),
    };
    let text = match &email.text {
        Some(text) => context.render(text)?,
        None => notice.text(),
    };
    let id = message_id(&context.now.key, &email.from);
    // By which no machine answers it (RFC 3834, 5).
    let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    let mut builder = Message::builder()
        .from(email.from.clone())
        .subject(shortened(&subject, LONGEST_SUBJECT))
        .message_id(Some(id.clone()))
        .raw_header(automatic)
        .header(ContentType::TEXT_PLAIN)
        .date_now();
    for to in &email.to {
        builder = builder.to(to.clone());
    }
    if let Some(first) = first(context) {
        builder = builder.in_reply_to(first.to_owned()).references(first.to_owned());
    }
    let message = builder.body(text).map_err(|error| Unrendered::new(format!("it does not become a mail: {error}")))?;
    Ok((id, message))
}

/// What the first mail of the release was called.
fn first(context: &Context) -> Option<&str> {
    let mails = context.earlier.iter().filter(|earlier| earlier.kind == "email");
    mails.filter_map(|earlier| earlier.values.get("thread")).map(String::as_str).next()
}

/// The same for the same key, so that a mail that is sent again is known as the same.
fn message_id(key: &str, from: &Mailbox) -> String {
    let usable = |letter: char| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '-' };
    format!("<{}@{}>", key.chars().map(usable).collect::<String>(), from.email.domain())
}

fn delivered(email: &Email, id: String, context: &Context) -> End {
    let thread = first(context).map_or(id, str::to_owned);
    let sentence = match &email.to[..] {
        [one] => format!("{} took the mail to {}", email.server, one.email),
        many => format!("{} took the mail to {} recipients", email.server, many.len()),
    };
    End::Delivered { sentence, remembered: BTreeMap::from([("thread".to_owned(), thread)]) }
}

fn transport(
    email: &Email,
    address: SocketAddr,
    context: &Context,
    timeout: Duration,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, smtp::Error> {
    let tls = match email.security {
        MailSecurity::StartTls => Tls::Required(parameters(email)?),
        MailSecurity::Tls => Tls::Wrapper(parameters(email)?),
        MailSecurity::None => Tls::None,
    };
    // By the address that was looked at, and under the name that its certificate is for.
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string());
    let builder = builder.port(address.port()).tls(tls).timeout(Some(timeout));
    Ok(match &email.login {
        Some((user, password)) => builder.credentials(Credentials::new(user.clone(), context.expose(password))).build(),
        None => builder.build(),
    })
}

fn parameters(email: &Email) -> Result<TlsParameters, smtp::Error> {
    let mut builder = TlsParametersBuilder::new(email.server.host.clone());
    if let Some(pem) = &email.ca {
        builder = builder.certificate_store(CertificateStore::None);
        builder = builder.add_root_certificate(Certificate::from_pem(pem.as_bytes())?);
    }
    builder.build()
}

/// 4xx may be taken later, and so may what no server has seen; 5xx will not.
fn refused(error: &smtp::Error) -> End {
    let why = shortened(&one_line(&error.to_string()), LONGEST_WHY);
    if error.is_permanent() || error.is_client() { End::Failed { why } } else { End::Retry { why, after: None } }
}
