//! Aligned columns, without rulers: easy to read, and easy to cut with `awk`.

use crate::out::clean_line;

const GAP: &str = "  ";

/// A table with a head; numbers stand at the right of their column.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    /// Adds a row; control characters are taken out of every cell.
    pub(crate) fn row(&mut self, cells: &[&dyn core::fmt::Display]) {
        self.rows.push(cells.iter().map(|cell| clean_line(&cell.to_string())).collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() <= 1
    }

    /// The table as text, or a sentence if it has no rows.
    pub(crate) fn or(&self, nothing: &str) -> String {
        if self.is_empty() { format!("{nothing}\n") } else { self.to_string() }
    }

    fn column(&self, number: usize) -> Column {
        let cells = || self.rows.iter().skip(1).filter_map(|row| row.get(number));
        let width = self.rows.iter().filter_map(|row| row.get(number)).map(|cell| width(cell)).max();
        let right = cells().next().is_some() && cells().all(|cell| is_amount(cell));
        Column { width: width.unwrap_or(0), right }
    }
}

struct Column {
    width: usize,
    right: bool,
}

/// A number, perhaps with its unit, or the sign for nothing.
fn is_amount(cell: &str) -> bool {
    cell == "-" || cell.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit())
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

impl core::fmt::Display for Table {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let columns: Vec<Column> = (0..count).map(|number| self.column(number)).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, column) in row.iter().zip(&columns) {
                let space = " ".repeat(column.width.saturating_sub(width(cell)));
                let (before, after) = if column.right { (space.as_str(), "") } else { ("", space.as_str()) };
                line.extend([before, cell, after, GAP]);
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_stand_right() {
        let mut table = Table::new(&["name", "owed"]);
        table.row(&[&"depot", &"7 µcr"]);
        table.row(&[&"jetson-über\n", &"1200 µcr"]);
        assert_eq!(
            table.to_string(),
            "name              owed\ndepot            7 µcr\njetson-über   1200 µcr\n"
        );
    }

    #[test]
    fn an_empty_table_says_so() {
        assert_eq!(Table::new(&["name"]).or("nobody yet"), "nobody yet\n");
    }
}
