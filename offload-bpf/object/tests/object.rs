//! The embedded object is one for the BPF target, and tells nothing of the machine that built it.

use std::{env, path::Path};

use selvedge_object::OBJECT;

#[test]
fn it_is_a_bpf_object() {
    const MACHINE_BPF: u16 = 247;
    assert_eq!(&OBJECT[..4], b"\x7fELF");
    assert_eq!(&OBJECT[4..6], &[2, 1], "64 bits, little endian");
    assert_eq!(u16::from_le_bytes([OBJECT[18], OBJECT[19]]), MACHINE_BPF);
    assert!(contains(b"selvedge_xdp"), "the program's symbol");
    for section in ["xdp", "maps", ".BTF", ".BTF.ext"] {
        assert!(contains(format!("{section}\0").as_bytes()), "a section {section}"); // names may share a tail
    }
}

#[test]
fn it_starts_where_elf_headers_can_be_read_in_place() {
    assert!(OBJECT.as_ptr().addr().is_multiple_of(8));
}

#[test]
fn it_names_no_folder_of_the_machine_that_built_it() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders up");
    let folders = [Some(workspace.into()), env::home_dir(), env::var_os("CARGO_HOME").map(Into::into)];
    for folder in folders.into_iter().flatten() {
        let text = folder.to_str().expect("a folder in UTF-8");
        assert!(!contains(format!("{text}/").as_bytes()), "the object names {text}");
    }
    assert!(
        contains(b"/selvedge/offload-bpf/programs"),
        "sources are named by the folder that stands for the workspace"
    );
}

fn contains(needle: &[u8]) -> bool {
    OBJECT.windows(needle.len()).any(|window| window == needle)
}
