//! What is wrong with a file and where, shown in the manner of rustc.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::path::FieldPath;
use super::source::{Excerpts, Source};

/// More than anybody reads at once; what is beyond is counted and not shown.
const MOST_SHOWN: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(super) file: Arc<Source>,
    pub(super) path: FieldPath,
    /// Bytes of the file; none when the fault is the file's as a whole.
    pub(super) span: Option<Range<usize>>,
    pub(super) message: String,
    /// Stands beside the mark under the line.
    pub(super) label: String,
    pub(super) help: Option<String>,
}

/// Everything that is wrong with a configuration, in the order of the text; never empty.
#[derive(Clone, Debug)]
pub struct Faults(Vec<Fault>);

/// What can be used and may be a mistake, in the order of the text.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Vec<Fault>);

impl Faults {
    /// The faults of the configuration file come first, then those of the files that it names.
    pub(super) fn new(mut faults: Vec<Fault>) -> Faults {
        let Some(first) = faults.first().map(|fault| Arc::clone(&fault.file)) else {
            unreachable!("faults are only made when something is wrong");
        };
        faults.sort_by_key(|fault| (!Arc::ptr_eq(&fault.file, &first), fault.span.as_ref().map(|span| span.start)));
        Faults(faults)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// For a text that nobody has seen: what is wrong is named by its path alone.
    pub(super) fn without_places(self) -> Faults {
        Faults(self.0.into_iter().map(|fault| Fault { span: None, ..fault }).collect())
    }

    /// With colours, for a terminal.
    pub fn styled(&self) -> String {
        self.render(&Renderer::styled())
    }

    fn render(&self, renderer: &Renderer) -> String {
        render(&self.0, renderer, Level::ERROR, "fault")
    }
}

impl Warnings {
    pub(super) fn new(mut warnings: Vec<Fault>) -> Warnings {
        warnings.sort_by_key(|warning| warning.span.as_ref().map(|span| span.start));
        Warnings(warnings)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// With colours, for a terminal.
    pub fn styled(&self) -> String {
        render(&self.0, &Renderer::styled(), Level::WARNING, "warning")
    }
}

impl Fault {
    pub(super) fn at(file: &Arc<Source>, path: FieldPath, span: Range<usize>, message: String, label: &str) -> Fault {
        // A key of a file with secrets may itself be one.
        let path = if file.excerpts == Excerpts::Hidden { FieldPath::default() } else { path };
        Fault { file: Arc::clone(file), path, span: Some(span), message, label: label.to_owned(), help: None }
    }

    pub(super) fn of_file(file: &Arc<Source>, message: impl Into<String>) -> Fault {
        let (path, message) = (FieldPath::default(), message.into());
        Fault { file: Arc::clone(file), path, span: None, message, label: String::new(), help: None }
    }

    pub(super) fn with_help(self, help: &str) -> Fault {
        Fault { help: Some(help.to_owned()), ..self }
    }

    /// Line and column, both from 1; the column counts characters.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.span.as_ref().map(|span| self.file.line_and_column(span.start))
    }

    pub fn file(&self) -> &str {
        &self.file.name
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// Of the value; the root's where it is missing in it.
    pub fn path(&self) -> &FieldPath {
        &self.path
    }

    /// What would be right, or why it matters.
    pub fn label(&self) -> &str {
        &self.label
    }

    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    fn group(&self, level: Level<'static>) -> Group<'_> {
        let name = self.file.name.as_str();
        let title = level.primary_title(self.message.as_str());
        let hint = |level: Level<'static>, text: &str| level.message(normalize_untrusted_str(text));
        let mut group = match (&self.span, self.file.excerpts) {
            (None, _) => title.element(Origin::path(name)),
            (Some(span), Excerpts::Hidden) => {
                let (line, column) = self.file.line_and_column(span.start);
                title.element(Origin::path(name).line(line).char_column(column))
            }
            (Some(span), Excerpts::Shown) => {
                let (line, excerpt) = self.file.line_at(span.start);
                let marked = span.start - excerpt.start..span.end.min(excerpt.end).max(span.start) - excerpt.start;
                let label = (!self.label.is_empty()).then_some(self.label.as_str());
                let snippet = Snippet::source(&self.file.text[excerpt]).path(name).line_start(line);
                title.element(snippet.annotation(AnnotationKind::Primary.span(marked).label(label)))
            }
        };
        if self.file.excerpts == Excerpts::Hidden && !self.label.is_empty() {
            group = group.element(hint(Level::NOTE, &self.label));
        }
        if let Some(help) = &self.help {
            group = group.element(hint(Level::HELP, help));
        }
        group
    }
}

fn render(faults: &[Fault], renderer: &Renderer, level: Level<'static>, kind: &str) -> String {
    let mut text = String::new();
    for fault in faults.iter().take(MOST_SHOWN) {
        text += &renderer.render(&[fault.group(level.clone())]);
        text += "\n\n";
    }
    text + &renderer.render(&[Group::with_title(level.primary_title(closing(faults, kind)))])
}

fn closing(faults: &[Fault], kind: &str) -> String {
    let mut files: Vec<&str> = faults.iter().map(|fault| fault.file.name.as_str()).collect();
    files.dedup();
    let files = files.join(" and ");
    match faults.len() {
        1 => format!("1 {kind} in {files}"),
        count if count > MOST_SHOWN => format!("{count} {kind}s in {files}, the first {MOST_SHOWN} are shown"),
        count => format!("{count} {kind}s in {files}"),
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

impl std::error::Error for Faults {}

impl Serialize for Faults {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl Serialize for Warnings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let position = self.position();
        let mut fault = serializer.serialize_struct("Fault", 7)?;
        fault.serialize_field("file", &self.file.name)?;
        fault.serialize_field("line", &position.map(|(line, _)| line))?;
        fault.serialize_field("column", &position.map(|(_, column)| column))?;
        let path = (self.file.excerpts == Excerpts::Shown).then(|| self.path.to_string());
        fault.serialize_field("path", &path)?;
        fault.serialize_field("message", &self.message)?;
        fault.serialize_field("label", &self.label)?;
        fault.serialize_field("help", &self.help)?;
        fault.end()
    }
}
