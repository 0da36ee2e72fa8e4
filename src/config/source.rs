//! The text of a file, and its values with the place of each in the text.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use super::fault::Fault;
use super::path::{FieldPath, Step};
use super::reference::References;
use super::tree::{self, Built, Data, Node, Values};

/// The text of one file.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) excerpts: Excerpts,
    /// The first byte of each line.
    lines: Vec<usize>,
}

/// Whether lines of a file may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excerpts {
    Shown,
    /// They may hold secrets.
    Hidden,
}

/// A file whose root is a mapping.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) source: Arc<Source>,
    pub(super) value: Value,
    /// Values that are null because of a fault.
    pub(super) spoiled: Vec<FieldPath>,
    values: Values,
    places: HashMap<FieldPath, Place>,
}

/// What is known of the values of a document apart from the values.
#[derive(Default)]
struct About {
    places: HashMap<FieldPath, Place>,
    spoiled: Vec<FieldPath>,
}

/// Bytes of the text.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// None for the root and for the elements of a list.
    pub(super) key: Option<Range<usize>>,
    pub(super) value: Range<usize>,
}

/// What could be read, with what is wrong; no document when nothing could be read.
pub(super) fn parse(source: Arc<Source>, references: References<'_>) -> (Option<Document>, Vec<Fault>) {
    let Built { root, mut faults, values } = tree::build(&source, references);
    let Some(root) = root else { return (None, faults) };
    match root.data {
        Data::Mapping(_) => {
            let mut about = About::default();
            let value = flatten(root, FieldPath::default(), None, &mut about);
            let About { places, spoiled } = about;
            (Some(Document { source, value, spoiled, values, places }), faults)
        }
        Data::Faulty => (None, faults),
        Data::Scalar(Value::Null) => {
            let help = "the least that works has the keys `listen`, `admin`, `blue` and `green`";
            faults.push(Fault::of_file(&source, "the file is empty").with_help(help));
            (None, faults)
        }
        Data::Scalar(_) | Data::List(_) => {
            let span = source.first_line(root.span);
            let message = "the file is not a mapping".to_owned();
            faults.push(Fault::at(&source, FieldPath::default(), span, message, "write `key: value` lines"));
            (None, faults)
        }
    }
}

impl Document {
    pub(super) fn place(&self, path: &FieldPath) -> Option<&Place> {
        self.places.get(path)
    }

    /// A text with the same values and without references.
    pub(super) fn resolved(&self) -> String {
        match self.values {
            Values::AsWritten => self.source.text.clone(),
            // JSON is YAML.
            Values::Resolved => format!("{:#}", self.value),
        }
    }

    pub(super) fn value_at(&self, path: &FieldPath) -> Option<&Value> {
        path.steps().iter().try_fold(&self.value, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }
}

/// Without the text, which may hold secrets.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Source {
    pub(super) fn new(name: String, text: String, excerpts: Excerpts) -> Source {
        let lines = [0].into_iter().chain(text.match_indices('\n').map(|(end, _)| end + 1)).collect();
        Source { name, text, excerpts, lines }
    }

    /// Both from 1; the column counts characters.
    pub(super) fn line_and_column(&self, byte: usize) -> (usize, usize) {
        let (line, range) = self.line_at(byte);
        (line, self.text[range.start..byte].chars().count() + 1)
    }

    /// The number of the line that holds the byte, and its bytes without the line end.
    pub(super) fn line_at(&self, byte: usize) -> (usize, Range<usize>) {
        let line = self.lines.partition_point(|start| *start <= byte);
        let start = self.lines[line - 1];
        let end = self.lines.get(line).map_or(self.text.len(), |next| next - 1);
        let end = if self.text[start..end].ends_with('\r') { end - 1 } else { end };
        (line, start..end.max(byte))
    }

    /// As much of the span as stands on its first line.
    pub(super) fn first_line(&self, span: Range<usize>) -> Range<usize> {
        let (_, line) = self.line_at(span.start);
        span.start..span.end.min(line.end).max(span.start)
    }
}

fn flatten(node: Node, path: FieldPath, key: Option<Range<usize>>, about: &mut About) -> Value {
    let value = match node.data {
        Data::Scalar(value) => value,
        Data::Faulty => {
            about.spoiled.push(path.clone());
            Value::Null
        }
        Data::List(nodes) => {
            nodes.into_iter().enumerate().map(|(index, node)| flatten(node, path.index(index), None, about)).collect()
        }
        Data::Mapping(entries) => entries
            .into_iter()
            .map(|entry| {
                let value = flatten(entry.value, path.key(&entry.key), Some(entry.key_span), about);
                (entry.key, value)
            })
            .collect(),
    };
    about.places.insert(path, Place { key, value: node.span });
    value
}
