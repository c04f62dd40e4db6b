use std::collections::BTreeSet;

use super::*;
use crate::mode::Mode;
use crate::profile::{DeviceKind, Role, Source, Support};
use crate::units::Bytes;

fn port(driver: &str) -> Port {
    Port::new(driver, Bytes(1500))
}

fn with_pci(driver: &str, id: &str) -> Port {
    Port { pci: Some(id.parse().unwrap()), ..port(driver) }
}

/// A profile that is right, of a driver `x`.
fn text(name: &str) -> String {
    format!(
        "profile: {name}\ntitle: T\nkind: nic\nkernel: \"6.12\"\nmatch: {{drivers: [x]}}\nnetdevs:\n  - role: uplink\n    \
         xdp-offload: {{programs: absent, because: b, source: drivers/net/veth.c a}}\n    \
         xdp-native: {{programs: absent, because: b, source: drivers/net/veth.c a}}\n\
         constraints: []\nbypasses: []\nunknown: []\n"
    )
}

fn refused(stem: &str, text: &str) -> String {
    Profiles::embedded().unwrap().with_texts([(stem, text)]).unwrap_err().to_string()
}

#[test]
fn every_file_of_the_folder_is_embedded_and_can_be_read_back_from_what_is_shown_of_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let embedded: BTreeSet<String> = EMBEDDED.iter().map(|(name, _)| format!("{name}.yaml")).collect();
    assert_eq!(names.collect::<BTreeSet<_>>(), embedded);
    let profiles = Profiles::embedded().unwrap();
    assert_eq!(profiles.iter().count(), EMBEDDED.len());
    for Entry { profile, .. } in profiles.iter() {
        let shown = serde_norway::to_string(profile).unwrap();
        let raw: Raw = serde_norway::from_str(&shown).unwrap_or_else(|error| panic!("{error}\n{shown}"));
        assert_eq!(raw.complete(None).as_ref(), Ok(profile), "{}", profile.name);
    }
}

#[test]
fn every_family_that_is_to_be_known_has_its_best_mode() {
    let best = [
        ("nfp", Mode::Offload),
        ("netdevsim", Mode::Offload),
        ("connectx-5", Mode::Native),
        ("connectx-6", Mode::Native),
        ("connectx-7", Mode::Native),
        ("bluefield-2", Mode::Native),
        ("bluefield-3", Mode::Native),
        ("e810", Mode::Native),
        ("x710", Mode::Native),
        ("ixgbe", Mode::Native),
        ("i225", Mode::Native),
        ("bnxt", Mode::Native),
        ("stingray", Mode::Native),
        ("ql4xxxx", Mode::Native),
        ("ena", Mode::Native),
        ("gvnic", Mode::Native),
        ("virtio-net", Mode::Native),
        ("veth", Mode::Native),
        ("tun", Mode::Native),
        ("hv-netvsc", Mode::Native),
        ("mana", Mode::Native),
        ("vmxnet3", Mode::Native),
        ("pensando-dsc", Mode::Native),
        ("octeon", Mode::Native),
        ("dpaa2", Mode::Native),
        ("enetc", Mode::Native),
        ("stmmac", Mode::Native),
        ("mvneta", Mode::Native),
        ("mvpp2", Mode::Native),
        ("am65", Mode::Native),
        ("lan966x", Mode::Native),
        ("mlxsw", Mode::Generic),
        ("prestera", Mode::Generic),
        ("sparx5", Mode::Generic),
        ("sonic", Mode::Generic),
        ("dsa", Mode::Generic),
        ("bridge", Mode::Generic),
    ];
    let profiles = Profiles::embedded().unwrap();
    for (name, mode) in best {
        assert_eq!(profiles.get(name).unwrap().profile.best(), mode, "{name}");
    }
}

#[test]
fn only_the_two_drivers_that_the_kernel_has_run_programs_in_the_device() {
    let profiles = Profiles::embedded().unwrap();
    let offload = profiles.iter().filter(|entry| entry.profile.offload.is_some());
    assert_eq!(offload.map(|entry| entry.profile.name.as_str()).collect::<Vec<_>>(), ["netdevsim", "nfp"]);
}

#[test]
fn every_figure_is_from_the_kernels_source_or_says_where_else() {
    let mut sources = 0;
    for Entry { profile, .. } in Profiles::embedded().unwrap().iter() {
        assert_eq!(profile.kernel, "6.12");
        for source in profile.sources() {
            let in_tree = |file: &str| {
                ["drivers/", "net/", "include/", "Documentation/"].iter().any(|top| file.starts_with(top))
            };
            match source {
                Source::Kernel { file, .. } => assert!(in_tree(file), "{}: {file}", profile.name),
                Source::Code(_) => assert_eq!(profile.name, "sonic"),
                other => panic!("{}: {other}", profile.name),
            }
            sources += 1;
        }
    }
    assert!(sources > 200, "{sources}");
}

#[test]
fn a_switch_asic_forwards_past_every_program() {
    for name in ["mlxsw", "prestera", "sparx5", "sonic", "dsa"] {
        let profiles = Profiles::embedded().unwrap();
        let profile = &profiles.get(name).unwrap().profile;
        assert_eq!(profile.kind, DeviceKind::Switch);
        assert!(profile.bypasses.iter().any(|it| it.told_by == crate::profile::Tell::Always), "{name}");
        assert!(matches!(profile.netdevs[0].native, Support::Absent(..)), "{name}");
    }
}

#[test]
fn a_pci_id_is_more_particular_than_a_driver_and_an_unknown_one_falls_back_to_it() {
    let profiles = Profiles::embedded().unwrap();
    let name = |port: &Port| profiles.of(port).map(|found| found.entry.profile.name.clone());
    assert_eq!(name(&with_pci("mlx5_core", "15b3:a2dc")).as_deref(), Some("bluefield-3"));
    assert_eq!(name(&with_pci("mlx5e_rep", "15b3:a2d6")).as_deref(), Some("bluefield-2"));
    assert_eq!(name(&with_pci("mlx5_core", "15b3:1019")).as_deref(), Some("connectx-5"));
    assert_eq!(name(&with_pci("mlx5_core", "15b3:ffff")).as_deref(), Some("mlx5"));
    assert_eq!(name(&port("mlx5_core")).as_deref(), Some("mlx5"));
    assert_eq!(name(&with_pci("bnxt_en", "14e4:d802")).as_deref(), Some("stingray"));
    assert_eq!(name(&with_pci("ice", "8086:ffff")).as_deref(), Some("e810"), "its driver is enough");
    assert_eq!(name(&port("fancynic")), None);
    let by_pci = |id: &str| profiles.by_pci(id.parse().unwrap()).map(|entry| entry.profile.name.as_str());
    assert_eq!(by_pci("8086:159b"), Some("e810"));
    assert_eq!(by_pci("15b3:a2dc"), Some("bluefield-3"));
    assert_eq!(by_pci("15b3:1023"), Some("mlx5"));
    assert_eq!(by_pci("dead:beef"), None);
}

#[test]
fn the_ports_of_a_dpu_are_told_apart_by_driver_and_name() {
    let profiles = Profiles::embedded().unwrap();
    let role = |driver: &str, id: &str, phys: &str| {
        let port = Port { phys_port_name: Some(phys.to_owned()), ..with_pci(driver, id) };
        profiles.of(&port).unwrap().entry.profile.netdev(&port).unwrap().role
    };
    assert_eq!(role("mlx5_core", "15b3:a2dc", "p0"), Role::Uplink);
    assert_eq!(role("mlx5e_rep", "15b3:a2dc", "c1pf0"), Role::HostRepresentor);
    assert_eq!(role("mlx5e_rep", "15b3:a2dc", "c1pf0vf3"), Role::VfRepresentor);
    assert_eq!(role("mlx5e_rep", "15b3:a2dc", "pf0sf7"), Role::VfRepresentor);
    assert_eq!(role("mlx5_core", "15b3:1018", ""), Role::VirtualFunction);
    // Both call themselves as their card does.
    assert_eq!(role("bnxt_en", "14e4:d802", "pf0vf1"), Role::VfRepresentor);
    assert_eq!(role("ice", "8086:159b", "pf0vf1"), Role::VfRepresentor);
    assert_eq!(role("nfp", "19ee:4000", "pf0vf1"), Role::VfRepresentor);
    assert_eq!(role("nfp", "19ee:4000", "p0"), Role::Uplink);
}

#[test]
fn a_field_nobody_knows_is_refused_with_its_place() {
    let error = refused("x", &text("x").replace("title: T", "title: T\nspeed: 100"));
    assert!(error.starts_with("profile x.yaml: unknown field `speed`, expected one of "), "{error}");
    assert!(error.ends_with("at line 3 column 1"), "{error}");
    let error = refused("x", &text("x").replace("role: uplink", "role: uplink\n    colour: red"));
    assert!(error.starts_with("profile x.yaml: netdevs[0]: unknown field `colour`"), "{error}");
    assert!(error.ends_with("at line 8 column 5"), "{error}");
    let error = refused("x", &text("x").replace("programs: absent, because: b", "programs: absent"));
    assert!(error.contains("netdevs[0]: `because` is missing"), "{error}");
    let error = refused("x", &text("x").replace("drivers/net/veth.c a", "hearsay"));
    assert!(error.contains("`hearsay` is no source"), "{error}");
}

#[test]
fn a_profile_that_says_too_little_is_refused_by_what_is_missing() {
    let cases = [
        ("kind: nic\n", "", "profile x.yaml: `kind` is missing"),
        ("drivers: [x]", "drivers: []", "profile x.yaml: `match.drivers` is empty"),
        (
            "xdp-native: {programs: absent, because: b,",
            "xdp-native: {programs: run,",
            "profile x.yaml: programs run in the driver of a uplink, and `on-set` does not say what setting one does",
        ),
        (
            "xdp-offload: {programs: absent, because: b,",
            "xdp-offload: {programs: run,",
            "profile x.yaml: programs run in the device, and `offload` does not say what it takes",
        ),
        (
            "constraints: []",
            "constraints: [{needs: lro-off, source: drivers/net/veth.c a}]",
            "profile x.yaml: `constraints[0]` is of xdp-native, which no interface of it has",
        ),
        (
            "profile: x",
            "profile: y",
            "profile x.yaml: it calls itself `y`; a profile's file is named after it, `y.yaml`",
        ),
        (
            "title: T",
            "title: T\nextends: nothing",
            "profile x.yaml: it extends `nothing`, and there is no profile of that name that stands by itself",
        ),
    ];
    for (from, to, error) in cases {
        assert!(text("x").contains(from), "{from}");
        assert_eq!(refused("x", &text("x").replace(from, to)), error);
    }
}

#[test]
fn two_profiles_of_one_writer_never_match_a_device_equally() {
    let (one, two) = (text("one"), text("two"));
    let error = Profiles::default().with_texts([("one", one.as_str()), ("two", two.as_str())]).unwrap_err();
    let said = "profile two.yaml: `one` matches the same devices (x) as particularly as this one";
    assert_eq!(error.to_string(), said);
    let narrow = two.replace("drivers: [x]", "drivers: [x], pci: [\"1234:5678\"]");
    assert!(Profiles::default().with_texts([("one", one.as_str()), ("two", &narrow)]).is_ok());
}

#[test]
fn a_users_folder_adds_profiles_and_takes_the_place_of_those_of_the_same_name() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let error = Profiles::with_folder(Some(folder.path())).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("profiles in {}: there is no *.yaml file", folder.path().display())
    );

    write("notes.txt", "not a profile");
    write("lab-nic.yaml", &text("lab-nic").replace("[x]", "[veth]"));
    write(
        "i225.yaml",
        "profile: i225\ntitle: Mine\nextends: i225\nmatch: {drivers: [igc]}\nunknown: [all]\n",
    );
    let profiles = Profiles::with_folder(Some(folder.path())).unwrap();
    let found = profiles.of(&port("veth")).unwrap();
    assert_eq!((found.entry.profile.name.as_str(), found.entry.origin), ("lab-nic", Origin::User));
    let found = profiles.of(&port("igc")).unwrap();
    assert_eq!((found.entry.profile.title.as_str(), found.entry.origin), ("Mine", Origin::User));
    assert_eq!(found.entry.profile.unknown, ["all"]);
    assert_eq!(found.entry.profile.best(), Mode::Native, "what it does not say is as it was");

    write("wrong.yaml", "profile: wrong\nspeed: 1\n");
    let error = Profiles::with_folder(Some(folder.path())).unwrap_err().to_string();
    let file = folder.path().join("wrong.yaml");
    assert!(error.starts_with(&format!("profile {}: unknown field `speed`", file.display())), "{error}");
}
