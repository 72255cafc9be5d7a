//! Nodes by the square of the field in which they stand.

use super::Point;

/// Squares of a grid at most; a larger field gets wider squares.
const SQUARES_MAX: i64 = 1 << 20;

/// A grid over the field.
#[derive(Debug)]
pub(super) struct Grid {
    width_cm: i64,
    columns: i64,
    rows: i64,
    squares: Vec<Vec<usize>>,
}

impl Grid {
    /// Squares that are at least `reach_cm` wide: what is in reach stands in the same square or one beside it.
    pub(super) fn new((east_cm, north_cm): (i64, i64), reach_cm: i64) -> Self {
        let (east, north) = (east_cm.max(1), north_cm.max(1));
        let mut width_cm = reach_cm.max(1);
        while (east / width_cm + 1).saturating_mul(north / width_cm + 1) > SQUARES_MAX {
            width_cm *= 2;
        }
        let (columns, rows) = (east / width_cm + 1, north / width_cm + 1);
        let squares = vec![Vec::new(); usize::try_from(columns * rows).unwrap_or(1)];
        Self { width_cm, columns, rows, squares }
    }

    /// The square of a place; places outside count to the border.
    pub(super) fn square(&self, at: Point) -> usize {
        let column = (at.x_cm / self.width_cm).clamp(0, self.columns - 1);
        let row = (at.y_cm / self.width_cm).clamp(0, self.rows - 1);
        usize::try_from(row * self.columns + column).unwrap_or(0)
    }

    pub(super) fn enter(&mut self, square: usize, node: usize) {
        if let Some(inside) = self.squares.get_mut(square) {
            inside.push(node);
        }
    }

    pub(super) fn leave(&mut self, square: usize, node: usize) {
        if let Some(inside) = self.squares.get_mut(square) {
            inside.retain(|other| *other != node);
        }
    }

    /// Who stands in the square of a place and in the eight around it.
    pub(super) fn around(&self, at: Point) -> impl Iterator<Item = usize> + '_ {
        let column = (at.x_cm / self.width_cm).clamp(0, self.columns - 1);
        let row = (at.y_cm / self.width_cm).clamp(0, self.rows - 1);
        let rows = (row - 1).max(0)..=(row + 1).min(self.rows - 1);
        let columns = (column - 1).max(0)..=(column + 1).min(self.columns - 1);
        let squares =
            rows.flat_map(move |row| columns.clone().map(move |column| row * self.columns + column));
        squares
            .filter_map(|square| self.squares.get(usize::try_from(square).ok()?))
            .flat_map(|inside| inside.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_in_reach_is_around() {
        let mut grid = Grid::new((10_000, 5_000), 600);
        let mut dice = crate::Dice::new(3);
        let places: Vec<Point> = (0..300)
            .map(|_| Point {
                x_cm: super::super::along(10_000, &mut dice),
                y_cm: super::super::along(5_000, &mut dice),
            })
            .collect();
        for (node, at) in places.iter().enumerate() {
            grid.enter(grid.square(*at), node);
        }
        for here in &places {
            let around: Vec<usize> = grid.around(*here).collect();
            for (node, there) in places.iter().enumerate() {
                assert!(here.distance_cm(*there) > 600 || around.contains(&node));
            }
        }
        grid.leave(grid.square(places[0]), 0);
        assert!(!grid.around(places[0]).any(|node| node == 0));
    }

    #[test]
    fn a_vast_field_has_a_bounded_grid() {
        let grid = Grid::new((i64::from(i32::MAX), i64::from(i32::MAX)), 1);
        assert!(grid.squares.len() <= usize::try_from(SQUARES_MAX).unwrap());
        assert!(grid.square(Point { x_cm: i64::MAX, y_cm: i64::MAX }) < grid.squares.len());
    }
}
