//! Where a slot was proven and another plan goes into it: packets of what that changes find every single wrong entry among what had to
//! be written, and also what was not written.

use selvedge_agent_core::Change;

use super::*;

/// Two plans of a node, one after the other, the model of the second, its trial by what it changes, and its tables after the first's.
struct Succession<'a> {
    model: &'a Model,
    after: &'a Plan,
    trial: &'a Trial,
    before: &'a SlotTables,
    slot: &'a SlotTables,
}

/// The same fabric under other policy, or another one altogether.
fn successions(
    u: &mut Unstructured<'_>,
    mut each: impl FnMut(&Succession<'_>, &mut Unstructured<'_>) -> Result<()>,
) -> Result<()> {
    let ground = ground(u)?;
    let first = read(&(ground.text.clone() + &policies(u, &ground)?));
    let second =
        if u.ratio(2, 3)? { read(&(ground.text.clone() + &policies(u, &ground)?)) } else { model(u)?.1 };
    let mut identities = IdentityTable::default();
    identities.allocate(&first).unwrap();
    let old = compile(&first, &identities).unwrap();
    identities.allocate(&second).unwrap();
    for (node, after) in &compile(&second, &identities).unwrap() {
        let Some(plan) = old.get(node) else { continue };
        let machine = machine(after);
        let before = lower(plan, &machine, SLOT, &SlotTables::default()).unwrap();
        let slot = lower(after, &machine, SLOT, &before).unwrap();
        let touched = Touched::Only(Change::between(plan, after));
        // Of no more classes than one is everything tried.
        let trial = trial(after, &machine, Generation(5), SLOT, (&touched, 1));
        each(&Succession { model: &second, after, trial: &trial, before: &before, slot: &slot }, u)?;
    }
    Ok(())
}

fn read(text: &str) -> Model {
    let file = SourceFile { name: "random.yaml".into(), text: text.to_owned() };
    load(&[file]).model.unwrap()
}

/// One entry left as it was before, or, as often, one that had to be written made wrong.
fn spoil(u: &mut Unstructured<'_>, it: &Succession<'_>) -> Result<Option<(&'static str, SlotTables)>> {
    let (before, slot, mut wrong) = (it.before, it.slot, it.slot.clone());
    let policies: BTreeSet<PolicyKey> = differing(&before.policies, &slot.policies);
    let addresses = differing(&before.addresses, &slot.addresses);
    let prefixes = differing(&before.prefixes, &slot.prefixes);
    match u.int_in_range(0..=5)? {
        0..=2 if !policies.is_empty() => {
            let key = *u.choose(&policies.into_iter().collect::<Vec<_>>())?;
            let list = slot.policies.get(&key).filter(|entry| entry.run().is_none());
            if let Some(entry) = list.filter(|_| u.ratio(2, 3).unwrap_or(false)) {
                let mut list: Vec<Interval> = entry.intervals().collect();
                let at = u.choose_index(list.len())?;
                match u.int_in_range(0..=3)? {
                    0 => list[at].start += 1,
                    1 => list[at].start = list[at].start.saturating_sub(1),
                    2 => list[at].decision ^= DECISION_ALLOW,
                    _ => list[at].decision ^= DECISION_LOG,
                }
                wrong.policies.insert(key, PolicyEntry::inline(&list).unwrap());
                return Ok(Some(("inline interval", wrong)));
            }
            restore(&mut wrong.policies, &before.policies, key);
            Ok(Some(("policy", wrong)))
        }
        3 | 4 if !addresses.is_empty() => {
            let key = *u.choose(&addresses.into_iter().collect::<Vec<_>>())?;
            restore(&mut wrong.addresses, &before.addresses, key);
            Ok(Some(("address", wrong)))
        }
        _ if !prefixes.is_empty() => {
            let key = *u.choose(&prefixes.into_iter().collect::<Vec<_>>())?;
            restore(&mut wrong.prefixes, &before.prefixes, key);
            Ok(Some(("prefix", wrong)))
        }
        _ => Ok(None),
    }
}

fn differing<K: Ord + Copy, V: PartialEq>(before: &BTreeMap<K, V>, after: &BTreeMap<K, V>) -> BTreeSet<K> {
    before.keys().chain(after.keys()).filter(|key| before.get(key) != after.get(key)).copied().collect()
}

fn restore<K: Ord, V: Copy>(into: &mut BTreeMap<K, V>, from: &BTreeMap<K, V>, key: K) {
    match from.get(&key) {
        Some(value) => drop(into.insert(key, *value)),
        None => drop(into.remove(&key)),
    }
}

#[test]
fn a_single_wrong_entry_of_what_changes_is_found_by_packets_of_what_changes() {
    let mut tallies: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    let (mut packets, mut trials) = (0, 0);
    each(80, |u| {
        successions(u, |it, u| {
            let witnesses = witnesses(it.model, it.after, it.trial);
            let right = tables(it.trial, it.slot);
            for case in &it.trial.cases {
                let checked = it.trial.check(case, &found(&right, case));
                let written = || it.trial.check_written(case, &mut Written(it.slot));
                checked
                    .and_then(|()| written())
                    .unwrap_or_else(|mismatch| panic!("{mismatch}\n{}", it.after));
            }
            (packets, trials) = (packets + it.trial.coverage.packets, trials + 1);
            let right = see(&right, &witnesses);
            for _ in 0..6 {
                let Some((what, wrong)) = spoil(u, it)? else { continue };
                let is_found = refuses(it.trial, &wrong);
                let noticed = is_found || see(&tables(it.trial, &wrong), &witnesses) != right;
                let tally = tallies.entry(what).or_default();
                *tally = (tally.0 + u32::from(noticed), tally.1 + u32::from(is_found));
            }
            Ok(())
        })
    });
    println!("{tallies:?}, {packets} packets in {trials} trials");
    for (what, least, share) in
        [("inline interval", 25, 100), ("policy", 50, 100), ("address", 50, 95), ("prefix", 30, 95)]
    {
        let (noticed, found) = tallies.get(what).copied().unwrap_or_default();
        assert!(noticed >= least, "only {noticed} wrong entries of {what} could be noticed");
        assert!(found * 100 >= noticed * share, "{what}: {found} of {noticed}");
    }
}
