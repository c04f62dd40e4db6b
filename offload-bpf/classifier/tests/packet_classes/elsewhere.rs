//! What other tests hold: classes that are no packet's, and the known holes of like systems.

/// What shows it.
pub(super) enum Proof {
    /// The case of this name.
    Case(&'static str),
    /// A test function in a file of the workspace.
    Test { file: &'static str, name: &'static str },
}

/// A class, or a part of one, that is shown by another test than a section's cases.
pub(super) struct Elsewhere {
    pub(super) class: u8,
    pub(super) what: &'static str,
    pub(super) proof: Proof,
}

/// A hole that was found in another system.
pub(super) struct Hole {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// Why it is none here.
    pub(super) here: &'static str,
    pub(super) proof: Proof,
}

const PORTS: &str = "nic-agent/tests/ports.rs";
const GENERATIONS: &str = "nic-agent/tests/generations.rs";
const ACCEPT: &str = "nic-agent/core/src/accept/tests.rs";
const ORACLE: &str = "topology/tests/oracle_reads_as_the_specification.rs";

const fn case(class: u8, what: &'static str, name: &'static str) -> Elsewhere {
    Elsewhere { class, what, proof: Proof::Case(name) }
}

const fn test(class: u8, what: &'static str, file: &'static str, name: &'static str) -> Elsewhere {
    Elsewhere { class, what, proof: Proof::Test { file, name } }
}

pub(super) const TESTS: &[Elsewhere] = &[
    case(
        14,
        "What fits one buffer is judged by IP's own lengths, superpackets of the generic hook too; checksums are the stack's",
        "a frame of 3,000 bytes is judged as any other",
    ),
    test(
        14,
        "Frames of several buffers: the program takes none, so the kernel refuses the native hook; the generic one joins them",
        PORTS,
        "a_veth_that_native_refuses_is_attached_generically_with_the_kernels_reason",
    ),
    case(15, "A workload whose policy is missing", "a workload without a policy is never left open"),
    test(
        16,
        "A plan larger than a table",
        "nic-agent/core/src/lower/tests.rs",
        "a_plan_larger_than_a_table_is_refused_with_the_table_and_both_numbers",
    ),
    test(
        17,
        "Start: shut before there is a plan",
        PORTS,
        "a_port_is_shut_natively_before_there_is_a_plan_and_sigterm_leaves_it_shut",
    ),
    test(17, "Restart: nothing is taken off", PORTS, "a_restart_adopts_maps_links_and_program_as_they_are"),
    test(
        17,
        "Upgrade to other maps",
        PORTS,
        "maps_of_another_abi_version_are_replaced_under_the_same_link_and_the_port_stays_shut",
    ),
    test(17, "Interface replaced", PORTS, "a_port_that_is_deleted_and_made_again_is_shut_again"),
    test(
        17,
        "Lesser mode: said, never silent",
        PORTS,
        "a_veth_that_native_refuses_is_attached_generically_with_the_kernels_reason",
    ),
    test(
        17,
        "Outage of controller and etcd",
        GENERATIONS,
        "an_outage_changes_nothing_and_a_restart_in_it_puts_the_plan_on_disk_in_force",
    ),
    test(17, "Stale or rolled-back generation", ACCEPT, "an_older_generation_is_refused_with_both_numbers"),
    test(
        17,
        "A crash anywhere between two generations",
        "nic-agent/core/src/reconcile/tests.rs",
        "traffic_is_judged_by_the_whole_old_or_the_whole_new_generation_at_every_step_and_a_crash_anywhere_converges",
    ),
];

pub(super) const HOLES: &[Hole] = &[
    Hole {
        name: "CVE-2023-27595",
        what: "filters removed while the agent restarts",
        here: "links and maps are pinned; a restarted agent adopts them",
        proof: Proof::Test { file: PORTS, name: "a_restart_adopts_maps_links_and_program_as_they_are" },
    },
    Hole {
        name: "GO-2024-3072",
        what: "nothing enforced while the agent starts",
        here: "a port without a generation passes only what a fabric needs to live",
        proof: Proof::Test {
            file: PORTS,
            name: "a_port_is_shut_natively_before_there_is_a_plan_and_sigterm_leaves_it_shut",
        },
    },
    Hole {
        name: "GHSA-8fg8-jh2h-f2hc",
        what: "an IPv6 source taken for the host",
        here: "the node's own addresses are no source on a wire",
        proof: Proof::Case("an IPv6 source that claims to be the node is spoofed (GHSA-8fg8-jh2h-f2hc)"),
    },
    Hole {
        name: "GHSA-c66w-hq56-4q97",
        what: "an ICMP identifier that rides a reverse entry",
        here: "who asks is part of an echo's key",
        proof: Proof::Case(
            "a denied request can't ride the entry of a reply by its identifier (GHSA-c66w-hq56-4q97)",
        ),
    },
    Hole {
        name: "CVE-2024-47825",
        what: "a CIDR's deny shadowed by a narrower allow",
        here: "a class of peers is refined by every CIDR that contains it",
        proof: Proof::Test {
            file: ORACLE,
            name: "a_wide_cidr_is_not_shadowed_by_narrower_ones_nor_by_a_workloads_own_address",
        },
    },
    Hole {
        name: "CVE-2025-30163",
        what: "a node's policy that admits its workloads",
        here: "what is for the node is never for what is behind it",
        proof: Proof::Case("failsafe does not open a workload"),
    },
    Hole {
        name: "CVE-2023-39347",
        what: "labels from an untrusted source",
        here: "labels come from documents; what a packet shows of its sender is its port and an address of that port",
        proof: Proof::Case("a source of another port is spoofed"),
    },
    Hole {
        name: "CVE-2026-33726",
        what: "traffic within a node that nobody judges",
        here: "both ends are asked, wherever they are",
        proof: Proof::Case("both ends here: the destination may deny what the source allows"),
    },
    Hole {
        name: "GO-2025-4167",
        what: "an empty selector that allows all",
        here: "a selector that is left out is an error; `{}` has to be written",
        proof: Proof::Test {
            file: "topology/tests/documents/main.rs",
            name: "every_bad_document_is_told_what_is_wrong_and_what_would_be_right",
        },
    },
    Hole {
        name: "CVE-2023-4809",
        what: "repeated IPv6 fragment headers",
        here: "one at most",
        proof: Proof::Case("repeated fragment headers are malformed (CVE-2023-4809)"),
    },
];
