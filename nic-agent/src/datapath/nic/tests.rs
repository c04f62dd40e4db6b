//! Every step that hardware can refuse, refused once.

use std::collections::BTreeMap;

use selvedge_codegen::{DeviceProgram, Kind};
use selvedge_hw_profiles::profile::MapType;

use super::*;

/// The steps, in the words in which a test names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Map,
    Entry,
    Load,
    Replace,
    TakeOut,
    Attach,
}

/// A NIC in memory that refuses some steps.
#[derive(Default)]
struct Fake {
    refuses: &'static [Fault],
    runs: BTreeMap<PortName, ProgramName>,
    /// How often a port went without a program.
    bare: usize,
}

impl Fake {
    fn step(&self, fault: Fault) -> Result<(), String> {
        if self.refuses.contains(&fault) { Err("[nsim] not today".to_owned()) } else { Ok(()) }
    }
}

impl Hardware for Fake {
    type Map = ();
    type Program = ProgramName;

    fn make_map(&mut self, _: IfIndex, _: &Map) -> Result<(), String> {
        self.step(Fault::Map)
    }

    fn write(&mut self, (): &(), _: &[u8], _: &[u8]) -> Result<(), String> {
        self.step(Fault::Entry)
    }

    fn load(&mut self, _: IfIndex, program: &NicProgram, maps: &[()]) -> Result<ProgramName, String> {
        assert_eq!(maps.len(), program.program.maps.len());
        self.step(Fault::Load).map(|()| program.name.clone())
    }

    fn replace(&mut self, port: &PortName, program: &ProgramName) -> Result<bool, String> {
        let Some(runs) = self.runs.get_mut(port) else { return Ok(false) };
        if self.refuses.contains(&Fault::Replace) {
            return Err("busy".to_owned());
        }
        *runs = program.clone();
        Ok(true)
    }

    fn take_out(&mut self, port: &PortName) -> io::Result<()> {
        self.step(Fault::TakeOut).map_err(io::Error::other)?;
        self.bare += usize::from(self.runs.remove(port).is_some());
        Ok(())
    }

    fn attach(&mut self, port: &PortName, _: IfIndex, program: &ProgramName) -> Result<(), String> {
        assert!(!self.runs.contains_key(port), "two programs in one NIC");
        self.step(Fault::Attach)?;
        self.runs.insert(port.clone(), program.clone());
        Ok(())
    }
}

fn program(value: u8) -> NicProgram {
    let map = Map {
        name: "sources".to_owned(),
        kind: MapType::Hash,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        entries: vec![(vec![10, 0, 0, 1], vec![value; 4])],
    };
    let none = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (relocations, counters, shed, notes) = none;
    let (kind, instructions, maps) = (Kind::Prefilter, Vec::new(), vec![map]);
    Box::new(DeviceProgram { kind, instructions, relocations, maps, counters, shed, notes }).into()
}

fn put_on(hardware: &mut Fake, program: &NicProgram) -> io::Result<Result<(), NicRefusal>> {
    put(hardware, &"eth0".parse().unwrap(), IfIndex(7), program)
}

fn running(hardware: &Fake) -> Option<&ProgramName> {
    hardware.runs.values().next()
}

#[test]
fn a_program_takes_the_place_of_another_while_packets_pass() {
    let mut hardware = Fake::default();
    let (first, second) = (program(1), program(2));
    assert_ne!(first.name, second.name, "what is in its maps is part of a program");
    assert_eq!(put_on(&mut hardware, &first).unwrap(), Ok(()));
    assert_eq!(put_on(&mut hardware, &second).unwrap(), Ok(()));
    assert_eq!((running(&hardware), hardware.bare), (Some(&second.name), 0));
}

#[test]
fn where_a_nic_does_not_change_programs_at_once_it_goes_without_one_meanwhile() {
    let mut hardware = Fake::default();
    put_on(&mut hardware, &program(1)).unwrap().unwrap();
    hardware.refuses = &[Fault::Replace];
    assert_eq!(put_on(&mut hardware, &program(2)).unwrap(), Ok(()));
    assert_eq!((running(&hardware), hardware.bare), (Some(&program(2).name), 1));
}

#[test]
fn whatever_step_is_refused_no_old_program_stays_and_the_words_come_back() {
    let refusals: [(&'static [Fault], &str); 4] = [
        (&[Fault::Map], "the NIC does not take the map `sources`: [nsim] not today"),
        (&[Fault::Entry], "the NIC does not take an entry of the map `sources`: [nsim] not today"),
        (&[Fault::Load], "the NIC does not take the program: [nsim] not today"),
        (
            &[Fault::Replace, Fault::Attach],
            "the NIC does not take the program in the place of the one that it ran (busy), nor does it run it without that one: \
             [nsim] not today",
        ),
    ];
    for (faults, told) in refusals {
        let mut hardware = Fake::default();
        put_on(&mut hardware, &program(1)).unwrap().unwrap();
        hardware.refuses = faults;
        let refusal = put_on(&mut hardware, &program(2)).unwrap().unwrap_err();
        assert_eq!((refusal.to_string().as_str(), running(&hardware)), (told, None));
        hardware.refuses = &[];
        assert_eq!(put_on(&mut hardware, &program(2)).unwrap(), Ok(()), "{faults:?} are over");
    }
    let mut hardware = Fake { refuses: &[Fault::Attach], ..Fake::default() };
    let refusal = put_on(&mut hardware, &program(1)).unwrap().unwrap_err();
    assert_eq!(refusal.to_string(), "the NIC does not run the program: [nsim] not today");
    assert_eq!(running(&hardware), None);
}

#[test]
fn an_old_program_that_can_not_be_taken_out_is_an_error_that_stops_everything_after_it() {
    let mut hardware = Fake::default();
    put_on(&mut hardware, &program(1)).unwrap().unwrap();
    hardware.refuses = &[Fault::TakeOut];
    assert_eq!(put_on(&mut hardware, &program(2)).unwrap(), Ok(()), "it was replaced");
    let error = hardware.take_out(&"eth0".parse().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "[nsim] not today");
    assert_eq!(running(&hardware), Some(&program(2).name));
}
