//! A plan as text: for people, and for golden files that are reviewed like code.

use std::collections::BTreeMap;
use std::fmt;

use super::{Decision, Plan, PlanRow, SetId};
use crate::identity::{Class, Identity};
use crate::model::RuleId;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Names::new(self);
        writeln!(f, "plan for {} ({})", self.node, self.role)?;
        writeln!(f, "timeouts: {}", self.timeouts)?;
        writeln!(f, "ports:")?;
        for port in &self.ports {
            match self.demands.ports.get(&port.name) {
                Some(demand) => writeln!(f, "  {:<12} {}, {demand}", port.name, port.role)?,
                None => writeln!(f, "  {:<12} {}", port.name, port.role)?,
            }
        }
        for (profile, demand) in &self.demands.profiles {
            writeln!(f, "  every {profile}: {demand}")?;
        }
        writeln!(f, "workloads:")?;
        for workload in &self.workloads {
            let addresses: Vec<String> = workload.addresses.iter().map(ToString::to_string).collect();
            let (name, port, identity) = (&workload.name, &workload.port, workload.identity);
            writeln!(f, "  {name:<12} ID:{identity} at {port}: {}", addresses.join(", "))?;
        }
        writeln!(f, "identities:")?;
        for entry in &self.identities {
            writeln!(f, "  ID:{:<9} {}", entry.identity, entry.labels)?;
        }
        writeln!(f, "addresses:")?;
        for entry in &self.addresses {
            let class = names.class(entry.class);
            let refined =
                if entry.class == entry.identity.into() { String::new() } else { format!(" ({class})") };
            writeln!(f, "  {:<24} ID:{}{refined}", entry.prefix.to_string(), entry.identity)?;
        }
        writeln!(f, "policy:")?;
        for row in &self.rows {
            names.row(f, row)?;
        }
        writeln!(f, "decision lists:")?;
        for set in &self.sets {
            writeln!(f, "  {}:", names.set(set.id))?;
            for interval in &set.intervals {
                writeln!(f, "    from {:<12} {}", interval.first, names.decision(interval.decision))?;
            }
        }
        Ok(())
    }
}

/// What numbers are called on the page: sets by their order, rules and identities by their names.
struct Names<'p> {
    sets: BTreeMap<SetId, usize>,
    rules: BTreeMap<RuleId, &'p str>,
    labels: BTreeMap<Identity, String>,
}

impl<'p> Names<'p> {
    fn new(plan: &'p Plan) -> Self {
        Self {
            sets: plan.sets.iter().enumerate().map(|(index, set)| (set.id, index + 1)).collect(),
            rules: plan.rules.iter().map(|rule| (rule.id, rule.display.as_str())).collect(),
            labels: plan.identities.iter().map(|entry| (entry.identity, entry.labels.to_string())).collect(),
        }
    }

    fn set(&self, id: SetId) -> String {
        self.sets
            .get(&id)
            .map_or_else(|| format!("missing list {:016x}", id.0), |index| format!("list {index}"))
    }

    fn class(&self, class: Class) -> String {
        if class.0 >= Identity::END.0 { format!("class {:08x}", class.0) } else { format!("ID:{}", class.0) }
    }

    fn identity(&self, identity: Identity) -> String {
        let name =
            identity.reserved_name().map(str::to_owned).or_else(|| self.labels.get(&identity).cloned());
        name.map_or_else(|| format!("ID:{identity}"), |name| format!("ID:{identity} ({name})"))
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, row: &PlanRow) -> fmt::Result {
        writeln!(f, "  {} of {}:", row.direction, self.identity(row.subject))?;
        for (class, set) in &row.peers {
            let peer = if class.0 >= Identity::END.0 {
                self.class(*class)
            } else {
                self.identity(Identity(class.0))
            };
            writeln!(f, "    {}: {peer}", self.set(*set))?;
        }
        writeln!(f, "    {}: everyone else", self.set(row.default))
    }

    fn decision(&self, decision: Decision) -> String {
        let rule = self.rules.get(&decision.rule).copied().unwrap_or("missing rule");
        let logged = if decision.logged { ", logged" } else { "" };
        format!("{}{logged} by {rule}", decision.outcome)
    }
}
