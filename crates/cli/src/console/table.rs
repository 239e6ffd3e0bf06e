//! Aligned tables.

use super::{Console, printable};
use crate::failure::Failure;

/// A column's heading and side.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    /// Text.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

impl Column {
    fn heading(self) -> &'static str {
        match self {
            Self::Left(heading) | Self::Right(heading) => heading,
        }
    }

    fn align(self, text: &str, width: usize) -> String {
        let gap = " ".repeat(width.saturating_sub(text.chars().count()));
        match self {
            Self::Left(_) => format!("{text}{gap}"),
            Self::Right(_) => format!("{gap}{text}"),
        }
    }
}

/// Rows under headings, or, with empty headings, rows alone.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Two columns: what, and its value.
    pub(crate) fn facts() -> Self {
        Self::new(&[Column::Left(""), Column::Left("")])
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| printable(cell.as_bytes(), false)).collect());
    }

    pub(crate) fn fact(&mut self, name: &str, value: impl Into<String>) {
        self.row([name.to_owned(), value.into()]);
    }

    pub(crate) fn print(&self, console: &Console) -> Result<(), Failure> {
        for line in self.lines(console) {
            console.line(line)?;
        }
        Ok(())
    }

    fn lines(&self, console: &Console) -> Vec<String> {
        let headings: Vec<String> = self.columns.iter().map(|column| column.heading().to_owned()).collect();
        let titled = headings.iter().any(|heading| !heading.is_empty());
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|nth| {
                let cells =
                    self.rows.iter().chain(titled.then_some(&headings)).filter_map(|row| row.get(nth));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let line = |row: &Vec<String>| {
            let cells = self.columns.iter().zip(&widths).zip(row);
            let cells = cells.map(|((column, width), cell)| column.align(cell, *width));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let heading = titled.then(|| console.paint.bold(&line(&headings)));
        heading.into_iter().chain(self.rows.iter().map(line)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[Column::Left("NAME"), Column::Right("MESSAGES")]);
        table.row(["orders".into(), "7".into()]);
        table.row(["é".into(), "1,000,000".into()]);
        let lines = table.lines(&Console::new(false, false));
        assert_eq!(lines, ["NAME     MESSAGES", "orders          7", "é       1,000,000"]);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut table = Table::facts();
        table.fact("key", "\u{1b}[31mred\nnext");
        assert_eq!(table.lines(&Console::new(false, false)), ["key  \\u{1b}[31mred\\nnext"]);
    }
}
