//! libFuzzer over one target, which `SELVEDGE_FUZZ_TARGET` names. Started by `make fuzz`.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use selvedge_tests::fuzz::{TARGETS, Target};

static TARGET: OnceLock<Target> = OnceLock::new();

/// The target, found once; where there is none of that name, the names there are.
fn target() -> &'static Target {
    TARGET.get_or_init(|| {
        let name = std::env::var("SELVEDGE_FUZZ_TARGET").unwrap_or_default();
        Target::named(&name).unwrap_or_else(|| {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            eprintln!("fuzz: there is no target `{name}`; there are {}", names.join(", "));
            std::process::exit(2);
        })
    })
}

fuzz_target!(
    init: {
        // Seeds are made from the code, so they are written anew each time.
        if let Ok(folder) = std::env::var("SELVEDGE_FUZZ_SEEDS") {
            for (number, seed) in (target().seeds)().iter().enumerate() {
                std::fs::write(format!("{folder}/seed-{number:04}"), seed).expect("the folder of seeds can be written");
            }
        }
    },
    |input: &[u8]| {
        (target().run)(input);
    }
);
