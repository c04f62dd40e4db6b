//! The matrix: who reaches whom, on which ports.

use std::collections::{BTreeMap, BTreeSet};

use super::{Family, Finding, Probed, Report};
use crate::table::Table;

/// Below the matrix, for those who see one for the first time.
const LEGEND: &str = "\
Rows: from, columns: to. 443 an open TCP port, 53u UDP, 9s SCTP, ping an echo request; `all` that were probed, `-` none.
22/4 is open in IPv4 only, 22/6 in IPv6 only. ! marks what is not as the policy says; !no-22 is closed and should be open, !all are open and should not all be.";

/// Draws it.
pub fn matrix(report: &Report) -> String {
    let mut pairs: BTreeMap<(usize, usize), Vec<&Finding>> = BTreeMap::new();
    for finding in &report.findings {
        pairs.entry((finding.flow.source, finding.flow.destination)).or_default().push(finding);
    }
    let names: Vec<String> = report.places.iter().map(|place| place.target.to_string()).collect();
    let mut table = Table::default();
    table.row([String::from("FROM \\ TO")].into_iter().chain(names.iter().cloned()).collect());
    for (source, name) in names.iter().enumerate() {
        let cells = (0..names.len()).map(|destination| match pairs.get(&(source, destination)) {
            Some(findings) => cell(findings, &report.probed),
            None => String::new(), // itself, or no address of the same family
        });
        table.row([name.clone()].into_iter().chain(cells).collect());
    }
    let probed: Vec<String> = report.probed.iter().map(ToString::to_string).collect();
    format!("{table}\n\n{LEGEND}\nProbed: {}\n", probed.join(" "))
}

fn cell(findings: &[&Finding], probed: &BTreeSet<Probed>) -> String {
    if findings.iter().all(|finding| finding.is_open()) {
        return if findings.iter().all(|finding| finding.agrees()) { "all" } else { "!all" }.to_owned();
    }
    let marks: Vec<String> = probed.iter().filter_map(|probed| mark(findings, *probed)).collect();
    if marks.is_empty() { "-".to_owned() } else { marks.join(" ") }
}

/// `None`: closed, as it should be.
fn mark(findings: &[&Finding], probed: Probed) -> Option<String> {
    let findings: Vec<&&Finding> = findings.iter().filter(|finding| finding.flow.probed == probed).collect();
    let families = |open: bool| -> BTreeSet<Family> {
        let those = findings.iter().filter(|finding| finding.is_open() == open);
        those.map(|finding| Family::of(finding.flow.from)).collect()
    };
    let (open, closed) = (families(true), families(false));
    let wrong = findings.iter().any(|finding| !finding.agrees());
    if open.is_empty() && !wrong {
        return None;
    }
    let only = match open.first() {
        Some(family) if !closed.is_empty() => format!("/{family}"),
        _ => String::new(),
    };
    // Closed and wrong: `!` alone would read as open.
    let text = if open.is_empty() { format!("no-{}", probed.short()) } else { probed.short() };
    Some(format!("{}{text}{only}", if wrong { "!" } else { "" }))
}
