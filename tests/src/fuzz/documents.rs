//! The document loader, and everything behind it that takes what it accepted.

use std::fs;
use std::path::Path;

use selvedge_proto::plan::{decode_plan, encode_plan};
use selvedge_topology::compile::compile;
use selvedge_topology::documents::{Colours, Document, Loaded, SourceFile, limits, load, render, to_yaml};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::Model;

use super::Outcome;

const NAME: &str = "fuzz.yaml";
/// Compiling is worse than linear in the documents, and larger ones find nothing that smaller ones don't.
const LONGEST: usize = 64 << 10;

/// An input: the text of one file.
pub(super) fn run(input: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(&input[..input.len().min(LONGEST)]).into_owned();
    let loaded = load_text(&text);
    check_findings(&text, &loaded);
    loaded.documents.iter().for_each(check_canonical);
    let Some(model) = loaded.model else { return Outcome::Refused };
    check_plans(&model);
    Outcome::Accepted
}

fn load_text(text: &str) -> Loaded {
    load(&[SourceFile { name: NAME.into(), text: text.into() }])
}

fn check_findings(text: &str, loaded: &Loaded) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = text.split('\n').collect();
    // Errors and warnings are bounded each, and so are lints.
    assert!(loaded.diagnostics.len() <= 3 * (limits::FINDINGS + 1), "{}", loaded.diagnostics.len());
    assert!(
        loaded.model.is_some() || !loaded.diagnostics.is_empty(),
        "there is a model, or a reason why not"
    );
    for finding in &loaded.diagnostics {
        let place = &finding.place;
        assert_eq!(place.file, NAME);
        let line = lines.get(place.line as usize - 1);
        let line = line.unwrap_or_else(|| panic!("{finding:?} is beyond line {}", lines.len()));
        let length = line.chars().count() as u32;
        assert!((1..=length + 1).contains(&place.column), "{finding:?} is outside of {line:?}");
        assert!(finding.width >= 1, "{finding:?}");
        assert!(line.contains(&finding.source), "{finding:?} quotes something else than {line:?}");
        assert!(finding.source.chars().count() <= limits::SOURCE_LINE, "{finding:?}");
        assert!(finding.message.len() <= 4096, "a message is bounded: {finding:?}");
    }
    assert_eq!(render(&loaded.diagnostics, Colours::Plain).is_empty(), loaded.diagnostics.is_empty());
}

/// Canonical YAML reads back as the same document, in the same form.
fn check_canonical(document: &Document) {
    let text = to_yaml(document);
    let again = load_text(&text).documents;
    let content =
        |document: &Document| (document.kind.clone(), document.name.clone(), document.content.clone());
    assert_eq!(again.iter().map(content).collect::<Vec<_>>(), [content(document)], "{text}");
    assert_eq!(to_yaml(&again[0]), text, "canonical form is a fixed point");
}

/// A model that was accepted compiles, and its plans travel unchanged.
fn check_plans(model: &Model) {
    let mut identities = IdentityTable::default();
    identities.allocate(model).expect("so few identities that numbers don't run out");
    let Ok(plans) = compile(model, &identities) else { return };
    for plan in plans.values() {
        let encoded = encode_plan(&plan.clone().into()).expect("no entry outgrows a chunk");
        let decoded = decode_plan(encoded.digest, &encoded.manifest, &encoded.chunks);
        assert_eq!(decoded.as_ref(), Ok(plan));
    }
}

/// The demo's documents, together and one by one, and the documents that the loader's own tests use.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let demo = texts(&root.join("lab/fabrics/demo"));
    let good = texts(&root.join("topology/tests/fixtures/good"));
    let bad = texts(&root.join("topology/tests/fixtures/bad"));
    let whole = [demo.concat(), good.concat()];
    whole.into_iter().chain(demo).chain(good).chain(bad).map(String::into_bytes).collect()
}

/// The YAML files of a folder, each begun as a document.
fn texts(folder: &Path) -> Vec<String> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    paths.iter().map(|path| format!("---\n{}", String::from_utf8_lossy(&fs::read(path).unwrap()))).collect()
}
