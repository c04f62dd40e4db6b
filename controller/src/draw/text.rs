//! A picture as box-drawing characters.

use super::layout::{Frame, Picture, Wire};

const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;

/// A character's place: which of its four sides lines leave by, or a character of text.
#[derive(Clone, Copy)]
enum Cell {
    Lines(u8),
    Text(char),
}

struct Canvas(Vec<Vec<Cell>>);

pub(super) fn render(picture: &Picture) -> String {
    let mut canvas = Canvas(vec![vec![Cell::Lines(0); picture.width + 1]; picture.height + 1]);
    for frame in &picture.boxes {
        canvas.frame(frame);
    }
    for wire in &picture.wires {
        canvas.wire(wire);
    }
    let mut text: String = canvas.0.iter().map(|row| line(row) + "\n").collect();
    text.truncate(text.trim_end().len());
    text.push('\n');
    if !picture.notes.is_empty() {
        text.push_str("\nAlso wired:\n");
        text.extend(picture.notes.iter().map(|note| format!("  {note}\n")));
    }
    text
}

fn line(row: &[Cell]) -> String {
    let text: String = row.iter().map(|cell| character(*cell)).collect();
    text.trim_end().to_owned()
}

impl Canvas {
    fn add(&mut self, x: usize, y: usize, sides: u8) {
        if let Some(cell @ Cell::Lines(_)) = self.0.get_mut(y).and_then(|row| row.get_mut(x))
            && let Cell::Lines(there) = *cell
        {
            *cell = Cell::Lines(there | sides);
        }
    }

    fn horizontal(&mut self, y: usize, a: usize, b: usize) {
        for x in a.min(b)..a.max(b) {
            self.add(x, y, RIGHT);
            self.add(x + 1, y, LEFT);
        }
    }

    fn vertical(&mut self, x: usize, top: usize, bottom: usize) {
        for y in top..bottom {
            self.add(x, y, DOWN);
            self.add(x, y + 1, UP);
        }
    }

    fn frame(&mut self, frame: &Frame) {
        let Frame { x, y, width, height, lines } = frame;
        let (right, bottom) = (x + width - 1, y + height - 1);
        self.horizontal(*y, *x, right);
        self.horizontal(bottom, *x, right);
        self.vertical(*x, *y, bottom);
        self.vertical(right, *y, bottom);
        for (index, line) in lines.iter().enumerate() {
            let row = self.0.get_mut(y + 1 + index).into_iter().flatten().skip(x + 2);
            for (cell, character) in row.zip(line.chars()) {
                *cell = Cell::Text(character);
            }
        }
    }

    fn wire(&mut self, wire: &Wire) {
        let Wire { from, track, to } = wire;
        self.vertical(from.0, from.1, *track);
        self.horizontal(*track, from.0, to.0);
        self.vertical(to.0, *track, to.1);
    }
}

fn character(cell: Cell) -> char {
    let sides = match cell {
        Cell::Text(character) => return character,
        Cell::Lines(sides) => sides,
    };
    // Indexed by the sides: up 1, down 2, left 4, right 8.
    const LINES: [char; 16] =
        [' ', '╵', '╷', '│', '╴', '┘', '┐', '┤', '╶', '└', '┌', '├', '─', '┴', '┬', '┼'];
    LINES[usize::from(sides & 15)]
}
