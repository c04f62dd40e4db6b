//! The picture of a fabric.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use support::{fabric_file, lab};

#[test]
fn every_place_and_every_wire_is_drawn_once() {
    let done = lab(&["graph", fabric_file("plain.yaml").to_str().unwrap()]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    let expected = "\
flowchart TB
    n_leaf{{leaf}}
    n_left[left]
    n_right[right]
    n_left ---|w1| w_one(one):::unenforced
    n_right ---|w1| w_three(three):::unenforced
    n_right ---|w1| w_two(two):::unenforced
  n_leaf ---|swp1 eth0| n_left
  n_leaf ---|swp2 eth0| n_right
  n_leaf ---|swp9| x_outside([outside]):::unenforced
  classDef enforces stroke-width:3px
  classDef unenforced stroke-dasharray:4 3
";
    assert_eq!(done.out, expected);
}

#[test]
fn racks_are_boxes_and_nodes_that_enforce_are_marked() {
    let picture = lab(&["graph", support::demo().to_str().unwrap()]).out;
    for line in [
        "  subgraph r_r1 [rack r1]",
        "    n_dpu1[[dpu1]]:::enforces",
        "    n_leaf1{{leaf1}}",
        "  n_spine1 ---|swp2 swp51| n_leaf2",
    ] {
        assert!(picture.lines().any(|own| own == line), "{line}\n{picture}");
    }
}
