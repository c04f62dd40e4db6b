//! What a probe found, against what policy says.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::time::Duration;

use selvedge_topology::oracle::{FlowOutcome, Judgement};
use serde_json::{Value, json};

use super::ask::Reply;
use super::{Arrival, Flow, Probed, Proof, Seen};
use crate::registry::Place;

/// A flow and what became of it.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The flow.
    pub flow: Flow,
    /// What its last attempt came to.
    pub seen: Seen,
    /// How often it was tried.
    pub attempts: u32,
    /// How its packets would have been noted where they arrive, one for each attempt.
    traces: Vec<Arrival>,
}

impl Finding {
    pub(super) fn new(flow: Flow) -> Self {
        Self { flow, seen: Seen::Silence, attempts: 0, traces: Vec::new() }
    }

    pub(super) fn note(&mut self, reply: Reply) {
        self.attempts += 1;
        self.seen = reply.seen;
        self.traces.extend(reply.trace);
    }

    pub(super) fn complete(&mut self, arrived: &HashSet<Arrival>) {
        if self.seen == Seen::Silence && self.traces.iter().any(|trace| arrived.contains(trace)) {
            self.seen = Seen::Arrived;
        }
    }

    /// Whether what happened is what policy says.
    pub fn agrees(&self) -> bool {
        match (&self.seen, self.flow.should_pass(), self.flow.proof) {
            (Seen::Answered, passes, _) => passes,
            (Seen::Arrived, passes, Proof::Arrival) => passes,
            (Seen::Silence, passes, _) => !passes,
            (Seen::Arrived | Seen::Refused | Seen::WrongAnswer(_) | Seen::NoWay(_), _, _) => false,
        }
    }

    /// Whether packets got through.
    pub fn is_open(&self) -> bool {
        match self.seen {
            Seen::Answered | Seen::Arrived | Seen::Refused | Seen::WrongAnswer(_) => true,
            Seen::Silence | Seen::NoWay(_) => false,
        }
    }

    /// The judgements that should have decided: those that deny, or all that allow.
    fn deciding(&self) -> impl Iterator<Item = (&'static str, &Judgement)> {
        let verdict = &self.flow.verdict;
        let judged = [("egress", &verdict.egress), ("ingress", &verdict.ingress)];
        let allowed = verdict.outcome != FlowOutcome::Denied;
        let judged = judged.into_iter().filter_map(|(side, judgement)| Some((side, judgement.as_ref()?)));
        judged.filter(move |(_, judgement)| judgement.outcome.is_allowed() == allowed)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => write!(f, "it was answered"),
            Self::Arrived => write!(f, "it arrived, no answer came back"),
            Self::Silence => write!(f, "nothing arrived"),
            Self::Refused => write!(f, "it arrived and was refused"),
            Self::WrongAnswer(who) => write!(f, "another place answered: {who}"),
            Self::NoWay(kind) => write!(f, "it has no way there: {kind}"),
        }
    }
}

impl Seen {
    /// A stable word for programs.
    fn word(&self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Arrived => "arrived",
            Self::Silence => "silence",
            Self::Refused => "refused",
            Self::WrongAnswer(_) => "wrong-answer",
            Self::NoWay(_) => "no-way",
        }
    }
}

/// All that a probe found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where from and where to.
    pub places: Vec<Place>,
    /// Protocols and ports.
    pub probed: BTreeSet<Probed>,
    /// Every flow.
    pub findings: Vec<Finding>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// How many flows went as policy says.
    pub fn agreeing(&self) -> usize {
        self.findings.iter().filter(|finding| finding.agrees()).count()
    }

    /// Whether all did.
    pub fn agrees(&self) -> bool {
        self.agreeing() == self.findings.len()
    }

    /// The flows that did not, in words: what happened and the rule that should have decided.
    pub fn disagreements(&self) -> impl Iterator<Item = String> {
        self.findings.iter().filter(|finding| !finding.agrees()).map(|finding| self.describe(finding))
    }

    fn describe(&self, finding: &Finding) -> String {
        let Flow { source, destination, from, to, probed, verdict, .. } = &finding.flow;
        let (source, destination) = (&self.places[*source].target, &self.places[*destination].target);
        let should = match verdict.outcome {
            FlowOutcome::Allowed => "should be allowed",
            FlowOutcome::Denied => "should be denied",
            FlowOutcome::Unenforced => "should pass, nobody enforces for either end",
        };
        let rules: Vec<String> = finding.deciding().map(|(side, judgement)| by(side, judgement)).collect();
        let by = if rules.is_empty() { String::new() } else { format!(" by {}", rules.join(" and ")) };
        let times =
            if finding.attempts > 1 { format!(", tried {} times", finding.attempts) } else { String::new() };
        format!("{source} ({from}) -> {destination} ({to}) {probed}: {should}{by}; {}{times}", finding.seen)
    }

    /// How many flows there were of which kind.
    pub fn summary(&self) -> String {
        let count =
            |outcome| self.findings.iter().filter(|finding| finding.flow.verdict.outcome == outcome).count();
        let again = self.findings.iter().filter(|finding| finding.attempts > 1).count();
        format!(
            "{} flows in {:.1} s: {} to be allowed, {} to be denied, {} that nobody enforces for; {again} asked more than once",
            self.findings.len(),
            self.took.as_secs_f32(),
            count(FlowOutcome::Allowed),
            count(FlowOutcome::Denied),
            count(FlowOutcome::Unenforced),
        )
    }

    /// Everything, for programs.
    pub fn to_json(&self) -> Value {
        let flows: Vec<Value> = self.findings.iter().map(|finding| self.finding_json(finding)).collect();
        json!({
            "flows": flows,
            "asPolicySays": self.agreeing(),
            "total": self.findings.len(),
            "seconds": self.took.as_secs_f64(),
        })
    }

    fn finding_json(&self, finding: &Finding) -> Value {
        let flow = &finding.flow;
        let expected = match flow.verdict.outcome {
            FlowOutcome::Allowed => "allowed",
            FlowOutcome::Denied => "denied",
            FlowOutcome::Unenforced => "unenforced",
        };
        let rule = |judgement: &Judgement| {
            let place = judgement.place.as_ref().map(ToString::to_string);
            json!({ "allowed": judgement.outcome.is_allowed(), "rule": judgement.rule.to_string(), "name": judgement.display, "place": place })
        };
        json!({
            "source": self.places[flow.source].target.to_string(),
            "destination": self.places[flow.destination].target.to_string(),
            "from": flow.from,
            "to": flow.to,
            "port": flow.probed.to_string(),
            "expected": expected,
            "seen": finding.seen.word(),
            "attempts": finding.attempts,
            "asPolicySays": finding.agrees(),
            "egress": flow.verdict.egress.as_ref().map(rule),
            "ingress": flow.verdict.ingress.as_ref().map(rule),
        })
    }
}

/// `ingress rule db/ingress/sql [0a1b2c3d] (demo/db.yaml:11:7)`.
fn by(side: &str, judgement: &Judgement) -> String {
    let place = judgement.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
    format!("{side} rule {} [{}]{place}", judgement.display, judgement.rule)
}

#[cfg(test)]
mod tests {
    use selvedge_topology::oracle::FlowVerdict;

    use super::*;

    fn finding(outcome: FlowOutcome, proof: Proof, seen: Seen) -> Finding {
        let verdict = FlowVerdict { outcome, egress: None, ingress: None };
        let (from, to) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let flow = Flow { source: 0, destination: 1, from, to, probed: Probed::Tcp(80), verdict, proof };
        Finding { seen, ..Finding::new(flow) }
    }

    #[test]
    fn only_an_answer_shows_that_a_flow_is_open_and_only_silence_that_it_is_closed() {
        use FlowOutcome::{Allowed, Denied, Unenforced};
        let wrong = Seen::WrongAnswer("web2".to_owned());
        let no_way = Seen::NoWay(std::io::ErrorKind::HostUnreachable);
        // What is seen; whether that is right where the flow is to pass; and where it is denied.
        let table = [
            (Seen::Answered, true, false),
            (Seen::Silence, false, true),
            (Seen::Arrived, false, false),
            (Seen::Refused, false, false),
            (wrong, false, false),
            (no_way, false, false),
        ];
        for (seen, passes, denied) in table {
            for (outcome, agrees) in [(Allowed, passes), (Unenforced, passes), (Denied, denied)] {
                assert_eq!(
                    finding(outcome, Proof::Answer, seen.clone()).agrees(),
                    agrees,
                    "{outcome:?} {seen:?}"
                );
            }
        }
    }

    #[test]
    fn where_no_answer_is_due_arrival_is_what_counts() {
        assert!(finding(FlowOutcome::Allowed, Proof::Arrival, Seen::Arrived).agrees());
        assert!(!finding(FlowOutcome::Denied, Proof::Arrival, Seen::Arrived).agrees());
        assert!(!finding(FlowOutcome::Allowed, Proof::Arrival, Seen::Silence).agrees());
    }

    #[test]
    fn a_packet_that_arrives_after_its_sender_gave_up_is_still_counted() {
        let mut late = finding(FlowOutcome::Denied, Proof::Answer, Seen::Silence);
        let trace = Arrival {
            key: Probed::Tcp(80).key(late.flow.from),
            from: late.flow.from,
            to: late.flow.to,
            from_port: 40_000,
        };
        late.note(Reply { number: 0, seen: Seen::Silence, trace: Some(trace) });
        late.complete(&HashSet::new());
        assert!(late.agrees());
        late.complete(&HashSet::from([trace]));
        assert_eq!(late.seen, Seen::Arrived);
        assert!(!late.agrees());
    }
}
