mod properties;

use std::collections::BTreeMap;

use super::*;
use crate::port::{Channels, Devlink, Eswitch, EswitchMode, PciId, Switch, Versions};
use crate::profile::{MapType, Tell};
use crate::units::{Bytes, Queues};
use crate::{Profiles, profile};

fn fit_of(driver: &str, change: impl FnOnce(&mut Port), asked: &Requirement) -> Fit {
    let profiles = Profiles::embedded().unwrap();
    let mut port = Port::new(driver, Bytes(1500));
    change(&mut port);
    let profile = profiles.of(&port).map(|found| &found.entry.profile);
    fit(asked, profile, "eth0", &port)
}

fn best(driver: &str, change: impl FnOnce(&mut Port)) -> Fit {
    fit_of(driver, change, &Requirement::best())
}

fn demand(demand: Demand) -> Requirement {
    Requirement { demand, ..Requirement::best() }
}

#[test]
fn native_comes_first_where_the_driver_has_it_and_generic_is_the_fallback() {
    for driver in ["veth", "virtio_net", "mlx5_core", "ice", "nfp", "tun", "igc"] {
        let choice = best(driver, |_| {}).choice();
        assert_eq!((choice.first, choice.fallbacks), (Mode::Native, vec![Mode::Generic]), "{driver}");
        assert_eq!(choice.reason, format!("driver {driver} runs XDP itself"));
    }
}

#[test]
fn a_driver_without_native_xdp_is_not_asked_for_it() {
    for driver in ["bridge", "mlx5e_rep", "dummy", "mlxsw_spectrum"] {
        let choice = best(driver, |_| {}).choice();
        assert_eq!((choice.first, choice.fallbacks), (Mode::Generic, vec![]), "{driver}");
        assert_eq!(choice.reason, format!("no xdp-native: driver {driver}: it has no ndo_bpf"));
    }
}

#[test]
fn a_driver_that_takes_a_native_program_and_ignores_it_is_never_given_one() {
    let choice = best("netdevsim", |_| {}).choice();
    assert_eq!((choice.first, choice.fallbacks), (Mode::Generic, vec![]));
    assert!(
        choice
            .reason
            .starts_with("no xdp-native: driver netdevsim accepts such programs and does not run them")
    );
}

#[test]
fn an_mtu_above_the_drivers_limit_says_both_numbers_and_what_mends_it() {
    let fit = best("igc", |port| port.mtu = Bytes(9000));
    assert_eq!(fit.mode, Mode::Generic);
    assert_eq!(
        fit.to_string(),
        "no xdp-native: it needs an MTU of at most 1500 B, and there is 9000 B (`ip link set dev eth0 mtu 1500` mends it)"
    );
}

#[test]
fn fragments_lift_a_limit_that_is_for_linear_frames_only() {
    let large = |port: &mut Port| port.mtu = Bytes(9000);
    let asked = Requirement { frames: Frames::Fragments, ..Requirement::best() };
    assert_eq!(best("mlx5_core", large).mode, Mode::Generic);
    assert_eq!(fit_of("mlx5_core", large, &asked).mode, Mode::Native);
    assert_eq!(fit_of("ena", large, &asked).mode, Mode::Generic, "ENA takes no fragments");
}

#[test]
fn every_unmet_need_is_told_at_once() {
    let fit = best("mlx5_core", |port| {
        port.lro = Some(Switch::On);
        port.hw_gro = Some(Switch::On);
        port.xdp_features = Some(Vec::new());
    });
    let [PassedOver { mode: Mode::Offload, .. }, PassedOver { mode: Mode::Native, reasons }] =
        &fit.passed_over[..]
    else {
        panic!("{fit:?}")
    };
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert_eq!(reasons[2], Reason::Unclaimed { driver: "mlx5_core".to_owned() });
}

#[test]
fn an_unknown_driver_is_asked_and_the_reason_says_so() {
    let choice = best("fancynic", |_| {}).choice();
    assert_eq!((choice.first, choice.fallbacks), (Mode::Native, vec![Mode::Generic]));
    assert_eq!(choice.reason, "no profile for driver fancynic, so native is tried");
}

#[test]
fn what_native_costs_is_said() {
    let fit = best("igc", |port| port.vlan_stripping = Some(Switch::On));
    let link = Interruption::Link;
    let [Cost::Interruption { first, exchange }, Cost::Blind { needs, found, mend: Some(mend) }] =
        &fit.costs[..]
    else {
        panic!("{:?}", fit.costs)
    };
    assert_eq!((*first, *exchange), (link, link));
    assert_eq!((needs.as_str(), found.as_str()), ("VLAN stripping off", "on"));
    assert_eq!(mend, "ethtool -K eth0 rxvlan off");
}

#[test]
fn ways_past_a_dpus_program_are_open_or_shut_as_seen() {
    let state = |tc: Option<Switch>| {
        let fit = best("mlx5_core", |port| {
            port.pci = "15b3:a2dc".parse().ok();
            port.tc_offload = tc;
        });
        assert!(fit.bypasses[0].risk.contains("eSwitch"));
        fit.bypasses[0].state
    };
    assert_eq!(state(Some(Switch::On)), BypassState::Open);
    assert_eq!(state(Some(Switch::Off)), BypassState::Shut);
    assert_eq!(state(None), BypassState::Unseen);
    assert_eq!(best("prestera", |_| {}).bypasses[0].state, BypassState::Always);
}

#[test]
fn only_what_the_device_forwards_itself_goes_past_a_port() {
    let past = |driver, vfs, tc| {
        let fit = best(driver, |port| (port.vfs, port.tc_offload) = (vfs, tc));
        fit.forwarded_past().map(|it| it.risk.clone()).collect::<Vec<_>>()
    };
    assert_eq!(past("mlxsw_spectrum", None, None).len(), 1);
    assert_eq!(past("mlx5e_rep", None, Some(Switch::On)).len(), 1);
    assert!(past("mlx5e_rep", None, Some(Switch::Off)).is_empty());
    assert!(past("mlx5e_rep", None, None).is_empty(), "what nobody saw is no news");
    assert!(
        past("ice", Some(4), Some(Switch::Off)).is_empty(),
        "a virtual function's packets to this machine are seen"
    );
}

#[test]
fn a_bridge_of_representors_is_forwarded_by_the_device_only_in_switchdev_mode() {
    let past = |driver: &str, upper: Option<&str>, mode: Option<EswitchMode>| {
        let fit = best(driver, |port| {
            port.upper = upper.map(ToOwned::to_owned);
            port.devlink = mode.map(devlink);
        });
        let bridged: Vec<&BypassCheck> =
            fit.bypasses.iter().filter(|it| it.told_by == Tell::SwitchdevBridge).collect();
        assert_eq!(bridged.len(), 1);
        (bridged[0].state, fit.forwarded_past().count(), bridged[0].mend.clone())
    };
    let mend = || Some("ip link set dev eth0 nomaster".to_owned());
    for driver in ["mlx5_core", "mlx5e_rep", "ice"] {
        let (bridge, bond) = (Some("bridge"), Some("bond"));
        let switchdev = Some(EswitchMode::Switchdev);
        assert_eq!(past(driver, bridge, switchdev), (BypassState::Open, 1, mend()), "{driver}");
        assert_eq!(
            past(driver, bridge, Some(EswitchMode::Legacy)),
            (BypassState::Shut, 0, mend()),
            "{driver}"
        );
        assert_eq!(past(driver, bond, switchdev), (BypassState::Shut, 0, mend()), "{driver}");
        assert_eq!(past(driver, None, switchdev), (BypassState::Shut, 0, mend()), "{driver}");
        assert_eq!(
            past(driver, bridge, None),
            (BypassState::Unseen, 0, mend()),
            "no devlink, no news: {driver}"
        );
    }
}

fn devlink(mode: EswitchMode) -> Devlink {
    Devlink {
        device: "pci/0000:03:00.0".to_owned(),
        flavour: None,
        driver: None,
        versions: Versions::default(),
        eswitch: Some(Eswitch { mode, inline_mode: None, encap: None }),
    }
}

#[test]
fn where_ethtool_has_no_version_of_the_firmware_devlinks_decide() {
    let asked = Requirement { device: needs(1, HASH), ..Requirement::best() };
    let mode = |ethtool: Option<&str>, running: &[(&str, &str)]| {
        let change = |port: &mut Port| {
            port.firmware = ethtool.map(ToOwned::to_owned);
            let running =
                running.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            let versions = Versions { running, ..Versions::default() };
            port.devlink = Some(Devlink { versions, ..devlink(EswitchMode::Legacy) });
        };
        fit_of("nfp", change, &asked).mode
    };
    let running = [("fw.mgmt", "0.0.5.5"), ("fw.app", "bpf-2.0.6.124 ebpf")];
    assert_eq!(mode(None, &running[1..]), Mode::Offload);
    assert_eq!(mode(None, &running[..1]), Mode::Native);
    assert_eq!(mode(Some("0.0.3.5 nic"), &running[1..]), Mode::Native, "ethtool's word goes first");
}

const HASH: MapNeed = MapNeed { kind: MapType::Hash, key: 16, value: 8, entries: 2 };

fn needs(maps: usize, map: MapNeed) -> Option<DeviceNeeds> {
    Some(DeviceNeeds { maps: vec![map; maps], instructions: 100 })
}

#[test]
fn a_device_program_fits_or_says_what_is_too_much() {
    let map = HASH;
    let ebpf = |port: &mut Port| port.firmware = Some("0.0.5.5 0.25 bpf-2.0.6.124 ebpf".to_owned());
    let asked = |device| Requirement { device, ..Requirement::best() };
    let fitting = fit_of("nfp", ebpf, &asked(needs(3, map)));
    assert_eq!((fitting.mode, fitting.fallbacks), (Mode::Offload, vec![Mode::Native, Mode::Generic]));
    assert_eq!(fit_of("netdevsim", |_| {}, &asked(needs(3, map))).mode, Mode::Offload);

    let wide = MapNeed { key: 72, entries: 3, ..map };
    let fit = fit_of("netdevsim", |_| {}, &asked(needs(1, wide)));
    assert_eq!(fit.mode, Mode::Generic);
    let words = "the device program needs 3 entries for one map, and the device takes 2 entries";
    assert!(fit.to_string().contains(words), "{fit}");
    let fit = fit_of("nfp", ebpf, &asked(needs(1, wide)));
    assert_eq!(fit.mode, Mode::Native);
    assert_eq!(
        fit.to_string(),
        "no xdp-offload: the device program needs 72 B for a key, and the device takes 64 B"
    );
    let plain = fit_of("nfp", |port| port.firmware = Some("0.0.3.5 nic".to_owned()), &asked(needs(1, map)));
    let Reason::Unmet { needs, .. } = &plain.passed_over[0].reasons[0] else { panic!("{plain:?}") };
    assert_eq!((plain.mode, needs.as_str()), (Mode::Native, "firmware like `*ebpf`"));
}

#[test]
fn a_demand_is_checked_and_never_bent() {
    let native = Demand { require: Some(Mode::Native), ..Demand::default() };
    let fit = fit_of("veth", |_| {}, &demand(native.clone()));
    assert_eq!(
        (fit.mode, fit.demand, fit.fallbacks),
        (Mode::Native, DemandCheck::Met, vec![]),
        "no way down"
    );
    let fit = fit_of("bridge", |_| {}, &demand(native));
    assert_eq!((fit.mode, fit.demand), (Mode::Generic, DemandCheck::Less { required: Mode::Native }));
    let generic = Demand { at_most: Some(Mode::Generic), ..Demand::default() };
    let fit = fit_of("veth", |_| {}, &demand(generic));
    assert_eq!((fit.mode, fit.demand), (Mode::Generic, DemandCheck::Met));
    assert_eq!(
        fit.to_string(),
        "no xdp-offload: driver veth: it does not load programs into the device \
        (no XDP_SETUP_PROG_HW), and at most xdp-generic is allowed; no xdp-native: at most xdp-generic is allowed"
    );
    let nothing = Demand { forbid: Mode::BEST_FIRST.into(), ..Demand::default() };
    assert_eq!(fit_of("veth", |_| {}, &demand(nothing)).demand, DemandCheck::NothingAllowed);
}
