//! Changes of some documents against reading all of them: the same model, the same errors, and no trace of what was refused
//! or taken back.

use std::collections::BTreeMap;
use std::fmt::Debug;

use arbtest::arbitrary::{Result, Unstructured};
use selvedge_topology::documents::{
    Changed, Diagnostic, Document, Excerpt, Registry, Removal, Severity, SourceFile, load, load_excerpts,
    names,
};
use selvedge_topology::model::Model;

use crate::{each, good};

const HEAD: &str = "apiVersion: selvedge/v1\n";

fn fabric(random: &mut Unstructured<'_>) -> Result<String> {
    let tiers = random.choose(&["", "  tiers: [{name: application, isolation: isolates}]\n"])?;
    let third = random.choose(&[
        "",
        "    - {name: h3, role: host, addresses: [10.0.0.6], ports: [{name: w1, role: workload}]}\n",
    ])?;
    Ok(format!(
        "{HEAD}kind: Fabric\nmetadata: {{name: f}}\nspec:\n  defaultAction: deny\n{tiers}  nodes:\n\
         \x20   - {{name: h1, role: host, ports: [{{name: w1, role: workload}}]}}\n\
         \x20   - {{name: h2, role: host, ports: [{{name: eth0, role: uplink}}]}}\n{third}"
    ))
}

fn workload(name: &str, random: &mut Unstructured<'_>) -> Result<String> {
    let role = random.choose(&["a", "b"])?;
    let address = random.int_in_range(1..=12)?;
    let place = random.choose(&[
        "attachment: {node: h1, port: w1}",
        "attachment: {node: h1, port: w1}",
        "attachment: {node: h2, port: eth0}",
        "attachment: {node: h3, port: w1}",
        "unmanaged: true",
    ])?;
    Ok(format!(
        "{HEAD}kind: Workload\nmetadata: {{name: {name}}}\nspec: {{labels: {{role: {role}}}, addresses: [10.0.0.{address}], {place}}}\n"
    ))
}

/// Rules of these names have numbers that collide: `r41142` of `p0` with `r9045` of `p2`, `r58568` of `p0` with `r54828` of `p1`.
fn policy(name: &str, random: &mut Unstructured<'_>) -> Result<String> {
    let mut text = format!("{HEAD}kind: SegmentationPolicy\nmetadata: {{name: {name}}}\nspec:\n");
    text += random.choose(&[
        "  tier: application\n",
        "  tier: application\n",
        "  tier: application\n",
        "  tier: platform\n",
    ])?;
    text += "  selector: {matchLabels: {role: a}}\n  ingress:\n";
    for rule in ["r41142", "r9045", "r58568", "r54828"] {
        if random.ratio(5, 6)? {
            let peer = random.choose(&[
                "entity: any",
                "entity: any",
                "entity: any",
                "entity: host",
                "cidrGroup: g0",
                "cidrGroup: g1",
                "cidr: 10.0.0.0/8",
            ])?;
            text += &format!(
                "    - {{name: {rule}, action: allow, from: [{{{peer}}}], ports: [{{protocol: any}}]}}\n"
            );
        }
    }
    Ok(text + "    - {action: deny, from: [{entity: world}], ports: [{protocol: any}]}\n")
}

fn group(name: &str, random: &mut Unstructured<'_>) -> Result<String> {
    let cidrs = random.choose(&["10.1.0.0/16", "10.2.0.0/16, 10.3.0.0/16", "10.1.0.1/16"])?;
    Ok(format!("{HEAD}kind: CidrGroup\nmetadata: {{name: {name}}}\nspec: {{cidrs: [{cidrs}]}}\n"))
}

/// Kind and name.
type Key = (&'static str, String);

fn key(random: &mut Unstructured<'_>) -> Result<Key> {
    let number = random.int_in_range(0..=4)?;
    Ok(match random.int_in_range(0..=19)? {
        0 => ("Fabric", "f".to_owned()),
        1..=9 => ("Workload", format!("w{number}")),
        10..=16 => ("SegmentationPolicy", format!("p{}", number % 3)),
        _ => ("CidrGroup", format!("g{}", number % 2)),
    })
}

fn document((kind, name): &Key, random: &mut Unstructured<'_>) -> Result<String> {
    match *kind {
        "Fabric" => fabric(random),
        "Workload" => workload(name, random),
        "SegmentationPolicy" => policy(name, random),
        _ => group(name, random),
    }
}

/// A file of some documents, and each of them as a file of its own in which it stands where it stands in that.
fn file(
    name: String,
    keys: &[Key],
    random: &mut Unstructured<'_>,
) -> Result<(SourceFile, Vec<(Key, SourceFile)>)> {
    let mut text = String::new();
    let mut single = Vec::new();
    for key in keys {
        if !text.is_empty() {
            text += random.choose(&["---\n", "--- # next\n\n", "...\n", "...\n# next\n---\n"])?;
        }
        let above = "\n".repeat(text.lines().count());
        let comment = random.choose(&["", "# what it is for\n"])?;
        let document = comment.to_string() + &document(key, random)?;
        text += &document;
        single.push((key.clone(), SourceFile { name: name.clone(), text: above + &document }));
    }
    Ok((SourceFile { name, text }, single))
}

/// The text of a file from the first line that says something.
fn excerpt(file: &SourceFile) -> Excerpt {
    let text = file.text.trim_start_matches('\n');
    let line = 1 + u32::try_from(file.text.len() - text.len()).unwrap();
    Excerpt { file: file.name.as_str().into(), line, text: text.into() }
}

fn shown(registry: &Registry) -> (String, Vec<Excerpt>) {
    (format!("{:#?}", registry.model()), registry.excerpts().cloned().collect())
}

fn errors(diagnostics: &[Diagnostic]) -> Vec<String> {
    let errors = diagnostics.iter().filter(|finding| finding.severity == Severity::Error);
    let mut errors: Vec<String> = errors
        .map(|found| format!("{} {} {} {}", found.place, found.code, found.message, found.source))
        .collect();
    errors.sort();
    errors
}

/// What `shown` says of a value, but not where in a file it stands: that changes nothing that is enforced.
fn without_places(shown: &str) -> String {
    let mut parts = shown.split("place: Place {");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('}').map_or(part, |(_, after)| after))
}

/// Holds what is said to have been changed against both models.
fn check_before(registry: &Registry, changed: &Changed, old: &Model) {
    let new = registry.model();
    fn all<K: Ord + Debug, V: Debug>(
        said: &BTreeMap<&K, Option<&V>>,
        old: &BTreeMap<K, V>,
        new: &BTreeMap<K, V>,
    ) {
        let text = |value: Option<&V>| without_places(&format!("{value:?}"));
        for (name, was) in said {
            assert_eq!(text(*was), text(old.get(name)), "{name:?}");
        }
        for name in old.keys().chain(new.keys()).filter(|name| text(old.get(name)) != text(new.get(name))) {
            assert!(said.contains_key(name), "{name:?} changed and nobody says so");
        }
    }
    let Some(before) = registry.before(changed) else { return };
    all(&before.workloads, &old.workloads, &new.workloads);
    all(&before.policies, &old.policies, &new.policies);
    all(&before.groups, &old.cidr_groups, &new.cidr_groups);
}

#[derive(Debug, Default)]
struct Seen {
    made: usize,
    refused: usize,
    taken_back: usize,
    of_the_fabric: usize,
    renumbered: usize,
}

#[test]
fn a_change_of_some_documents_is_what_reading_all_of_them_gives() {
    let mut seen = Seen::default();
    each(300, 2048..=8192, |random| {
        let mut all: BTreeMap<Key, SourceFile> = BTreeMap::new();
        all.insert(
            ("Fabric", "f".to_owned()),
            SourceFile { name: "f.yaml".to_owned(), text: fabric(random)? },
        );
        let (mut registry, _) = Registry::read(&all.values().cloned().collect::<Vec<_>>()).unwrap();
        for number in 0..random.int_in_range(10..=30)? {
            step(number, &mut registry, &mut all, random, &mut seen)?;
        }
        Ok(())
    });
    let Seen { made, refused, taken_back, of_the_fabric, renumbered } = seen;
    assert!(made >= 500 && refused >= 300 && taken_back >= 100, "{seen:?}");
    assert!(of_the_fabric >= 20 && renumbered >= 20, "{seen:?}");
}

fn step(
    number: u32,
    registry: &mut Registry,
    all: &mut BTreeMap<Key, SourceFile>,
    random: &mut Unstructured<'_>,
    seen: &mut Seen,
) -> Result<()> {
    let keys: Vec<Key> = (0..random.int_in_range(0..=3)?).map(|_| key(random)).collect::<Result<_>>()?;
    let (file, single) = file(format!("{number}.yaml"), &keys, random)?;
    let removed: Vec<Key> = match random.ratio(1, 3)? {
        true => vec![key(random)?],
        false => Vec::new(),
    };
    let list: Vec<Removal> =
        removed.iter().map(|(kind, name)| Removal { kind: (*kind).to_owned(), name: name.clone() }).collect();
    let removable =
        removed.iter().all(|key| key.0 != "Fabric" && all.contains_key(key) && !keys.contains(key));
    let mut after = all.clone();
    after.retain(|key, _| !keys.contains(key) && !removed.contains(key));
    let files: Vec<SourceFile> = after.values().chain(single.iter().map(|(_, file)| file)).cloned().collect();
    let expected = load(&files);
    // Of several files of one name, findings would show lines of the first.
    let pieces = after.values().chain([&file]).map(excerpt).collect::<Vec<_>>();
    let (before, old) = (shown(registry), registry.model().clone());
    match registry.change(std::slice::from_ref(&file), &list) {
        Err(diagnostics) => {
            assert!(!removable || expected.model.is_none(), "{diagnostics:#?}\n{}", file.text);
            if removed.is_empty() {
                let expected = load_excerpts(&pieces);
                assert_eq!(errors(&diagnostics), errors(&expected.diagnostics), "{}", file.text);
            }
            assert!(!errors(&diagnostics).is_empty());
            assert_eq!(shown(registry), before, "a refusal leaves a trace");
            seen.refused += 1;
        }
        Ok((changed, _)) => {
            assert!(removable, "{list:?}");
            assert_eq!(format!("{:#?}", registry.model()), format!("{:#?}", expected.model.unwrap()));
            let excerpts: Vec<Excerpt> = registry.excerpts().cloned().collect();
            let again = load_excerpts(&excerpts);
            assert_eq!(again.documents.len(), expected.documents.len());
            assert_eq!(format!("{:#?}", registry.model()), format!("{:#?}", again.model.unwrap()));
            check_before(registry, &changed, &old);
            seen.of_the_fabric += usize::from(registry.before(&changed).is_none());
            let written = registry.before(&changed).map_or(0, |before| before.policies.len());
            let asked = keys.iter().chain(&removed).filter(|key| key.0 == "SegmentationPolicy").count();
            seen.renumbered += usize::from(written > asked);
            if random.ratio(1, 4)? {
                registry.undo(changed);
                assert_eq!(shown(registry), before, "what is taken back leaves a trace");
                seen.taken_back += 1;
            } else {
                after.extend(single);
                *all = after;
                seen.made += 1;
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_removed_is_there_and_nobody_needs_it() {
    let (mut registry, _) = Registry::read(&good()).unwrap();
    let removal = |kind: &str, name: &str| Removal { kind: kind.to_owned(), name: name.to_owned() };
    let name = registry.model().workloads.keys().next().unwrap().to_string();
    let list = [
        removal("Workload", &name),
        removal("Workload", &format!("{name}x")),
        removal("Wrkload", &name),
        removal("Fabric", "x"),
    ];
    let found = registry.change(&[], &list).unwrap_err();
    let told: Vec<String> =
        found.iter().map(|finding| format!("{} {}", finding.place, finding.code)).collect();
    assert_eq!(
        told,
        ["<removals>:2:10 unknown-reference", "<removals>:3:1 unknown-kind", "<removals>:4:8 no-fabric"]
    );
    assert_eq!(found[0].help, Some(format!("did you mean `{name}`?")));
    let policies: Vec<Removal> =
        registry.model().policies.keys().map(|name| removal("SegmentationPolicy", name.as_str())).collect();
    let group = registry.model().cidr_groups.keys().next().unwrap().to_string();
    let found = registry.change(&[], &[removal("CidrGroup", &group)]).unwrap_err();
    let told = format!("CidrGroup `{group}` is to be removed, and policy `app-from-web` names it");
    assert_eq!((found[0].message.as_str(), found[0].source.as_str()), (told.as_str(), "    - name: http"));
    let with_policies: Vec<Removal> = policies.into_iter().chain([removal("CidrGroup", &group)]).collect();
    let (changed, warnings) = registry.change(&[], &with_policies).unwrap();
    assert_eq!(warnings, []);
    let (were, are) = registry.changes(&changed);
    assert_eq!((were.len(), are.len()), (with_policies.len(), 0));
}

#[test]
fn another_reading_takes_the_place_of_all_and_says_what_it_changed() {
    let (mut registry, _) = Registry::read(&good()).unwrap();
    let (before, old) = (shown(&registry), registry.model().clone());
    let mut files = good();
    for file in &mut files {
        file.text =
            file.text.replace("port: 8000", "port: 8001").replace("description: calls", "description: Calls");
    }
    let (other, _) = Registry::read(&files).unwrap();
    let expected = shown(&other);
    let changed = registry.supersede(other);
    assert_eq!(shown(&registry), expected);
    check_before(&registry, &changed, &old);
    let (were, are) = registry.changes(&changed);
    let names = |documents: Vec<Document>| documents.into_iter().map(|it| it.name).collect::<Vec<_>>();
    assert_eq!([names(were), names(are)], [["app1", "app-from-web"]; 2]);
    let before_both = registry.before(&changed).unwrap();
    assert_eq!((before_both.workloads.len(), before_both.policies.len()), (1, 1));
    registry.undo(changed);
    assert_eq!(shown(&registry), before);
}

#[test]
fn documents_are_given_from_any_of_them_on_in_order() {
    let (registry, _) = Registry::read(&good()).unwrap();
    let all: Vec<_> = registry.excerpts_from(None).collect();
    assert_eq!(
        all.iter().map(|(_, excerpt)| *excerpt).collect::<Vec<_>>(),
        registry.excerpts().collect::<Vec<_>>()
    );
    assert!(all.is_sorted_by_key(|(key, _)| *key));
    for (index, (key, _)) in all.iter().enumerate() {
        assert_eq!(registry.excerpts_from(Some(key)).collect::<Vec<_>>(), all[index..]);
    }
}

#[test]
fn files_name_their_documents_whatever_these_refer_to_and_errors_are_their_own() {
    let file = |text: &str| [SourceFile { name: "a.yaml".to_owned(), text: text.to_owned() }];
    let workload = "{labels: {a: b}, addresses: [10.0.0.1], attachment: {node: nowhere, port: w1}}";
    let text = format!("{HEAD}kind: Workload\nmetadata: {{name: w}}\nspec: {workload}\n");
    let found = names(&file(&text)).unwrap();
    assert_eq!(found, [Removal { kind: "Workload".to_owned(), name: "w".to_owned() }]);
    let wrong = names(&file(&text.replace("kind: Workload", "kind: Wrkload"))).unwrap_err();
    assert_eq!(wrong.iter().map(|found| found.code).collect::<Vec<_>>(), ["unknown-kind"]);
}
