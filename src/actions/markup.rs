//! What people wrote, made harmless in the markup of where it is shown.

use std::fmt::Write;

/// Slack's mrkdwn gives a meaning to three characters, by which somebody could name a channel to be called
/// (docs.slack.dev/messaging/formatting-message-text, "Escaping text").
pub(crate) fn mrkdwn(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The Markdown that an Adaptive Card of Teams shows: bold, italics, lists, links
/// (learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format).
pub(crate) fn markdown(text: &str) -> String {
    escaped(text, |character| matches!(character, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '~' | '|'))
}

/// Jira's wiki renderer, which the second version of its API has texts in.
pub(crate) fn wiki(text: &str) -> String {
    escaped(text, |character| {
        matches!(character, '\\' | '*' | '_' | '[' | ']' | '{' | '}' | '|' | '^' | '~' | '+' | '!' | '#' | '?')
    })
}

/// Not longer than so many characters; where something is cut, an ellipsis says so.
pub(crate) fn shortened(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let kept: String = text.chars().take(longest.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// On one line: what ends a line, and what cannot be seen, is a space.
pub(crate) fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// As the value of a header by the HTTP binding of CloudEvents (1.0.2, 3.1.3.2 "HTTP Header Values").
pub(crate) fn header(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' | b'"' | b'%' => _ = write!(encoded, "%{byte:02X}"),
            0x21..=0x7E => encoded.push(char::from(byte)),
            _ => _ = write!(encoded, "%{byte:02X}"),
        }
    }
    encoded
}

fn escaped(text: &str, means: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if means(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_calls_a_channel_or_writes_a_link_by_the_name_of_a_version() {
        for (function, written, expected) in [
            (mrkdwn as fn(&str) -> String, "<!channel> a & b", "&lt;!channel&gt; a &amp; b"),
            (mrkdwn, "<https://evil|Report>", "&lt;https://evil|Report&gt;"),
            (markdown, "[Report](https://evil) **v1**", r"\[Report\](https://evil) \*\*v1\*\*"),
            (markdown, "<at>all</at>", r"\<at\>all\</at\>"),
            (wiki, "{code}[~admin] !x.png!", r"\{code\}\[\~admin\] \!x.png\!"),
            (header, "/shop/a b\"ü%\r\n", "/shop/a%20b%22%C3%BC%25%0D%0A"),
            (one_line, "a\r\nBcc: b\tc", "a Bcc: b c"),
        ] {
            assert_eq!(function(written), expected);
        }
    }

    #[test]
    fn what_is_too_long_is_cut_by_characters_and_says_so() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äö…");
    }
}
