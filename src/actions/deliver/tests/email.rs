use super::*;
use crate::actions::deliver::preview;

const ENTRY: &str =
    "{ email: { server: mail.example.com, from: Portcullis <bot@example.com>, to: [oncall@example.com] } }";

/// The mail, without what differs between two of them.
fn mail(entry: &str, context: &Context) -> String {
    let shown = preview(&action(context.facts.moment, entry).kind, context).expect("it renders");
    shown.lines().filter(|line| !line.starts_with("Date: ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_mail_tells_what_a_person_needs_at_night() {
    let expected = format!(
        "to mail.example.com:587\n\
         \n\
         From: Portcullis <bot@example.com>\n\
         Subject: checkout: v2 was rolled back to v1\n\
         Message-ID: <v2-7-rolledBack-told-0@example.com>\n\
         Auto-Submitted: auto-generated\n\
         Content-Type: text/plain; charset=utf-8\n\
         To: oncall@example.com\n\
         Content-Transfer-Encoding: 7bit\n\
         \n\
         checkout: v2 was rolled back to v1\n\
         \n\
         errorRate of green is 12.50 %\n\
         \n\
         Status: mitigated, all traffic is on v1\n\
         Versions: blue v1, green v2\n\
         Decided by: gate (meltdown)\n\
         At: 2026-01-31 13:14:15 UTC\n\
         Step: 2 of 4\n\
         Green: 50 of 400 requests failed (12.50 %) in 1m, P99 900 ms\n\
         Blue: 4 of 4000 requests failed (0.10 %) in 1m, P99 80 ms\n\
         Release: v2-7\n\
         Report: {REPORT}"
    );
    assert_eq!(mail(ENTRY, &context(facts(Moment::RolledBack), vec![])), expected);
}

#[test]
fn the_mails_of_a_release_are_a_thread() {
    let known = earlier("email", &[("thread", "<v2-7-rolledBack-told-0@example.com>")]);
    let mail = mail(ENTRY, &context(facts(Moment::Recovered), vec![known]));
    assert!(mail.contains("\nIn-Reply-To: <v2-7-rolledBack-told-0@example.com>\n"), "{mail}");
    assert!(mail.contains("\nReferences: <v2-7-rolledBack-told-0@example.com>\n"), "{mail}");
}

#[test]
fn a_subject_is_one_line_whatever_it_is_made_of() {
    let entry = ENTRY.replace("to: [", "subject: \"{{ reason }}\", text: \"{{ reason }}\", to: [");
    let facts = Facts { reason: "bad\r\nBcc: all@example.com".to_owned(), ..facts(Moment::RolledBack) };
    let mail = mail(&entry, &context(facts, vec![]));
    assert!(mail.contains("\nSubject: bad Bcc: all@example.com\n"), "{mail}");
    assert!(!mail.split("\n\n").nth(1).expect("a head").contains("\nBcc"), "{mail}");
}

#[test]
fn a_server_has_the_port_of_how_it_is_spoken_to() {
    for (more, expected) in [
        ("", "mail.example.com:587"),
        (", tls: tls", "mail.example.com:465"),
        (", tls: none", "mail.example.com:25"),
        (", tls: none, text: x", "mail.example.com:25"),
    ] {
        let entry = ENTRY.replace(" } }", &format!("{more} }} }}"));
        let mail = mail(&entry, &context(facts(Moment::RolledBack), vec![]));
        assert!(mail.starts_with(&format!("to {expected}\n")), "{mail}");
    }
    let entry = ENTRY.replace("mail.example.com", "\"[::1]:2525\"");
    assert!(mail(&entry, &context(facts(Moment::RolledBack), vec![])).starts_with("to [::1]:2525\n"));
}

#[test]
fn a_password_is_sent_to_nobody_on_the_way() {
    for (entry, expected) in [
        (ENTRY.replace(" } }", ", tls: none, user: a, password: env:SECRET } }"), "is not secured"),
        (ENTRY.replace(" } }", ", user: a } }"), "missing key `runbook.rolledBack[0].email.password`"),
        (ENTRY.replace(" } }", ", user: a, password: abc } }"), "is written out, and is a secret"),
        (ENTRY.replace("oncall@example.com", "oncall"), "is not an address of mail"),
        (ENTRY.replace("[oncall@example.com]", "[]"), "is empty"),
        (ENTRY.replace("mail.example.com", "\"smtps://mail.example.com\""), "write `host` or `host:port`"),
        (ENTRY.replace(" } }", ", ca: /nowhere/ca.pem } }"), "cannot be read"),
        (ENTRY.replace(" } }", ", tls: ssl } }"), "use one of `starttls`, `tls`, `none`"),
    ] {
        let faults = parsed(Moment::RolledBack, &entry).expect_err("a fault");
        assert!(faults.contains(expected), "{faults}");
    }
}
