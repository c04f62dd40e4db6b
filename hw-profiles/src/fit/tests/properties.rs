//! What holds of every port and every demand.

use std::cell::RefCell;

use arbitrary::{Result as Arbitrary, Unstructured};

use super::*;

/// As many cases as there are numbers, each of bytes that a number stands for: the same in every run.
fn cases(check: impl Fn(&mut Unstructured<'_>) -> Arbitrary<()>) {
    for case in 1..=2000_u64 {
        let mut state = case;
        let bytes = std::iter::repeat_with(|| {
            // splitmix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb).to_le_bytes()
        });
        let bytes: Vec<u8> = bytes.take(32).flatten().collect();
        check(&mut Unstructured::new(&bytes)).unwrap();
    }
}

/// The names and numbers of all devices that profiles know.
struct Known {
    drivers: Vec<String>,
    ids: Vec<PciId>,
}

fn known(profiles: &Profiles) -> Known {
    let drivers = profiles.iter().flat_map(|entry| entry.profile.matching.drivers.clone()).collect();
    let ids = profiles.iter().flat_map(|entry| entry.profile.matching.pci.clone()).collect();
    Known { drivers, ids }
}

/// What can be seen of a port, at random, of a device that some profile knows or none.
fn random_port(u: &mut Unstructured<'_>, Known { drivers, ids }: &Known) -> Arbitrary<Port> {
    // Few devices run programs themselves; they come up often enough here.
    let driver = match u.int_in_range(0..=9)? {
        0 => "fancynic",
        1..=3 => u.choose(&["nfp", "netdevsim"])?,
        _ => u.choose(drivers)?.as_str(),
    };
    let mtu = Bytes(*u.choose(&[68, 1500, 1501, 3046, 3498, 3506, 3507, 9000, 65535])?);
    let mut port = Port::new(driver, mtu);
    let switch = |u: &mut Unstructured<'_>| u.choose(&[None, Some(Switch::On), Some(Switch::Off)]).copied();
    port.pci = u.arbitrary::<bool>()?.then(|| u.choose(ids).copied()).transpose()?;
    port.firmware = u.choose(&[None, Some("x ebpf"), Some("x nic")])?.map(ToOwned::to_owned);
    port.phys_port_name =
        u.choose(&[None, Some("p0"), Some("c1pf0"), Some("pf0vf1")])?.map(ToOwned::to_owned);
    port.upper = u.choose(&[None, Some("bridge")])?.map(ToOwned::to_owned);
    let modes = [None, Some(EswitchMode::Legacy), Some(EswitchMode::Switchdev)];
    port.devlink = u.choose(&modes)?.map(devlink);
    port.peer_mtu = u.choose(&[None, Some(Bytes(1500)), Some(Bytes(9000))]).copied()?;
    let bits: Option<u8> = u.arbitrary()?;
    port.xdp_features = bits.map(|bits| Feature::of_bits(bits.into()));
    (port.lro, port.hw_gro, port.vlan_stripping) = (switch(u)?, switch(u)?, switch(u)?);
    port.tc_offload = switch(u)?;
    if u.arbitrary()? {
        let [rx, tx, combined, max] = u.arbitrary::<[u8; 4]>()?.map(u32::from);
        port.channels = Some(Channels { rx, tx, combined, max_rx: max, max_tx: max, max_combined: max });
    }
    port.tx_queues = u.arbitrary::<Option<u8>>()?.map(|queues| Queues(queues.into()));
    port.vfs = u.choose(&[None, Some(0), Some(u32::MAX)]).copied()?;
    port.cpus = u.choose(&[None, Some(1), Some(u32::MAX)]).copied()?;
    Ok(port)
}

fn random_requirement(u: &mut Unstructured<'_>) -> Arbitrary<Requirement> {
    let frames = *u.choose(&[Frames::Linear, Frames::Fragments])?;
    let map = MapNeed {
        kind: *u.choose(&[MapType::Array, MapType::Hash])?,
        key: *u.choose(&[4, 8, 16, 64, 65, u32::MAX])?,
        value: *u.choose(&[0, 4, 8, 64, 65, u32::MAX])?,
        entries: *u.choose(&[0, 1, 2, 3, u32::MAX])?,
    };
    let maps = *u.choose(&[0usize, 1, 3])?;
    let device =
        u.arbitrary::<bool>()?.then(|| DeviceNeeds { maps: vec![map; maps], instructions: u32::MAX });
    Ok(Requirement { frames, device, demand: random_demand(u)? })
}

fn random_demand(u: &mut Unstructured<'_>) -> Arbitrary<Demand> {
    let any = [None, Some(Mode::Generic), Some(Mode::Native), Some(Mode::Offload)];
    let (require, at_most) = (*u.choose(&any)?, *u.choose(&any)?);
    let forbid = Mode::BEST_FIRST.into_iter().filter(|_| u.ratio(1, 5).unwrap_or(false)).collect();
    Ok(Demand { require, at_most, forbid })
}

#[test]
fn a_fit_is_total_and_no_mode_is_passed_over_in_silence() {
    let profiles = Profiles::embedded().unwrap();
    let (known, seen) = (known(&profiles), RefCell::new(BTreeMap::<(Mode, bool), usize>::new()));
    cases(|u| {
        let (port, asked) = (random_port(u, &known)?, random_requirement(u)?);
        let profile = profiles.of(&port).map(|found| &found.entry.profile);
        let fit = fit(&asked, profile, "eth0", &port);
        let better: Vec<Mode> = Mode::BEST_FIRST.into_iter().filter(|mode| *mode > fit.mode).collect();
        assert_eq!(fit.passed_over.iter().map(|it| it.mode).collect::<Vec<_>>(), better);
        for PassedOver { reasons, .. } in &fit.passed_over {
            assert!(!reasons.is_empty() && reasons.iter().all(|reason| !reason.to_string().is_empty()));
        }
        assert!(!fit.to_string().is_empty());
        assert!(fit.fallbacks.iter().all(|mode| *mode < fit.mode && !asked.demand.forbid.contains(mode)));
        if fit.demand == DemandCheck::Met {
            assert!(asked.demand.require.is_none_or(|required| fit.mode >= required));
            assert!(asked.demand.at_most.is_none_or(|limit| fit.mode <= limit));
            assert!(!asked.demand.forbid.contains(&fit.mode));
            let least = asked.demand.require.unwrap_or(Mode::Generic);
            assert!(fit.fallbacks.iter().all(|mode| *mode >= least));
        }
        *seen.borrow_mut().entry((fit.mode, fit.demand == DemandCheck::Met)).or_default() += 1;
        Ok(())
    });
    let seen = seen.into_inner();
    for mode in Mode::BEST_FIRST {
        assert!(seen.get(&(mode, true)).is_some_and(|count| *count > 20), "{seen:?}");
    }
}

#[test]
fn asking_for_more_never_gives_less() {
    let profiles = Profiles::embedded().unwrap();
    let known = known(&profiles);
    cases(|u| {
        let (port, asked) = (random_port(u, &known)?, random_requirement(u)?);
        let profile = profiles.of(&port).map(|found| &found.entry.profile);
        let of = |demand: &Demand| {
            fit(&Requirement { demand: demand.clone(), ..asked.clone() }, profile, "eth0", &port)
        };
        let plain = Demand { require: None, ..asked.demand.clone() };
        for required in Mode::BEST_FIRST {
            let demanding = of(&Demand { require: Some(required), ..plain.clone() });
            assert_eq!(demanding.mode, of(&plain).mode, "a demand refuses or changes nothing");
        }
        let free = of(&Demand::default());
        assert!(of(&plain).mode <= free.mode, "limits never give more");
        let lifted = Requirement { frames: Frames::Fragments, demand: plain.clone(), ..asked.clone() };
        assert!(
            fit(&lifted, profile, "eth0", &port).mode >= of(&plain).mode,
            "taking fragments never gives less"
        );
        Ok(())
    });
}

#[test]
fn no_generic_port_of_an_asic_is_taken_for_a_whole_one() {
    let profiles = Profiles::embedded().unwrap();
    let switches = profiles.iter().filter(|entry| entry.profile.kind == profile::DeviceKind::Switch);
    let mut always = 0;
    for entry in switches {
        let port = Port::new(entry.profile.matching.drivers[0].clone(), Bytes(1500));
        let fit = fit(&Requirement::best(), Some(&entry.profile), "swp1", &port);
        assert!(fit.bypasses.iter().any(|it| it.state > BypassState::Shut), "{}", entry.profile.name);
        always += usize::from(fit.bypasses.iter().any(|it| it.state == BypassState::Always));
    }
    assert!(always >= 5);
}
