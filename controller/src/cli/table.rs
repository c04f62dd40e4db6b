//! Tables as kubectl has them: columns, no lines.

use comfy_table::{ContentArrangement, Table, presets};

/// A table's text, with a head; columns are three spaces apart.
pub(super) fn table<R: IntoIterator<Item = String>>(
    head: &[&str],
    rows: impl IntoIterator<Item = R>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.iter().copied());
    for row in rows {
        table.add_row(row.into_iter().map(|cell| printable(&cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table.trim_fmt() + "\n"
}

/// Text with control characters written out, since documents may hold some and a terminal would obey them.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() { out.extend(character.escape_default()) } else { out.push(character) }
    }
    out
}

/// `-` for nothing.
pub(super) fn or_dash(text: impl Into<String>) -> String {
    let text = text.into();
    if text.is_empty() { "-".to_owned() } else { text }
}

/// Items with commas; `-` for none.
pub(super) fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    or_dash(items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_cell_steers_the_terminal_or_breaks_the_row() {
        let rows = [["\u{1b}[2Jx".to_owned(), "a\nb".to_owned()]];
        assert_eq!(table(&["ONE", "TWO"], rows), "ONE          TWO\n\\u{1b}[2Jx   a\\nb\n");
    }
}
