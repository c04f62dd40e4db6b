use std::path::Path;

use super::*;
use crate::fit::{BypassState, Fit};
use crate::port::{EswitchMode, Flavour};
use crate::{Profiles, Requirement, fit};

fn recording(name: &str) -> Recording {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings").join(format!("{name}.yaml"));
    Recording::parse(name, &std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The profile and the fit of every port, as on the machine itself.
fn replay(name: &str) -> BTreeMap<String, (String, Fit)> {
    let profiles = Profiles::embedded().unwrap();
    let ports = recording(name).ports.into_iter().map(|(name, RecordedPort { seen, .. })| {
        let profile = &profiles.of(&seen).unwrap().entry.profile;
        let fit = fit(&Requirement::best(), Some(profile), &name, &seen);
        (name, (profile.name.clone(), fit))
    });
    ports.collect()
}

#[test]
fn a_bluefield_runs_native_on_its_wire_generic_on_its_representors_and_the_eswitch_may_pass_both() {
    let ports = replay("bluefield-3");
    assert!(ports.values().all(|(profile, _)| profile == "bluefield-3"));
    let mode = |name: &str| ports[name].1.mode;
    assert_eq!((mode("p0"), mode("pf0hpf"), mode("pf0vf0")), (Mode::Native, Mode::Generic, Mode::Generic));
    let eswitch = |name: &str| ports[name].1.bypasses[0].state;
    assert_eq!((eswitch("p0"), eswitch("pf0hpf")), (BypassState::Open, BypassState::Open));
    assert_eq!(eswitch("pf0vf0"), BypassState::Shut);
    let mend = ports["pf0hpf"].1.bypasses[0].mend.as_deref();
    assert_eq!(mend, Some("ethtool -K pf0hpf hw-tc-offload off"));
}

#[test]
fn devlink_tells_what_a_port_is_on_its_card_and_recordings_without_it_read_as_ever() {
    let recording = recording("bluefield-3");
    let seen = |name: &str| recording.ports[name].seen.clone();
    let flavours = ["p0", "pf0hpf", "pf0vf0"].map(|name| seen(name).flavour());
    assert_eq!(flavours, [Flavour::Physical, Flavour::PciPf, Flavour::PciVf]);
    for name in ["p0", "pf0hpf", "pf0vf0"] {
        let devlink = seen(name).devlink.unwrap();
        assert_eq!(devlink.device, "pci/0000:03:00.0");
        assert_eq!(devlink.eswitch.map(|it| it.mode), Some(EswitchMode::Switchdev));
    }
    assert!(self::recording("agilio").ports.values().all(|port| port.seen.devlink.is_none()));
}

#[test]
fn an_agilio_offloads_with_the_right_firmware_once_there_is_a_program() {
    let ports = replay("agilio");
    assert!(ports.values().all(|(profile, fit)| profile == "nfp" && fit.mode == Mode::Native));
    let asked = Requirement { device: Some(crate::fit::DeviceNeeds::default()), ..Requirement::best() };
    let profiles = Profiles::embedded().unwrap();
    let mode = |name: &str| {
        let seen = recording("agilio").ports.remove(name).unwrap().seen;
        fit(&asked, profiles.of(&seen).map(|found| &found.entry.profile), name, &seen).mode
    };
    assert_eq!((mode("enp4s0np0"), mode("enp5s0np0")), (Mode::Offload, Mode::Native));
}

#[test]
fn the_dpu_of_the_lab_runs_native_on_both_ports_and_nothing_passes_them() {
    assert_eq!(recording("virtio-arm64").origin, Origin::Recorded);
    let ports = replay("virtio-arm64");
    assert_eq!(ports.keys().collect::<Vec<_>>(), ["p0", "pf0hpf"]);
    for (name, (profile, fit)) in ports {
        assert_eq!((profile.as_str(), fit.mode), ("virtio-net", Mode::Native), "{name}");
        assert!(fit.bypasses.is_empty(), "{name}: {:?}", fit.bypasses);
    }
}

#[test]
fn what_a_switch_asic_forwards_is_told_of_every_port() {
    for (name, (profile, fit)) in replay("spectrum") {
        assert_eq!((profile.as_str(), fit.mode), ("mlxsw", Mode::Generic), "{name}");
        assert_eq!(fit.bypasses[0].state, BypassState::Always, "{name}");
    }
}

#[test]
fn a_recording_says_whether_a_device_was_ever_looked_at() {
    for name in ["bluefield-3", "agilio", "spectrum"] {
        let recording = recording(name);
        assert_eq!(recording.origin, Origin::DerivedFromSource);
        assert!(recording.note.contains("not recorded from silicon"));
        assert_eq!(Recording::parse(name, &recording.to_yaml().unwrap()).unwrap(), recording);
    }
}

#[test]
fn a_veth_that_was_recorded_runs_native_and_the_bridge_beside_it_does_not() {
    let recorded = recording("veth");
    assert_eq!((recorded.origin, recorded.page), (Origin::Recorded, Bytes(4096)));
    let ports = replay("veth");
    assert_eq!((ports["eth0"].1.mode, ports["br0"].1.mode), (Mode::Native, Mode::Generic));
    assert_eq!(ports["br0"].1.bypasses[0].state, BypassState::Always);
}

#[test]
fn another_version_and_unknown_fields_are_refused_in_words() {
    let error = Recording::parse("x.yaml", "recording: 2\nfuture: yes\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "recording x.yaml: it is of version 2, and this is version 1; record it again"
    );
    let text =
        recording("spectrum").to_yaml().unwrap().replace("driver: mlx", "colour: red\n      driver: mlx");
    let error = Recording::parse("x.yaml", &text).unwrap_err().to_string();
    assert!(error.starts_with("recording x.yaml: ports.swp1.seen: unknown field `colour`"), "{error}");
    assert!(error.contains("at line "), "{error}");
}
