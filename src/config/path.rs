//! Where a value stands in a document, written `gate.triggers[0].above`.

use std::fmt;

/// The way from the root of a document to one value. The root has no steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl FieldPath {
    pub(super) fn key(&self, key: &str) -> FieldPath {
        self.step(Step::Key(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> FieldPath {
        self.step(Step::Index(index))
    }

    fn step(&self, step: Step) -> FieldPath {
        let mut steps = self.0.clone();
        steps.push(step);
        FieldPath(steps)
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// None for the root.
    pub(super) fn parent(&self) -> Option<FieldPath> {
        self.0.split_last().map(|(_, before)| FieldPath(before.to_vec()))
    }

    /// The keys, with `*` for any element of a list.
    pub(super) fn pattern(&self) -> Vec<&str> {
        let steps = self.0.iter().map(|step| match step {
            Step::Key(key) => key.as_str(),
            Step::Index(_) => "*",
        });
        steps.collect()
    }

    /// The key that names the value, also for an element of a list.
    pub(super) fn last_key(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
    }
}

impl From<&serde_path_to_error::Path> for FieldPath {
    fn from(path: &serde_path_to_error::Path) -> FieldPath {
        use serde_path_to_error::Segment;
        let steps = path.iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } | Segment::Enum { variant: key } => Some(Step::Key(key.clone())),
            Segment::Unknown => None,
        });
        FieldPath(steps.collect())
    }
}

impl From<&serde_ignored::Path<'_>> for FieldPath {
    fn from(path: &serde_ignored::Path<'_>) -> FieldPath {
        use serde_ignored::Path;
        match path {
            Path::Root => FieldPath::default(),
            Path::Seq { parent, index } => FieldPath::from(*parent).index(*index),
            Path::Map { parent, key } => FieldPath::from(*parent).key(key),
            Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
                FieldPath::from(*parent)
            }
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
