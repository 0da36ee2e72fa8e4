//! What is drawn with letters: bars, small curves, and text that fits.

use console::{measure_text_width, truncate_str};

const FULL: char = '█';
const EMPTY: char = '░';
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// `share` of `width` cells, from 0 to 1.
pub(super) fn bar(share: f64, width: usize) -> String {
    let full = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    (0..width).map(|cell| if cell < full { FULL } else { EMPTY }).collect()
}

/// The last of `values`, one a cell, from 0 to `most`. A gap where there is none.
pub(super) fn curve(values: &[Option<f64>], most: f64, width: usize) -> String {
    let shown = &values[values.len().saturating_sub(width)..];
    let cell = |value: &Option<f64>| match value {
        None => ' ',
        Some(value) if most > 0.0 => {
            let height = (value / most).clamp(0.0, 1.0) * (HEIGHTS.len() - 1) as f64;
            HEIGHTS[height.round() as usize]
        }
        Some(_) => HEIGHTS[0],
    };
    let gap = width - shown.len();
    std::iter::repeat_n(' ', gap).chain(shown.iter().map(cell)).collect()
}

/// `text` in so many cells, and no more.
pub(super) fn fitted(text: &str, width: usize) -> String {
    let cut = truncate_str(text, width, "…");
    let space = width - measure_text_width(&cut).min(width);
    format!("{cut}{}", " ".repeat(space))
}

/// `text` in lines of at most `width` cells, of which all but the first are indented.
pub(super) fn wrapped(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let wide = measure_text_width(&line) + 1 + measure_text_width(word);
        if line.trim().is_empty() {
            line.push_str(word);
        } else if wide <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(std::mem::replace(&mut line, format!("{}{word}", " ".repeat(indent))));
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_its_share_and_never_longer_than_its_place() {
        for (share, expected) in [(0.0, "░░░░"), (0.5, "██░░"), (1.0, "████"), (7.0, "████"), (-1.0, "░░░░")]
        {
            assert_eq!(bar(share, 4), expected, "{share}");
        }
        assert_eq!(bar(f64::NAN, 2), "░░");
    }

    #[test]
    fn a_curve_ends_with_the_last_value_and_has_gaps() {
        assert_eq!(curve(&[Some(9.0), Some(0.0), None, Some(2.0), Some(4.0)], 4.0, 4), "▁ ▅█");
        assert_eq!(curve(&[Some(0.0)], 0.0, 3), "  ▁");
    }

    #[test]
    fn text_is_broken_between_words_and_cut_where_a_place_ends() {
        assert_eq!(wrapped("wait: green had 3 of 50 requests", 14, 2), ["wait: green", "  had 3 of 50", "  requests"]);
        assert_eq!(wrapped("", 10, 2), [""]);
        assert_eq!(fitted("v1.2.0-rc.1", 6), "v1.2.…");
        assert_eq!(fitted("v1", 4), "v1  ");
    }
}
