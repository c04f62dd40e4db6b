//! The targets: what must hold of the figures of the runs.

use selvedge_tests::process::Usage;

use crate::results::{Case, Figure, Run};

/// One target, and what came of it. Not measured is not met.
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) value: Option<f64>,
    pub(crate) limit: f64,
}

impl Target {
    pub(crate) fn is_met(&self) -> bool {
        self.value.is_some_and(|value| value <= self.limit)
    }
}

/// Those of a size, and everything that a run of it has to say of them.
struct Judge<'r> {
    nodes: usize,
    run: Option<&'r Run>,
    targets: Vec<Target>,
}

impl Judge<'_> {
    fn case(&mut self, name: &str, of: impl Fn(&Case) -> Option<f64>, unit: &str, limit: f64) {
        let value = self.run.and_then(|run| run.case(name)).and_then(of);
        self.targets.push(Target { name: format!("{} nodes: {name}, {unit}", self.nodes), value, limit });
    }

    fn figure(&mut self, figure: Figure, name: &str, limit: f64) {
        let value = self.run.and_then(|run| run.figures.get(&figure)).copied();
        self.targets.push(Target { name: format!("{} nodes: {name}", self.nodes), value, limit });
    }
}

fn p99(case: &Case) -> Option<f64> {
    Some(case.in_force.p99)
}

fn over_floor(case: &Case) -> Option<f64> {
    Some(case.in_force.p99 / case.floor_ms?)
}

/// Every target. Times are until the last node has the change in force.
pub(crate) fn judge(runs: &[Run], agent: Option<Usage>) -> Vec<Target> {
    let of = |nodes: usize| {
        let run = runs.iter().find(|run| run.size.nodes == nodes);
        Judge { nodes, run, targets: Vec::new() }
    };
    let (mut small, mut large) = (of(1_000), of(10_000));
    small.case("policy on all nodes", over_floor, "p99 / floor", 3.0);
    small.case("policy on all nodes", p99, "p99 ms", 600.0);
    small.case("policy on ten nodes", p99, "p99 ms", 40.0);
    small.case("workload added", p99, "p99 ms", 40.0);
    small.case("all agents restarted", |case| Some(case.acknowledged.max), "max ms", 10_000.0);
    small.case("churn", p99, "p99 ms", 500.0);
    small.figure(Figure::ChurnBehindMs, "churn of 1,000/s, ms behind at its end", 500.0);
    large.case("policy on all nodes", over_floor, "p99 / floor", 2.5);
    large.case("workload added", p99, "p99 ms", 100.0);
    for (judge, compile, memory) in [(&mut small, 5.0, 1.0), (&mut large, 60.0, 6.0)] {
        judge.figure(Figure::CompileSeconds, "compile from nothing, s", compile);
        judge.figure(Figure::PolicyMs, "one policy compiled, p99 ms", 300.0);
        judge.figure(Figure::WorkloadMs, "one workload compiled, p99 ms", 10.0);
        judge.figure(Figure::ControllerGib, "controller, largest resident GiB", memory);
    }
    let mut all = small.targets;
    all.append(&mut large.targets);
    let mebibytes = agent.map(|usage| usage.resident as f64 / f64::from(1 << 20));
    let name = "a real agent with 100,000 addresses, resident MiB".to_owned();
    all.push(Target { name, value: mebibytes, limit: 50.0 });
    all
}
