//! A page as Markdown. What people and programs wrote shows as it is.

use std::fmt::Write;

use super::block::{Align, Block, Page, Table};
use super::text::is_invisible;

pub(super) fn write(page: &Page) -> String {
    let mut markdown = String::new();
    write_into(page, &mut markdown).expect("a string takes everything");
    markdown
}

fn write_into(page: &Page, to: &mut String) -> std::fmt::Result {
    writeln!(to, "# {}", escape(&page.title))?;
    for block in &page.blocks {
        writeln!(to)?;
        match block {
            Block::Heading(text) => writeln!(to, "## {}", escape(text))?,
            Block::Subheading(text) => writeln!(to, "### {}", escape(text))?,
            Block::Text(text) => writeln!(to, "{}", escape(text))?,
            Block::Quote(text) => writeln!(to, "> {}", escape(text))?,
            Block::Items(items) => items.iter().try_for_each(|item| writeln!(to, "- {}", escape(item)))?,
            Block::Tasks(tasks) => tasks.iter().try_for_each(|task| writeln!(to, "- [ ] {}", escape(task)))?,
            Block::Table(table) => write_table(table, to)?,
            Block::Charts(charts) => writeln!(to, "{}", escape(&charts.instead()))?,
        }
    }
    Ok(())
}

fn write_table(table: &Table, to: &mut String) -> std::fmt::Result {
    for column in &table.columns {
        write!(to, "|{}", cell(&column.name))?;
    }
    to.push_str("|\n");
    for column in &table.columns {
        to.push_str(if column.align == Align::End { "|---:" } else { "|---" });
    }
    to.push_str("|\n");
    for row in &table.rows {
        row.iter().try_for_each(|text| write!(to, "|{}", cell(text)))?;
        to.push_str("|\n");
    }
    Ok(())
}

fn cell(text: &str) -> String {
    if text.is_empty() { " ".to_owned() } else { format!(" {} ", escape(text)) }
}

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

/// A heading, an item of a list, a rule or an underline, were it to stand at the beginning of a line.
fn begins_block(text: &str) -> bool {
    let behind_digits = text.trim_start_matches(|first: char| first.is_ascii_digit());
    let is_number = behind_digits.len() < text.len();
    let mut behind = behind_digits.chars();
    let is_item = is_number && matches!(behind.next(), Some('.' | ')')) && matches!(behind.next(), None | Some(' '));
    text.starts_with(['#', '-', '+', '=']) || is_item
}
