//! Explanations for people.

use selvedge_topology::explain::{Answer, CameTo, Decision, Interval, Matching, Pair, Step, Trace};
use selvedge_topology::l4::L4Range;
use selvedge_topology::oracle::FlowOutcome;
use selvedge_topology::placement::{Entry, Guard};

use super::super::placement::{hook, word};
use super::super::table::{list, or_dash, table};
use super::{Explanation, Way};

/// For each way: what becomes of which ports by which rules, and the points.
pub(super) fn lists(explanation: &Explanation) -> String {
    let ways: Vec<String> = explanation.ways.iter().map(|way| one_way(way, explanation.of)).collect();
    ways.join("\n")
}

fn one_way(way: &Way, of: &str) -> String {
    let mut out = format!("{} -> {}", way.from, way.to);
    if way.answers.is_empty() {
        return out + ": there is no such connection\n";
    }
    for answer in &way.answers {
        out += &format!("\n  {}\n", pairs(&answer.pairs));
        out += &indented(&ports(answer));
        out += &indented(&rules(answer));
    }
    out + &indented(&points(way, of))
}

fn pairs(pairs: &[Pair]) -> String {
    let pairs = pairs.iter().map(|pair| format!("{} -> {}", pair.source, pair.destination));
    pairs.collect::<Vec<_>>().join(", ")
}

fn indented(text: &str) -> String {
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") };
    text.lines().map(line).collect()
}

/// One line for each verdict and the rules that give it.
fn ports(answer: &Answer) -> String {
    let groups = grouped(&answer.intervals);
    let everything =
        answer.intervals.iter().map(|interval| size(interval.range)).sum::<u64>() == size(L4Range::ALL);
    // What most keys come to is told as the rest.
    let rest =
        groups.iter().enumerate().max_by_key(|(_, group)| group.iter().map(|it| size(it.range)).sum::<u64>());
    let rest = rest.map(|(index, _)| index).filter(|_| everything);
    let row = |group: &Vec<&Interval>, ports: String| {
        let rule = |trace: &Option<Trace>| {
            or_dash(trace.as_ref().map(|it| it.decision.rule.clone()).unwrap_or_default())
        };
        let first = group[0];
        [ports, verdict(first).to_owned(), rule(&first.egress), rule(&first.ingress)]
    };
    let named = groups.iter().enumerate().filter(|(index, _)| Some(*index) != rest);
    let named = named.map(|(_, group)| row(group, ranges(group)));
    let word = if groups.len() == 1 { "everything" } else { "everything else" };
    let rest = rest.map(|index| row(&groups[index], word.to_owned()));
    table(&["PORTS", "VERDICT", "EGRESS", "INGRESS"], named.chain(rest))
}

fn size(range: L4Range) -> u64 {
    u64::from(range.last.number() - range.first.number()) + 1
}

/// Intervals by verdict and the rules that give it, in order of their first keys.
fn grouped(intervals: &[Interval]) -> Vec<Vec<&Interval>> {
    let reason = |interval: &Interval| {
        let rule = |trace: &Option<Trace>| trace.as_ref().map(|trace| trace.decision.clone());
        (interval.verdict, rule(&interval.egress), rule(&interval.ingress))
    };
    let mut groups: Vec<Vec<&Interval>> = Vec::new();
    for interval in intervals {
        match groups.iter_mut().find(|group| reason(group[0]) == reason(interval)) {
            Some(group) => group.push(interval),
            None => groups.push(vec![interval]),
        }
    }
    groups
}

/// The keys of some intervals, those that follow each other as one.
fn ranges(group: &[&Interval]) -> String {
    let mut ranges: Vec<L4Range> = Vec::new();
    for interval in group {
        match ranges.last_mut() {
            Some(last) if last.last.number() + 1 == interval.range.first.number() => {
                last.last = interval.range.last;
            }
            _ => ranges.push(interval.range),
        }
    }
    ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn verdict(interval: &Interval) -> &'static str {
    match interval.verdict {
        FlowOutcome::Allowed => "allowed",
        FlowOutcome::Denied => "denied",
        FlowOutcome::Unenforced => "unenforced",
    }
}

/// What each of the rules says, and where.
fn rules(answer: &Answer) -> String {
    let traces = answer.intervals.iter().flat_map(Interval::traces);
    let mut decisions: Vec<&Decision> = traces.map(|trace| &trace.decision).collect();
    decisions.sort_by_key(|decision| &decision.rule);
    decisions.dedup();
    if decisions.is_empty() {
        return String::new();
    }
    let row = |decision: &&Decision| [decision.rule.clone(), decision.outcome.to_string(), place(decision)];
    format!("\n{}", table(&["RULE", "SAYS", "AT"], decisions.iter().map(row)))
}

fn place(decision: &Decision) -> String {
    or_dash(decision.place.as_ref().map(|place| format!("{}:{}", place.file, place.line)).unwrap_or_default())
}

/// The enforcement points on the way, granted or asked for.
fn points(way: &Way, of: &str) -> String {
    if way.enforcement.is_empty() {
        return "\nNobody enforces for either end.\n".to_owned();
    }
    let applied = of == "applied";
    let row = |entry: &Entry| {
        let of_entry = [entry.workload.to_string(), word(entry.direction).to_owned()];
        let state = if applied || entry.points.is_empty() { entry.standing.name() } else { "asked for" };
        let points = entry.points.iter().map(|point| {
            let mode = if applied { hook(point) } else { "-".to_owned() };
            let why =
                if applied && point.guard != Guard::Judged { point.reason.clone() } else { String::new() };
            [format!("{}:{}", point.node, point.port), point.carries.to_string(), mode, or_dash(why)]
        });
        let mut points: Vec<[String; 4]> = points.collect();
        if points.is_empty() {
            let why = or_dash(entry.standing.reason().unwrap_or_default());
            points.push(["-".to_owned(), "-".to_owned(), "-".to_owned(), why]);
        }
        let state = state.to_owned();
        points
            .into_iter()
            .map(move |point| [&of_entry[..], std::slice::from_ref(&state), &point].concat())
            .collect::<Vec<_>>()
    };
    let head = ["WORKLOAD", "DIRECTION", "STATE", "POINT", "CARRIES", "MODE", "WHY"];
    let note = if applied { "" } else { "Points are what the documents ask for; no node was asked.\n" };
    format!("\n{}{note}", table(&head, way.enforcement.iter().flat_map(row)))
}

/// For each way and interval: the tiers that each end's policy walks.
pub(super) fn details(explanation: &Explanation) -> String {
    let mut out = String::new();
    for way in &explanation.ways {
        for answer in &way.answers {
            for interval in &answer.intervals {
                out += &format!("\n{} -> {}  {}: {}\n", way.from, way.to, interval.range, verdict(interval));
                for trace in interval.traces() {
                    out += &indented(&tiers(trace));
                }
            }
        }
    }
    out
}

fn tiers(Trace { workload, direction, decision, next, tiers }: &Trace) -> String {
    let at =
        decision.place.as_ref().map(|place| format!(" ({}:{})", place.file, place.line)).unwrap_or_default();
    let mut out = format!("{direction} of {workload}: {} by {}{at}\n", decision.outcome, decision.rule);
    if let Some(next) = next {
        out += &format!("without that rule: {} by {}\n", next.outcome, next.rule);
    }
    let row = |step: &Step| {
        let rule = |rule: &Matching| format!("{} {}", rule.action, rule.rule);
        [
            step.tier.to_string(),
            list(&step.policies),
            list(step.rules.iter().map(rule)),
            came_to(step, decision),
        ]
    };
    out += &indented(&table(&["TIER", "POLICIES", "RULES THAT MATCH", "COMES TO"], tiers.iter().map(row)));
    out
}

fn came_to(step: &Step, decision: &Decision) -> String {
    match step.came_to {
        CameTo::Rule => decision.outcome.to_string(),
        CameTo::Default => format!("{}: it isolates, and nothing matches", decision.outcome),
        CameTo::Pass => "passed to the next tier".to_owned(),
        CameTo::Nothing => "next tier".to_owned(),
    }
}
