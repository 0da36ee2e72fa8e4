//! What people and programs wrote, as Markdown that shows it as it is.

/// Text for inside a line: in a cell, an item, a heading or a quotation.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.trim().chars() {
        match character {
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '|' | '~' | '!' | '$' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '&' => escaped.push_str("&amp;"),
            // A line break would end the cell, and what follows would be a block of its own.
            character if character.is_whitespace() => escaped.push(' '),
            // Nor may text run backwards, or hide.
            character if character.is_control() || is_invisible(character) => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    if begins_block(&escaped) {
        let digits = escaped.len() - escaped.trim_start_matches(|first: char| first.is_ascii_digit()).len();
        escaped.insert(digits, '\\');
    }
    escaped
}

/// `rolledBack` as `rolled back`.
pub(super) fn words(name: &str) -> String {
    let mut words = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(character.to_lowercase());
    }
    escape(&words)
}

/// A heading, an item of a list, a rule or an underline, were it to stand at the beginning of a line.
fn begins_block(text: &str) -> bool {
    let behind_digits = text.trim_start_matches(|first: char| first.is_ascii_digit());
    let is_number = behind_digits.len() < text.len();
    let mut behind = behind_digits.chars();
    let is_item = is_number && matches!(behind.next(), Some('.' | ')')) && matches!(behind.next(), None | Some(' '));
    text.starts_with(['#', '-', '+', '=']) || is_item
}

const fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
