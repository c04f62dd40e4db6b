//! Whatever is done to documents, reading them ends well.

use arbtest::arbitrary::{Result, Unstructured};
use selvedge_topology::documents::{Colours, Loaded, SourceFile, load, render};

use crate::{each, good};

const PIECES: &[&str] = &[
    "\n",
    " ",
    "\t",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "|",
    ">",
    "&a ",
    "*a",
    "!!str ",
    "#",
    "---\n",
    "...\n",
    "? ",
    "\r",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\0",
    "é",
    "🦀",
    "null",
    "true",
    "-1",
    "65536",
    "1e9",
    "any",
    "::",
    "0/0",
    "metadata",
    "name: ",
    "ports",
    "web1",
    "%YAML 1.2\n",
];

/// Cuts, repeats, moves and inserts at random.
fn mutate(text: &mut String, random: &mut Unstructured<'_>) -> Result<()> {
    for _ in 0..random.int_in_range(1..=4)? {
        let boundaries: Vec<usize> =
            text.char_indices().map(|(index, _)| index).chain([text.len()]).collect();
        let from = *random.choose(&boundaries)?;
        let most = (from + 60).min(text.len());
        let ends: Vec<usize> = boundaries.iter().copied().filter(|end| (from..=most).contains(end)).collect();
        let to = *random.choose(&ends)?;
        let piece = text[from..to].to_owned();
        match random.int_in_range(0..=3)? {
            0 => text.replace_range(from..to, ""),
            1 => text.insert_str(from, &piece),
            2 => text.insert_str(from, random.choose(PIECES)?),
            _ => text.replace_range(from..to, random.choose(PIECES)?),
        }
    }
    Ok(())
}

/// Lines as YAML breaks them.
fn lines(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.replace("\r\n", "\n").replace('\r', "\n").split('\n').map(str::to_owned).collect()
}

fn check(files: &[SourceFile], loaded: &Loaded) {
    let has_errors =
        loaded.diagnostics.iter().any(|finding| !finding.code.is_empty() && loaded.model.is_none());
    assert_eq!(loaded.model.is_none(), has_errors, "there is a model, or a reason why not");
    for finding in &loaded.diagnostics {
        let file = files.iter().find(|file| file.name == finding.place.file).unwrap();
        let lines = lines(&file.text);
        let line = lines.get(finding.place.line as usize - 1);
        let line = line.unwrap_or_else(|| panic!("{finding:?} is beyond line {}", lines.len()));
        let length = line.chars().count() as u32;
        assert!(finding.place.column >= 1 && finding.place.column <= length + 1, "{finding:?} in {line:?}");
        assert!(finding.width >= 1);
        assert!(line.contains(&finding.source) || finding.source.is_empty(), "{finding:?} in {line:?}");
    }
    assert_eq!(render(&loaded.diagnostics, Colours::Plain).is_empty(), loaded.diagnostics.is_empty());
}

#[test]
fn damaged_documents_never_panic_and_every_finding_is_inside_its_file() {
    const CASES: u32 = 1_000;
    let mut refused = 0;
    each(CASES, 64..=1024, |random| {
        let mut files = good();
        let index = random.choose_index(files.len())?;
        mutate(&mut files[index].text, random)?;
        let loaded = load(&files);
        check(&files, &loaded);
        refused += u32::from(loaded.model.is_none());
        Ok(())
    });
    assert!(refused >= CASES / 4, "only {refused} of {CASES} were refused");
}
