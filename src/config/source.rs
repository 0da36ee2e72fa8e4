//! YAML text to a tree of values, with the place of each in the text.
//!
//! Built from the parser's events and not with its loader, so that duplicate keys are all found, and so that depth and
//! aliases are bounded before anything is built from them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use saphyr::Scalar;
use saphyr_parser::{Event, Parser, Span};
use serde_json::Value;

use super::fault::Fault;
use super::path::{FieldPath, Step};

/// Deeper than any configuration; keeps the recursion over a tree shallow.
const DEEPEST: usize = 32;
/// Values that aliases may add to a document: a bomb grows exponentially and is far beyond.
const MOST_ALIASED: usize = 10_000;

/// The text of one file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) excerpts: Excerpts,
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
    places: HashMap<FieldPath, Place>,
}

/// Bytes of the text.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// None for the root and for the elements of a list.
    pub(super) key: Option<Range<usize>>,
    pub(super) value: Range<usize>,
}

#[derive(Clone, Debug)]
struct Node {
    span: Range<usize>,
    data: Data,
}

#[derive(Clone, Debug)]
enum Data {
    Scalar(Value),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    key_span: Range<usize>,
    value: Node,
}

/// A collection whose end has not been read.
struct Unfinished {
    start: usize,
    anchor: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Mapping { entries: Vec<Entry>, seen: HashMap<String, usize>, key: Option<Key> },
}

/// A key that waits for its value.
enum Key {
    Usable(String, Range<usize>),
    /// Its value is read and dropped.
    Refused,
}

/// The rest of the text cannot be made sense of.
struct Stop;

struct Builder<'s> {
    source: &'s Arc<Source>,
    /// The byte of each character; the parser counts characters.
    bytes: Vec<usize>,
    open: Vec<Unfinished>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
    documents: usize,
    root: Option<Node>,
    faults: Vec<Fault>,
}

/// What could be read, with what is wrong; no document when nothing could be read.
pub(super) fn parse(source: Arc<Source>) -> (Option<Document>, Vec<Fault>) {
    let bytes = source.text.char_indices().map(|(byte, _)| byte).chain([source.text.len()]).collect();
    let mut builder = Builder {
        source: &source,
        bytes,
        open: Vec::new(),
        anchors: HashMap::new(),
        aliased: 0,
        documents: 0,
        root: None,
        faults: Vec::new(),
    };
    let complete = builder.build();
    let Builder { root, mut faults, .. } = builder;
    let document = match root {
        Some(Node { data: Data::Mapping(entries), span }) if complete.is_ok() => {
            let mut places = HashMap::new();
            let root = Node { data: Data::Mapping(entries), span };
            let value = flatten(root, FieldPath::default(), None, &mut places);
            Some(Document { source, value, places })
        }
        _ if complete.is_err() => None,
        Some(Node { data: Data::Scalar(Value::Null), .. }) | None => {
            let help = "the least that works has the keys `listen`, `admin`, `blue` and `green`";
            faults.push(fault(&source, None, "the file is empty", "", Some(help)));
            None
        }
        Some(node) => {
            let span = source.first_line(node.span);
            faults.push(fault(&source, Some(span), "the file is not a mapping", "write `key: value` lines", None));
            None
        }
    };
    (document, faults)
}

impl Document {
    pub(super) fn place(&self, path: &FieldPath) -> Option<&Place> {
        self.places.get(path)
    }

    pub(super) fn value_at(&self, path: &FieldPath) -> Option<&Value> {
        path.steps().iter().try_fold(&self.value, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }
}

impl Builder<'_> {
    fn build(&mut self) -> Result<(), Stop> {
        let source = Arc::clone(self.source);
        let mut parser = Parser::new_from_str(&source.text);
        while let Some(event) = parser.next_event() {
            match event {
                Ok((event, span)) => self.take(event, span)?,
                Err(error) => {
                    let at = self.byte(error.marker().index());
                    return self.stop(at..at, &format!("this is not YAML: {}", error.info()), "");
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let span = self.byte(span.start.index())..self.byte(span.end.index());
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return self.stop(span, "the file holds a second document", "only one is read, remove this `---`");
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = match Scalar::parse_from_cow_and_metadata(text.clone(), style, tag.as_ref()) {
                    Some(scalar) if tag.as_ref().is_none_or(|tag| tag.is_yaml_core_schema()) => json(scalar, &text),
                    _ => return self.stop(span, "a tag that is not known here", "write the value without a tag"),
                };
                self.finish(Node { span, data: Data::Scalar(value) }, anchor);
            }
            Event::SequenceStart(anchor, _) => self.start(span, anchor, Kind::List(Vec::new()))?,
            Event::MappingStart(anchor, _) => {
                let kind = Kind::Mapping { entries: Vec::new(), seen: HashMap::new(), key: None };
                self.start(span, anchor, kind)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let ended = self.open.pop().expect("the parser ends what it started");
                let data = match ended.kind {
                    Kind::List(nodes) => Data::List(nodes),
                    Kind::Mapping { entries, .. } => Data::Mapping(entries),
                };
                self.finish(Node { span: ended.start..span.end.max(ended.start), data }, ended.anchor);
            }
            Event::Alias(anchor) => self.alias(span, anchor)?,
        }
        Ok(())
    }

    fn start(&mut self, span: Range<usize>, anchor: usize, kind: Kind) -> Result<(), Stop> {
        if self.open.len() == DEEPEST {
            return self.stop(span, &format!("the file is nested deeper than {DEEPEST} levels"), "");
        }
        self.open.push(Unfinished { start: span.start, anchor, kind });
        Ok(())
    }

    fn alias(&mut self, span: Range<usize>, anchor: usize) -> Result<(), Stop> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return self.stop(span, "an alias inside of what it stands for", "");
        };
        let (size, depth) = node.size_and_depth();
        self.aliased += size;
        if self.aliased > MOST_ALIASED {
            return self.stop(span, &format!("the aliases stand for more than {MOST_ALIASED} values"), "");
        }
        if self.open.len() + depth > DEEPEST {
            return self.stop(span, &format!("the file is nested deeper than {DEEPEST} levels"), "");
        }
        self.finish(Node { span, ..node }, 0);
        Ok(())
    }

    fn finish(&mut self, node: Node, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(Kind::List(nodes)) => nodes.push(node),
            Some(Kind::Mapping { entries, seen, key }) => match (key.take(), node) {
                (None, Node { span, data: Data::Scalar(Value::String(text)) }) => {
                    *key = Some(Key::Usable(text, span));
                }
                (None, Node { span, .. }) => {
                    *key = Some(Key::Refused);
                    let span = self.source.first_line(span);
                    self.faults.push(fault(self.source, Some(span), "a key that is not text", "", None));
                }
                (Some(Key::Refused), _) => {}
                (Some(Key::Usable(key, key_span)), value) => match seen.get(&key) {
                    Some(&first) => {
                        let (line, _) = self.source.line_and_column(first);
                        let message = format!("duplicate key `{key}`");
                        let label = format!("already on line {line}");
                        self.faults.push(fault(self.source, Some(key_span), &message, &label, None));
                    }
                    None => {
                        seen.insert(key.clone(), key_span.start);
                        entries.push(Entry { key, key_span, value });
                    }
                },
            },
        }
    }

    fn byte(&self, character: usize) -> usize {
        self.bytes.get(character).copied().unwrap_or(self.source.text.len())
    }

    fn stop(&mut self, span: Range<usize>, message: &str, label: &str) -> Result<(), Stop> {
        let span = self.source.first_line(span);
        self.faults.push(fault(self.source, Some(span), message, label, None));
        Err(Stop)
    }
}

impl Node {
    fn size_and_depth(&self) -> (usize, usize) {
        let nodes: Vec<&Node> = match &self.data {
            Data::Scalar(_) => return (1, 0),
            Data::List(nodes) => nodes.iter().collect(),
            Data::Mapping(entries) => entries.iter().map(|entry| &entry.value).collect(),
        };
        let inner = nodes.into_iter().map(Node::size_and_depth);
        inner.fold((1, 1), |(size, depth), (more, deeper)| (size + more, depth.max(deeper + 1)))
    }
}

impl Source {
    /// Both from 1; the column counts characters.
    pub(super) fn line_and_column(&self, byte: usize) -> (usize, usize) {
        let (line, range) = self.line_at(byte);
        (line, self.text[range.start..byte.max(range.start)].chars().count() + 1)
    }

    /// The number of the line that holds the byte, and its bytes without the line end.
    pub(super) fn line_at(&self, byte: usize) -> (usize, Range<usize>) {
        let before = &self.text[..byte];
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let end = self.text[byte..].find('\n').map_or(self.text.len(), |length| byte + length);
        let end = if self.text[start..end].ends_with('\r') { end - 1 } else { end };
        (before.matches('\n').count() + 1, start..end.max(byte))
    }

    /// As much of the span as stands on its first line.
    pub(super) fn first_line(&self, span: Range<usize>) -> Range<usize> {
        let (_, line) = self.line_at(span.start);
        span.start..span.end.min(line.end).max(span.start)
    }
}

fn flatten(node: Node, path: FieldPath, key: Option<Range<usize>>, places: &mut HashMap<FieldPath, Place>) -> Value {
    let value = match node.data {
        Data::Scalar(value) => value,
        Data::List(nodes) => {
            nodes.into_iter().enumerate().map(|(index, node)| flatten(node, path.index(index), None, places)).collect()
        }
        Data::Mapping(entries) => entries
            .into_iter()
            .map(|entry| {
                let value = flatten(entry.value, path.key(&entry.key), Some(entry.key_span), places);
                (entry.key, value)
            })
            .collect(),
    };
    places.insert(path, Place { key, value: node.span });
    value
}

/// A number that JSON cannot hold, such as `.inf`, stays text and is refused as such.
fn json(scalar: Scalar<'_>, text: &str) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => value.into(),
        Scalar::Integer(value) => value.into(),
        Scalar::FloatingPoint(value) => {
            serde_json::Number::from_f64(value.into_inner()).map_or_else(|| text.into(), Value::Number)
        }
        Scalar::String(value) => value.into(),
    }
}

fn fault(source: &Arc<Source>, span: Option<Range<usize>>, message: &str, label: &str, help: Option<&str>) -> Fault {
    Fault {
        file: Arc::clone(source),
        path: FieldPath::default(),
        span,
        message: message.to_owned(),
        label: label.to_owned(),
        help: help.map(str::to_owned),
    }
}
