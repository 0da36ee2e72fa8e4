//! YAML text to a tree of nodes, each with its place in the text.
//!
//! Built from the parser's events and not with its loader, so that duplicate keys are all found, and so that depth and
//! aliases are bounded before anything is built from them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use saphyr::Scalar;
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::Value;

use super::fault::Fault;
use super::path::FieldPath;
use super::reference::{self, References};
use super::report::Wrong;
use super::source::{Excerpts, Source};

/// Deeper than any configuration; keeps the recursion over a tree shallow.
const DEEPEST: usize = 32;
/// Values that aliases may add to a document: a bomb grows exponentially and is far beyond.
const MOST_ALIASED: usize = 10_000;
/// Bytes that references may bring in: as much as a file may hold.
const MOST_BROUGHT_IN: usize = 1024 * 1024;

const NO_TAG: &str = "write the value without a tag";

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) data: Data,
}

#[derive(Clone, Debug)]
pub(super) enum Data {
    Scalar(Value),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
    /// A scalar with a fault of its own, which has been told.
    Faulty,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: Node,
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

/// What has become of a text.
pub(super) struct Built {
    /// None when reading stopped at a fault. A text without a document has a root of nothing.
    pub(super) root: Option<Node>,
    pub(super) faults: Vec<Fault>,
    pub(super) values: Values,
}

/// Whether the values are those of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    AsWritten,
    /// In some of them a reference has been resolved.
    Resolved,
}

struct Builder<'s> {
    source: &'s Arc<Source>,
    references: References<'s>,
    /// What the parser reads: the text, its references masked where there are any.
    masked: Cow<'s, str>,
    /// The byte of each character; the parser counts characters.
    bytes: Vec<usize>,
    open: Vec<Unfinished>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
    brought_in: usize,
    values: Values,
    documents: usize,
    root: Option<Node>,
    faults: Vec<Fault>,
}

pub(super) fn build(source: &Arc<Source>, references: References<'_>) -> Built {
    let bytes = source.text.char_indices().map(|(byte, _)| byte).chain([source.text.len()]).collect();
    let mut builder = Builder {
        source,
        references,
        masked: match references {
            References::To(_) => reference::masked(&source.text),
            References::Text => Cow::Borrowed(&source.text),
        },
        bytes,
        open: Vec::new(),
        anchors: HashMap::new(),
        aliased: 0,
        brought_in: 0,
        values: Values::AsWritten,
        documents: 0,
        root: None,
        faults: Vec::new(),
    };
    let complete = builder.build();
    let root = builder.root.unwrap_or(Node { span: 0..0, data: Data::Scalar(Value::Null) });
    Built { root: complete.is_ok().then_some(root), faults: builder.faults, values: builder.values }
}

impl Builder<'_> {
    fn build(&mut self) -> Result<(), Stop> {
        let text = self.masked.clone();
        let mut parser = Parser::new_from_str(&text);
        while let Some(event) = parser.next_event() {
            match event {
                Ok((event, span)) => self.take(event, span)?,
                Err(error) => {
                    let at = self.byte(error.marker().index());
                    let is_reference = self.source.text[..at].ends_with('$') && self.source.text[at..].starts_with('{');
                    let label = if is_reference { reference::SHAPE } else { "" };
                    return self.stop(at..at, format!("this is not YAML: {}", error.info()), label);
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
                    return self.stop(
                        span,
                        "the file holds a second document".to_owned(),
                        "only one is read, remove this `---`",
                    );
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let data = self.scalar(text, style, tag.as_ref(), &span)?;
                self.finish(Node { span, data }, anchor);
            }
            Event::SequenceStart(_, Some(tag)) | Event::MappingStart(_, Some(tag)) if !tag.is_yaml_core_schema() => {
                return self.stop(span, "the tag does not fit".to_owned(), NO_TAG);
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

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<&Cow<'_, Tag>>,
        span: &Range<usize>,
    ) -> Result<Data, Stop> {
        let text = match self.masked {
            Cow::Borrowed(_) => text,
            Cow::Owned(_) => Cow::Owned(reference::unmasked(&text)),
        };
        let Some(text) = self.resolved(text, style, span)? else { return Ok(Data::Faulty) };
        match Scalar::parse_from_cow_and_metadata(text.clone(), style, tag) {
            Some(scalar) if tag.is_none_or(|tag| tag.is_yaml_core_schema()) => Ok(Data::Scalar(json(scalar, &text))),
            _ => self.stop(span.clone(), "the tag does not fit".to_owned(), NO_TAG),
        }
    }

    /// The text of a scalar with values in place of its references; none after a fault. Keys have no references.
    fn resolved<'t>(
        &mut self,
        text: Cow<'t, str>,
        style: ScalarStyle,
        span: &Range<usize>,
    ) -> Result<Option<Cow<'t, str>>, Stop> {
        let References::To(environment) = self.references else { return Ok(Some(text)) };
        if matches!(self.open.last().map(|open| &open.kind), Some(Kind::Mapping { key: None, .. })) {
            return Ok(Some(text));
        }
        let resolved = match reference::resolved(&text, environment) {
            Ok(Cow::Borrowed(_)) => return Ok(Some(text)),
            Ok(Cow::Owned(resolved)) => resolved,
            Err(broken) => {
                let mut from = span.start;
                for broken in broken {
                    let found = self.source.text.get(from..span.end).and_then(|text| text.find(broken.written));
                    let at = match found {
                        Some(at) => from + at..from + at + broken.written.len(),
                        None => span.clone(),
                    };
                    from = at.end;
                    self.value_fault(at, broken.wrong);
                }
                return Ok(None);
            }
        };
        self.values = Values::Resolved;
        self.brought_in += resolved.len();
        if self.brought_in > MOST_BROUGHT_IN {
            let message = format!("the values with references are longer than {MOST_BROUGHT_IN} bytes together");
            return self.stop(span.clone(), message, "");
        }
        if style != ScalarStyle::Plain {
            return Ok(Some(Cow::Owned(resolved)));
        }
        // As around any plain scalar.
        let plain = resolved.trim_matches([' ', '\t', '\n', '\r']);
        if plain.is_empty() {
            self.value_fault(span.clone(), Wrong::new("comes out empty", "write a default, like `${NAME:-default}`"));
            return Ok(None);
        }
        Ok(Some(Cow::Owned(plain.to_owned())))
    }

    fn start(&mut self, span: Range<usize>, anchor: usize, kind: Kind) -> Result<(), Stop> {
        if self.open.len() == DEEPEST {
            return self.stop(span, format!("the file is nested deeper than {DEEPEST} levels"), "");
        }
        self.open.push(Unfinished { start: span.start, anchor, kind });
        Ok(())
    }

    fn alias(&mut self, span: Range<usize>, anchor: usize) -> Result<(), Stop> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return self.stop(span, "an alias inside of what it stands for".to_owned(), "");
        };
        let (size, depth) = node.size_and_depth();
        self.aliased += size;
        if self.aliased > MOST_ALIASED {
            return self.stop(span, format!("the aliases stand for more than {MOST_ALIASED} values"), "");
        }
        if self.open.len() + depth > DEEPEST {
            return self.stop(span, format!("the file is nested deeper than {DEEPEST} levels"), "");
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
                (None, Node { span, data: Data::Scalar(Value::String(text)) }) => *key = Some(Key::Usable(text, span)),
                (None, Node { span, .. }) => {
                    *key = Some(Key::Refused);
                    self.fault(span, format!("{}a key that is not text", self.subject()), "put it in quotes");
                }
                (Some(Key::Refused), _) => {}
                (Some(Key::Usable(key, key_span)), value) => match seen.get(&key).copied() {
                    Some(first) => self.duplicate(&key, key_span, first),
                    None => {
                        seen.insert(key.clone(), key_span.start);
                        entries.push(Entry { key, key_span, value });
                    }
                },
            },
        }
    }

    fn duplicate(&mut self, key: &str, span: Range<usize>, first: usize) {
        let (line, _) = self.source.line_and_column(first);
        let message = match self.source.excerpts {
            Excerpts::Shown => format!("duplicate key `{}`", self.path().key(key)),
            Excerpts::Hidden => format!("{}duplicate key", self.subject()),
        };
        self.fault(span, message, &format!("already on line {line}"));
    }

    /// The path of the innermost collection that is open.
    fn path(&self) -> FieldPath {
        path_through(self.open.split_last().map_or(&[][..], |(_, holders)| holders))
    }

    fn subject(&self) -> String {
        let path = self.path().to_string();
        if path.is_empty() || self.source.excerpts == Excerpts::Hidden { String::new() } else { format!("{path}: ") }
    }

    fn byte(&self, character: usize) -> usize {
        self.bytes.get(character).copied().unwrap_or(self.source.text.len())
    }

    fn stop<T>(&mut self, span: Range<usize>, message: String, label: &str) -> Result<T, Stop> {
        self.fault(span, message, label);
        Err(Stop)
    }

    /// At the value that is being read.
    fn value_fault(&mut self, span: Range<usize>, wrong: Wrong) {
        let path = path_through(&self.open);
        let message = match self.source.excerpts {
            Excerpts::Shown if !path.steps().is_empty() => format!("{path}: {}", wrong.message),
            Excerpts::Shown | Excerpts::Hidden => wrong.message,
        };
        let fault = Fault::at(self.source, path, self.source.first_line(span), message, &wrong.label);
        self.faults.push(Fault { help: wrong.help, ..fault });
    }

    fn fault(&mut self, span: Range<usize>, message: String, label: &str) {
        let span = self.source.first_line(span);
        self.faults.push(Fault::at(self.source, self.path(), span, message, label));
    }
}

impl Node {
    fn size_and_depth(&self) -> (usize, usize) {
        let nodes: Vec<&Node> = match &self.data {
            Data::Scalar(_) | Data::Faulty => return (1, 0),
            Data::List(nodes) => nodes.iter().collect(),
            Data::Mapping(entries) => entries.iter().map(|entry| &entry.value).collect(),
        };
        let inner = nodes.into_iter().map(Node::size_and_depth);
        inner.fold((1, 1), |(size, depth), (more, deeper)| (size + more, depth.max(deeper + 1)))
    }
}

/// The path of what is being read in the innermost of these collections.
fn path_through(open: &[Unfinished]) -> FieldPath {
    open.iter().fold(FieldPath::default(), |path, open| match &open.kind {
        Kind::List(nodes) => path.index(nodes.len()),
        Kind::Mapping { key: Some(Key::Usable(key, _)), .. } => path.key(key),
        Kind::Mapping { .. } => path,
    })
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
