//! Collects what is wrong with one document while its values are read.

use std::collections::HashSet;
use std::ops::Range;

use super::fault::Fault;
use super::keys;
use super::path::FieldPath;
use super::source::Document;

/// Why a value cannot be used, told without the field's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    /// What would be right.
    pub(super) label: String,
    pub(super) help: Option<String>,
}

/// What a fault points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    Key,
    Value,
}

pub(super) struct Report<'d> {
    document: &'d Document,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    /// Values with a fault already, which are neither missing nor to be judged again.
    spoiled: HashSet<FieldPath>,
}

/// One mapping of the document whose keys are being read.
pub(super) struct Scope<'r, 'd> {
    pub(super) report: &'r mut Report<'d>,
    pub(super) at: FieldPath,
}

impl Wrong {
    pub(super) fn new(message: impl Into<String>, label: impl Into<String>) -> Wrong {
        Wrong { message: message.into(), label: label.into(), help: None }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Wrong {
        Wrong { help: Some(help.into()), ..self }
    }
}

impl<'d> Report<'d> {
    pub(super) fn new(document: &'d Document, faults: Vec<Fault>) -> Report<'d> {
        Report { document, faults, warnings: Vec::new(), spoiled: document.spoiled.iter().cloned().collect() }
    }

    /// What is wrong, and what may be meant otherwise.
    pub(super) fn into_parts(self) -> (Vec<Fault>, Vec<Fault>) {
        (self.faults, self.warnings)
    }

    pub(super) fn root(&mut self) -> Scope<'_, 'd> {
        Scope { report: self, at: FieldPath::default() }
    }

    pub(super) fn add(&mut self, path: FieldPath, point: Point, mut wrong: Wrong) {
        wrong.message = format!("{path}: {}", wrong.message);
        self.add_as_is(path, point, wrong);
    }

    /// For a message that names the field itself.
    pub(super) fn add_as_is(&mut self, path: FieldPath, point: Point, wrong: Wrong) {
        let fault = self.fault(&path, point, wrong);
        self.faults.push(fault);
        self.spoiled.insert(path);
    }

    /// As [`Report::add`], at a part of a text where that stands in the file as it is.
    pub(super) fn add_within(
        &mut self,
        path: FieldPath,
        point: Point,
        mut wrong: Wrong,
        part: Option<(&str, Range<usize>)>,
    ) {
        wrong.message = format!("{path}: {}", wrong.message);
        let span = part.and_then(|(text, part)| {
            let place = self.document.place(&path)?.value.clone();
            let start = place.start + self.document.source.text.get(place)?.find(text)?;
            Some(self.document.source.first_line(start + part.start..start + part.end.max(part.start + 1)))
        });
        let fault = self.fault(&path, point, wrong);
        self.faults.push(match span {
            Some(span) => Fault { span: Some(span), ..fault },
            None => fault,
        });
        self.spoiled.insert(path);
    }

    /// Points at a value that can be used, and may be a mistake.
    pub(super) fn warn(&mut self, path: FieldPath, mut wrong: Wrong) {
        wrong.message = format!("{path}: {}", wrong.message);
        let warning = self.fault(&path, Point::Value, wrong);
        self.warnings.push(warning);
    }

    /// The line on which a value begins.
    pub(super) fn line(&self, path: &FieldPath) -> Option<usize> {
        let place = self.document.place(path)?;
        Some(self.document.source.line_and_column(place.value.start).0)
    }

    fn fault(&self, path: &FieldPath, point: Point, wrong: Wrong) -> Fault {
        let fault = match self.span(path, point) {
            Some(span) => Fault::at(&self.document.source, path.clone(), span, wrong.message, &wrong.label),
            None => Fault::of_file(&self.document.source, wrong.message),
        };
        Fault { help: wrong.help, ..fault }
    }

    /// A value that is not to be called missing.
    pub(super) fn excuse(&mut self, path: FieldPath) {
        self.spoiled.insert(path);
    }

    pub(super) fn is_spoiled(&self, path: &FieldPath) -> bool {
        self.spoiled.contains(path)
    }

    /// Whether the value, or one inside of it, has a fault.
    pub(super) fn is_spoiled_within(&self, path: &FieldPath) -> bool {
        self.spoiled.iter().any(|spoiled| spoiled.steps().starts_with(path.steps()))
    }

    pub(super) fn is_written(&self, path: &FieldPath) -> bool {
        self.document.place(path).is_some()
    }

    fn span(&self, path: &FieldPath, point: Point) -> Option<Range<usize>> {
        let place = self.document.place(path)?;
        let span = match (&place.key, point) {
            (Some(key), Point::Key) => key.clone(),
            _ => place.value.clone(),
        };
        Some(self.document.source.first_line(span))
    }
}

impl<'d> Scope<'_, 'd> {
    pub(super) fn key(&mut self, key: &str) -> Scope<'_, 'd> {
        Scope { at: self.at.key(key), report: self.report }
    }

    pub(super) fn index(&mut self, index: usize) -> Scope<'_, 'd> {
        Scope { at: self.at.index(index), report: self.report }
    }

    /// The value, with a fault when it is missing or wrong.
    pub(super) fn required<R, T>(
        &mut self,
        key: &str,
        raw: Option<R>,
        parse: impl FnOnce(R) -> Result<T, Wrong>,
    ) -> Option<T> {
        match raw {
            Some(raw) => self.parsed(key, raw, parse),
            None => self.missing(key),
        }
    }

    /// The value or its default, with a fault when it is wrong.
    pub(super) fn optional<R, T>(
        &mut self,
        key: &str,
        raw: Option<R>,
        default: T,
        parse: impl FnOnce(R) -> Result<T, Wrong>,
    ) -> Option<T> {
        match raw {
            Some(raw) => self.parsed(key, raw, parse),
            None => (!self.report.is_spoiled(&self.at.key(key))).then_some(default),
        }
    }

    fn parsed<R, T>(&mut self, key: &str, raw: R, parse: impl FnOnce(R) -> Result<T, Wrong>) -> Option<T> {
        parse(raw).map_err(|wrong| self.wrong(key, wrong)).ok()
    }

    /// Points at the mapping that should have the key. Always none, the value that there is not.
    pub(super) fn missing<T>(&mut self, key: &str) -> Option<T> {
        if self.report.is_spoiled(&self.at.key(key)) {
            return None;
        }
        let help = keys::example(&self.at.key(key)).map(|example| format!("add `{example}`"));
        let message = format!("missing key `{}`", self.at.key(key));
        let wrong = Wrong { message, label: format!("has no `{key}`"), help };
        let fault = self.report.fault(&self.at, Point::Key, wrong);
        self.report.faults.push(fault);
        self.report.spoiled.insert(self.at.key(key));
        None
    }

    /// Points at the value of the key.
    pub(super) fn wrong(&mut self, key: &str, wrong: Wrong) {
        self.report.add(self.at.key(key), Point::Value, wrong);
    }

    /// Points at one element of the list.
    pub(super) fn wrong_element(&mut self, index: usize, wrong: Wrong) {
        self.report.add(self.at.index(index), Point::Value, wrong);
    }

    /// Points at the mapping as a whole.
    pub(super) fn wrong_here(&mut self, wrong: Wrong) {
        self.report.add(self.at.clone(), Point::Value, wrong);
    }

    /// Points at the key itself.
    pub(super) fn misplaced(&mut self, key: &str, wrong: Wrong) {
        self.report.add(self.at.key(key), Point::Key, wrong);
    }
}
