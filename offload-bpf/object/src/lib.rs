//! The compiled XDP object, embedded. `build.rs` compiles it from `offload-bpf/programs`.

/// Makes the bytes start where an ELF reader may take the headers in place.
#[repr(C, align(8))]
struct Aligned<Bytes: ?Sized>(Bytes);

static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/selvedge.o")));

/// An ELF object for the BPF target with the program and the maps that `selvedge_abi` names, aligned to eight bytes.
pub static OBJECT: &[u8] = &ALIGNED.0;
