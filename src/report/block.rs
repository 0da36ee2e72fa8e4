//! What a report consists of, whatever it is written in. All text is plain: who writes it escapes it.

use super::charts::Charts;

/// A report, top to bottom.
#[derive(Default)]
pub(super) struct Page {
    pub title: String,
    pub blocks: Vec<Block>,
}

pub(super) enum Block {
    Heading(String),
    /// Of a part of what stands under the heading before.
    Subheading(String),
    Text(String),
    Quote(String),
    Table(Table),
    Items(Vec<String>),
    /// What people have to do, and tick off.
    Tasks(Vec<String>),
    Charts(Box<Charts>),
}

pub(super) struct Table {
    /// Without names where each row speaks for itself.
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<String>>,
}

pub(super) struct Column {
    pub name: String,
    pub align: Align,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Start,
    End,
}

impl Page {
    pub(super) fn heading(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Heading(text.into()));
    }

    pub(super) fn subheading(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Subheading(text.into()));
    }

    pub(super) fn text(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Text(text.into()));
    }

    pub(super) fn quote(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Quote(text.into()));
    }

    pub(super) fn items(&mut self, items: Vec<String>) {
        self.blocks.push(Block::Items(items));
    }

    pub(super) fn tasks(&mut self, tasks: impl IntoIterator<Item = impl Into<String>>) {
        self.blocks.push(Block::Tasks(tasks.into_iter().map(Into::into).collect()));
    }

    pub(super) fn table(&mut self, columns: Vec<Column>, rows: Vec<Vec<String>>) {
        self.blocks.push(Block::Table(Table { columns, rows }));
    }

    /// Rows of a name and a value.
    pub(super) fn facts(&mut self, rows: Vec<Vec<String>>, align: Align) {
        let value = Column { name: String::new(), align };
        self.table(vec![start(""), value], rows);
    }
}

impl Table {
    pub(super) fn is_named(&self) -> bool {
        self.columns.iter().any(|column| !column.name.is_empty())
    }
}

pub(super) fn start(name: impl Into<String>) -> Column {
    Column { name: name.into(), align: Align::Start }
}

pub(super) fn end(name: impl Into<String>) -> Column {
    Column { name: name.into(), align: Align::End }
}

pub(super) fn row<const CELLS: usize>(cells: [&str; CELLS]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}
