//! Modes that the kernel refuses, and takes later.

use selvedge_hw_profiles::units::Bytes;

use super::*;

const WORDS: &str = "Peer MTU is too large to set XDP (errno 34)";

/// An engine whose port wanted to run natively and does not.
fn refused(directory: &Path) -> Engine<Faulty> {
    let mut engine = engine(with_ports(&["eth0"]), directory);
    engine.datapath().native_refused = Some(WORDS.to_owned());
    engine.offer(fetched(1, plan(&["eth0"])));
    assert_eq!(engine.converge(&[]).unwrap(), Progress::Executed);
    engine.observe(&[]).unwrap();
    engine
}

fn eth0(engine: &mut Engine<Faulty>) -> (PortState, String) {
    let port = report(engine).ports.remove(0);
    (port.state, port.reason)
}

#[test]
fn a_mode_that_the_kernel_refused_is_asked_for_when_it_is_due_and_no_sooner_after_a_restart_either() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = refused(directory.path());
    let generic = (PortState::Enforced(Mode::Generic), format!("xdp-native refused: {WORDS}"));
    assert_eq!(eth0(&mut first), generic);
    assert!(first.waits_for_modes());
    assert_eq!(first.converge(&[]).unwrap(), Progress::Settled, "it is not due yet");
    first.try_modes_again();
    assert_eq!(first.converge(&[]).unwrap(), Progress::Executed, "it is refused again");
    assert_eq!(first.converge(&[]).unwrap(), Progress::Settled);
    assert_eq!(eth0(&mut first), generic);

    let mut second = engine(first.datapath().simulation.clone(), directory.path());
    assert_eq!(second.converge(&[]).unwrap(), Progress::Settled, "nothing was granted since");
    assert!(second.waits_for_modes());
    second.try_modes_again();
    assert_eq!(second.converge(&[]).unwrap(), Progress::Executed);
    let native = (PortState::Enforced(Mode::Native), "driver veth runs XDP itself".to_owned());
    assert_eq!(eth0(&mut second), native);
    assert!(!second.waits_for_modes());
}

#[test]
fn it_is_asked_for_at_once_where_the_port_is_another() {
    let directory = tempfile::tempdir().unwrap();
    let mut engine = refused(directory.path());
    engine.datapath().native_refused = None;
    engine.datapath().simulation.change_mtu(&name("eth0"), Bytes(1400));
    assert_eq!(engine.converge(&[]).unwrap(), Progress::Executed);
    assert_eq!(eth0(&mut engine).0, PortState::Enforced(Mode::Native));
}

#[test]
fn policy_does_not_wait_for_a_better_mode_that_nothing_can_stand_in_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut engine = engine(with_ports(&["eth0"]), directory.path());
    engine.offer(fetched(1, plan(&["eth0"])));
    engine.converge(&[]).unwrap();
    engine.datapath().simulation.change_mode(&name("eth0"), Mode::Generic);
    engine.datapath().fault = Some(engine.datapath().executed);
    engine.offer(fetched(2, plan(&["eth0"])));
    let error = engine.converge(&[]).unwrap_err().to_string();
    assert!(error.starts_with("can't let the stand-in judge what eth0 receives: "), "{error}");
    assert_eq!(engine.converge(&[]).unwrap(), Progress::Executed);
    let told = report(&mut engine);
    assert_eq!(
        (told.in_force, told.ports[0].state),
        (Some(Generation(2)), PortState::Enforced(Mode::Generic))
    );
    assert!(engine.waits_for_modes());
    engine.try_modes_again();
    assert_eq!(engine.converge(&[]).unwrap(), Progress::Executed);
    assert_eq!(eth0(&mut engine).0, PortState::Enforced(Mode::Native));
}

#[test]
fn where_nothing_could_stand_in_the_report_says_that_the_better_mode_is_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let mut engine = engine(with_ports(&["eth0"]), directory.path());
    engine.offer(fetched(1, plan(&["eth0"])));
    engine.converge(&[]).unwrap();
    let simulation = &mut engine.datapath().simulation;
    simulation.without_tcx("the kernel has no tcx (Linux 6.6)");
    simulation.change_mode(&name("eth0"), Mode::Generic);
    assert_eq!(engine.converge(&[]).unwrap(), Progress::Settled);
    let (state, reason) = eth0(&mut engine);
    assert_eq!(state, PortState::Enforced(Mode::Generic));
    let words = "xdp-native is possible by now, and is not taken up, for the port would be open meanwhile: the kernel has no tcx";
    assert!(reason.contains(words), "{reason}");
    assert!(!engine.waits_for_modes());
}
