//! A page as one HTML file: no script, nothing from elsewhere, and a policy in it that forbids both.

use std::fmt::Write;

use super::block::{Align, Block, Column, Page, Table};
use super::charts::Charts;
use super::svg;
use super::text::{clock, instant, is_invisible};
use crate::gate::verdict::duration;

const STYLE: &str = include_str!("report.css");

/// What a report may do in a browser: look as it does.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

pub(super) fn write(page: &Page) -> String {
    let mut html = String::new();
    write_into(page, &mut html).expect("a string takes everything");
    html
}

fn write_into(page: &Page, to: &mut String) -> std::fmt::Result {
    let title = escape(&page.title);
    writeln!(
        to,
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>"#
    )?;
    page.blocks.iter().try_for_each(|block| write_block(block, to))?;
    to.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

fn write_block(block: &Block, to: &mut String) -> std::fmt::Result {
    match block {
        Block::Heading(text) => writeln!(to, "<h2>{}</h2>", escape(text)),
        Block::Subheading(text) => writeln!(to, "<h3>{}</h3>", escape(text)),
        Block::Text(text) => writeln!(to, "<p>{}</p>", escape(text)),
        Block::Quote(text) => writeln!(to, "<blockquote><p>{}</p></blockquote>", escape(text)),
        Block::Items(items) => {
            to.push_str("<ul>\n");
            items.iter().try_for_each(|item| writeln!(to, "<li>{}</li>", escape(item)))?;
            to.push_str("</ul>\n");
            Ok(())
        }
        Block::Tasks(tasks) => {
            to.push_str("<ul class=\"tasks\">\n");
            tasks.iter().try_for_each(|task| writeln!(to, "<li>{}</li>", escape(task)))?;
            to.push_str("</ul>\n");
            Ok(())
        }
        Block::Table(table) => write_table(table, to),
        Block::Charts(charts) => write_charts(charts, to),
    }
}

fn write_table(table: &Table, to: &mut String) -> std::fmt::Result {
    to.push_str("<div class=\"table\">\n<table>\n");
    let class = |column: &Column| if column.align == Align::End { " class=\"end\"" } else { "" };
    if table.is_named() {
        to.push_str("<thead><tr>");
        for column in &table.columns {
            write!(to, "<th scope=\"col\"{}>{}</th>", class(column), escape(&column.name))?;
        }
        to.push_str("</tr></thead>\n");
    }
    to.push_str("<tbody>\n");
    for row in &table.rows {
        to.push_str("<tr>");
        for (index, (text, column)) in row.iter().zip(&table.columns).enumerate() {
            let text = escape(text);
            match index {
                0 => write!(to, "<th scope=\"row\">{text}</th>")?,
                _ => write!(to, "<td{}>{text}</td>", class(column))?,
            }
        }
        to.push_str("</tr>\n");
    }
    to.push_str("</tbody>\n</table>\n</div>\n");
    Ok(())
}

fn write_charts(charts: &Charts, to: &mut String) -> std::fmt::Result {
    for figure in svg::figures(charts) {
        write!(to, "<figure>\n{figure}</figure>\n")?;
    }
    let (first, last) = charts.ends();
    writeln!(
        to,
        "<p>From {} to {}, in slices of {}. A line has a gap where its version had no request. The dotted lines are changes \
         of green's share.</p>",
        instant(first),
        clock(last),
        duration(charts.slice())
    )
}

/// Text for between tags, and for inside an attribute in double quotes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.trim().chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character if character.is_whitespace() => escaped.push(' '),
            character if character.is_control() || is_invisible(character) => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    escaped
}
