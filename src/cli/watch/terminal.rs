//! A screen of our own on a terminal, which is as it was when this is dropped.
//!
//! Every picture is written whole, at the size that the terminal has then: nothing of the last one stays, however it was resized.

use std::io::{self, Write};

use console::{Term, truncate_str};

/// Keeps the screen until it is dropped.
pub(super) struct Terminal {
    out: Term,
}

/// Another screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// To the first cell; the rest of a line, and of the screen, is cleared.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

impl Terminal {
    pub(super) fn enter() -> io::Result<Terminal> {
        let terminal = Terminal { out: Term::stdout() };
        terminal.write(ENTER)?;
        Ok(terminal)
    }

    /// Rows and columns.
    pub(super) fn size(&self) -> (usize, usize) {
        let (rows, columns) = self.out.size();
        (usize::from(rows).max(1), usize::from(columns).max(1))
    }

    /// Shows these lines and no others; what does not fit is left out.
    pub(super) fn show(&self, lines: &[String]) -> io::Result<()> {
        let (rows, columns) = self.size();
        let shown: Vec<String> = lines.iter().take(rows).map(|line| cut(line, columns)).collect();
        self.write(&format!("{HOME}{}{CLEAR_BELOW}", shown.join("\r\n")))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut out = &self.out;
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

fn cut(line: &str, columns: usize) -> String {
    format!("{}{CLEAR_LINE}", truncate_str(line, columns, "…"))
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nobody is left to be told that it could not be.
        self.write(LEAVE).ok();
    }
}
