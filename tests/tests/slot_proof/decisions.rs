//! Decisions are read back: for what no new connection shows.

use super::*;

/// The intervals that decide about a packet of a trial, or would if the other end had not denied it.
fn behind(plan: &Plan, trial: &Trial, slot: &SlotTables) -> BTreeSet<Place> {
    let mut found = BTreeSet::new();
    for Case { packet, .. } in &trial.cases {
        let ends = [(packet.source, packet.destination, 1), (packet.destination, packet.source, 0)];
        for (this, other, direction) in ends {
            let (subject, peer) = (plan.address(this).0.0, plan.address(other).1.0);
            let key = |peer| PolicyKey { slot: SLOT.number(), subject, peer, direction };
            let Some(key) = [key(peer), key(0)].into_iter().find(|key| slot.policies.contains_key(key))
            else {
                continue;
            };
            let entry = slot.policies[&key];
            let list: Vec<Place> = match entry.run() {
                Some(Run { first, count }) => (first..first + count).map(Place::Indexed).collect(),
                None => (0..entry.intervals().count()).map(|at| Place::Inline(key, at)).collect(),
            };
            let before = |place: &Place| interval(slot, *place).start <= packet.key.number();
            found.extend(list.into_iter().rev().find(|place| is_local(plan, this) && before(place)));
        }
    }
    found
}

fn is_local(plan: &Plan, address: IpAddr) -> bool {
    plan.workloads.iter().any(|workload| workload.addresses.contains(&address))
}

#[test]
fn a_wrong_bit_that_no_new_connection_shows_is_found() {
    let (mut drains, mut logs, mut all, mut met) = (0, 0, 0, 0);
    each(60, |u| {
        scenes(u, |_, plan, trial, slot, u| {
            let behind: Vec<Place> = behind(plan, trial, slot).into_iter().collect();
            (all, met) = (all + places(slot).len(), met + behind.len());
            for _ in 0..behind.len().min(6) {
                let place = *u.choose(&behind)?;
                let bit = *u.choose(&[DECISION_DRAIN, DECISION_LOG])?;
                let mut wrong = slot.clone();
                let right = interval(slot, place);
                let denies = right.decision & DECISION_ALLOW == 0;
                rewrite(&mut wrong, place, Interval { decision: right.decision ^ bit, ..right });
                assert!(misreads(trial, &wrong), "{bit} of {right:?}\n{plan}");
                let tables = tables(trial, &wrong);
                let shows = |case: &Case| trial.check(case, &found(&tables, case)).is_err();
                let shows = trial.cases.iter().any(shows);
                assert!(bit == DECISION_LOG || !shows, "why read it back, if a packet shows it?");
                drains += u32::from(bit == DECISION_DRAIN && denies);
                logs += u32::from(bit == DECISION_LOG);
            }
            Ok(())
        })
    });
    println!("{drains} denials that drain or don't, {logs} logs; packets meet {met} of {all} intervals");
    assert!(drains > 60 && logs > 100 && met * 3 > all * 2, "{drains} {logs} {met} of {all}");
}
