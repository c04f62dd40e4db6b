//! The next plan, against all of its parts put together anew.

use std::net::Ipv4Addr;

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;

use super::*;
use crate::demands::Demands;
use crate::identity::Class;
use crate::model::{Direction, NodeRole};
use crate::plan::SetId;
use crate::timeouts::Timeouts;

/// Rounds of a property.
const ROUNDS: usize = 30;

fn own() -> Plan {
    Plan {
        node: "n".parse().unwrap(),
        role: NodeRole::Host,
        timeouts: Timeouts::default(),
        ports: Vec::new(),
        demands: Demands::default(),
        workloads: Vec::new(),
        addresses: Runs::default(),
        rows: Runs::default(),
        sets: Runs::default(),
        rules: Runs::default(),
        identities: Runs::default(),
    }
}

/// Of one of sixty addresses: a workload, one of two CIDRs, or somebody unknown, rarely of another class than most.
fn address(u: &mut Unstructured<'_>) -> Result<PlanAddress> {
    let number = u.int_in_range(0..=59_u32)?;
    let cidr = Identity::FIRST_CIDR.0;
    let identity = *u.choose(&[256 + number, 256 + number, cidr, cidr + 1, 0])?;
    let class = if u.ratio(1, 8)? { 7 } else { identity };
    let prefix = std::net::IpAddr::from(Ipv4Addr::from(0x0a00_0000 + number)).into();
    Ok(PlanAddress { prefix, identity: Identity(identity), class: Class(class) })
}

/// One of sixty rows, which is rarely another one.
fn row(u: &mut Unstructured<'_>) -> Result<PlanRow> {
    let subject = Identity(u.int_in_range(0..=29)?);
    let direction = *u.choose(&Direction::BOTH)?;
    let default = if u.ratio(1, 8)? { SetId(u.int_in_range(0..=2)?) } else { SetId(9) };
    Ok(PlanRow { subject, direction, default, peers: Vec::new() })
}

fn some<T: Ord>(
    u: &mut Unstructured<'_>,
    most: usize,
    of: fn(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut some: Vec<T> = (0..u.int_in_range(0..=most)?).map(|_| of(u)).collect::<Result<_>>()?;
    some.sort();
    Ok(some)
}

fn block(u: &mut Unstructured<'_>) -> Result<Arc<Block>> {
    Ok(Arc::new(Block { addresses: some(u, 4, address)?, rows: some(u, 3, row)?, ..Block::default() }))
}

fn change(u: &mut Unstructured<'_>, parts: &mut BlockPlan) -> Result<()> {
    for _ in 0..u.int_in_range(0..=3)? {
        let place = u.choose_index(parts.shared.len().max(1))?;
        match u.int_in_range(0..=5)? {
            0 => parts.shared.insert(place, block(u)?),
            1 if !parts.shared.is_empty() => drop(parts.shared.remove(place)),
            2 if !parts.shared.is_empty() => parts.shared.push(Arc::clone(&parts.shared[place])),
            3 if !parts.shared.is_empty() => parts.shared[place] = block(u)?,
            4 => parts.own.addresses = some(u, 3, address)?.into(),
            _ => parts.shared.rotate_left(place),
        }
    }
    Ok(())
}

fn has_each_key_once(plan: &Plan) -> bool {
    fn once<T: Keyed>(list: &Runs<T>) -> bool {
        list.to_vec().is_sorted_by(|a, b| a.key() < b.key())
    }
    once(&plan.addresses) && once(&plan.rows)
}

#[test]
fn the_next_plan_is_what_its_parts_say_together_or_they_contradict_each_other() {
    let (mut plans, mut contradictions) = (0, 0);
    arbtest(|u| {
        let mut parts = BlockPlan { own: own(), shared: Vec::new() };
        let mut joined = Joined::new(parts.clone());
        for _ in 0..ROUNDS {
            change(u, &mut parts)?;
            let whole = parts.join();
            match joined.next(parts.clone()) {
                Ok(next) => {
                    assert_eq!(*next.plan(), whole);
                    assert!(has_each_key_once(&whole));
                    let anew = Joined::new(parts.clone());
                    assert_eq!(next.often.addresses, anew.often.addresses);
                    assert_eq!(next.often.rows, anew.often.rows);
                    plans += 1;
                    joined = next;
                }
                Err(returned) => {
                    assert_eq!(*returned, parts);
                    assert!(!has_each_key_once(&whole));
                    contradictions += 1;
                    parts = BlockPlan { own: own(), shared: Vec::new() };
                    joined = Joined::new(parts.clone());
                }
            }
        }
        Ok(())
    })
    .size_min(1 << 12)
    .budget_ms(3_000);
    assert!(plans > 500 && contradictions > 50, "{plans} plans, {contradictions} contradictions");
}
