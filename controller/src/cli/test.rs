//! `selvedge test`: users' own assertions about policy.

mod junit;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use selvedge_topology::assertions::{Assertion, Checked, Counterexample, Expect, Suite, check};
use selvedge_topology::diff::Named;
use selvedge_topology::documents::{load, load_tests};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::Model;
use selvedge_topology::oracle::FlowOutcome;
use serde::Serialize;

use super::client::connect;
use super::output::Format;
use super::snapshot::snapshot_of;
use super::somebody::Somebody;
use super::table::printable;
use super::{Answer, CliError, findings, output, source};

const EXAMPLES: &str = "\
Examples:
  selvedge test -f fabric/ tests.yaml                  # documents, without a controller
  selvedge test tests.yaml                             # what is applied
  selvedge test --generation 41 tests.yaml             # what was applied before
  selvedge test -f fabric/ tests/ --junit report.xml   # for a CI

A document of assertions:
  apiVersion: selvedge/v1
  kind: PolicyTest
  metadata: {name: shop}
  spec:
    assertions:
      - name: web reaches app
        from: [{selector: {matchLabels: {role: web}}}]
        to: [{selector: {matchLabels: {role: app}}}]
        ports: [{protocol: TCP, port: 8080}]
        expect: allowed
      - name: nothing but the jump host reaches ssh
        from: [{entity: any}]
        exceptFrom: [{workload: jump}]
        to: [{selector: {}}]
        ports: [{protocol: TCP, port: 22}]
        expect: denied";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Assertions: directories, files, or `-` for standard input.
    #[arg(required = true, value_name = "TESTS")]
    tests: Vec<PathBuf>,
    /// The documents that are tested: directories or files [default: what is applied].
    #[arg(short, long = "filename", value_name = "DIR|FILE")]
    files: Vec<PathBuf>,
    /// Test a generation that the controller keeps [default: the newest].
    #[arg(long, value_name = "N", conflicts_with = "files", default_value_t = 0, hide_default_value = true)]
    generation: u64,
    /// Write a JUnit report to this file, too.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// How it is shown; `wide` with assertions that hold in full.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// What came of all assertions.
#[derive(Serialize)]
struct Report {
    passed: usize,
    failed: usize,
    assertions: Vec<Judged>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Judged {
    test: String,
    name: String,
    place: String,
    holds: bool,
    /// Pairs of ends that it is about.
    pairs: usize,
    /// Those that break it.
    broken: usize,
    /// Why it fails, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    counterexamples: Vec<Broken>,
}

#[derive(Serialize)]
struct Broken {
    from: Somebody,
    to: Somebody,
    ports: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    egress: Option<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ingress: Option<Rule>,
}

#[derive(Serialize)]
struct Rule {
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
}

pub(super) async fn run(server: &str, args: &Args) -> Result<Answer, CliError> {
    let (model, identities) = tested(server, args).await?;
    let suites = load_tests(&source::read(&args.tests)?, &model).map_err(|diagnostics| {
        findings::show(&diagnostics)
            .err()
            .unwrap_or(CliError::Invalid { consequence: "; nothing was tested" })
    })?;
    let report = judge(&model, &identities, &suites)?;
    if let Some(path) = &args.junit {
        let text = junit::text(&report)?;
        fs::write(path, text).map_err(|source| CliError::Write { path: path.clone(), source })?;
    }
    output::print(&match args.output {
        Format::Json => output::json(&report)?,
        Format::Yaml => output::yaml(&report)?,
        Format::Table | Format::Wide => text(&report),
    })?;
    Ok(if report.failed == 0 { Answer::Yes } else { Answer::No })
}

async fn tested(server: &str, args: &Args) -> Result<(Model, IdentityTable), CliError> {
    if args.files.is_empty() {
        let snapshot = snapshot_of(&mut connect(server).await?, args.generation).await?;
        return Ok((snapshot.model, snapshot.identities));
    }
    let loaded = load(&source::read(&args.files)?);
    let Some(model) = loaded.model else {
        findings::show(&loaded.diagnostics)?;
        return Err(CliError::Invalid { consequence: "; nothing was tested" });
    };
    let mut identities = IdentityTable::default();
    identities.allocate(&model)?;
    Ok((model, identities))
}

fn judge(model: &Model, identities: &IdentityTable, suites: &[Suite]) -> Result<Report, CliError> {
    let all = || suites.iter().flat_map(|suite| suite.assertions.iter().map(move |one| (&suite.name, one)));
    let assertions: Vec<&Assertion> = all().map(|(_, assertion)| assertion).collect();
    let checked = check(model, identities, &assertions).map_err(CliError::Compile)?;
    let judged: Vec<Judged> =
        all().zip(checked).map(|((test, assertion), checked)| judged(test, assertion, checked)).collect();
    let passed = judged.iter().filter(|judged| judged.holds).count();
    Ok(Report { passed, failed: judged.len() - passed, assertions: judged })
}

fn judged(test: &str, assertion: &Assertion, checked: Checked) -> Judged {
    let holds = checked.holds(assertion);
    let Checked { pairs, broken, counterexamples } = checked;
    let failure = (!holds).then(|| {
        if broken == 0 {
            return "it is about nobody; write `allowEmpty: true` if that may be".to_owned();
        }
        let expected = match assertion.expect {
            Expect::Allowed => "denied, and are to be allowed",
            Expect::Denied => "not denied, and are to be",
        };
        format!("{broken} of {pairs} pair{} {expected}", if pairs == 1 { " is" } else { "s are" })
    });
    Judged {
        test: test.to_owned(),
        name: assertion.name.clone(),
        place: assertion.place.to_string(),
        holds,
        pairs,
        broken,
        failure,
        counterexamples: counterexamples.into_iter().map(shown).collect(),
    }
}

fn shown(Counterexample { from, to, range, outcome, egress, ingress }: Counterexample) -> Broken {
    let somebody = |(address, workload)| Somebody { workload, address };
    let rule =
        |Named { display, place }: Named| Rule { rule: display, place: place.map(|place| place.to_string()) };
    Broken {
        from: somebody(from),
        to: somebody(to),
        ports: range.to_string(),
        verdict: match outcome {
            FlowOutcome::Allowed => "allowed",
            FlowOutcome::Denied => "denied",
            FlowOutcome::Unenforced => "enforced by nobody",
        },
        egress: egress.map(rule),
        ingress: ingress.map(rule),
    }
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    let style = |colour: AnsiColor| Style::new().fg_color(Some(colour.into())).bold();
    for Judged { test, name, place, pairs, failure, counterexamples, .. } in &report.assertions {
        let (word, style) = match failure {
            None => ("ok  ", style(AnsiColor::Green)),
            Some(_) => ("FAIL", style(AnsiColor::Red)),
        };
        // Writing to a string can't fail.
        let _ = write!(out, "{style}{word}{style:#} {}: {}", printable(test), printable(name));
        let Some(failure) = failure else {
            let _ = writeln!(out, " ({pairs} pair{})", if *pairs == 1 { "" } else { "s" });
            continue;
        };
        let _ = writeln!(out, " ({})\n     {failure}", printable(place));
        counterexamples.iter().for_each(|broken| write_broken(&mut out, broken));
    }
    let _ = writeln!(out, "test: {} passed, {} failed", report.passed, report.failed);
    out
}

fn write_broken(out: &mut String, Broken { from, to, ports, verdict, egress, ingress }: &Broken) {
    let _ = writeln!(out, "       {from} -> {to} {ports}: {verdict}");
    for (end, rule) in [("egress", egress), ("ingress", ingress)] {
        let Some(Rule { rule, place }) = rule else { continue };
        let place = place.as_ref().map(|place| format!(" ({})", printable(place))).unwrap_or_default();
        let _ = writeln!(out, "         {end}: {}{place}", printable(rule));
    }
}
