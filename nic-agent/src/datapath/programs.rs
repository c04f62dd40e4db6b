//! The node's programs: those of before where they are the same code, so that a restart changes nothing.

use std::io;
use std::path::Path;

use aya::pin::PinError;
use aya::programs::{Program, ProgramError, ProgramInfo, SchedClassifier, Xdp};
use aya::{Ebpf, EbpfLoader};
use selvedge_abi::{PROGRAM_EGRESS, PROGRAM_XDP, map};

use super::kernel::{DatapathError, chain};
use super::pins::Pins;

/// A program of the object, by its type.
pub(super) trait Pinnable: Sized {
    /// Its name in the object.
    const NAME: &'static str;

    fn of(program: &mut Program) -> Result<&mut Self, ProgramError>;
    fn load(&mut self) -> Result<(), ProgramError>;
    fn info(&self) -> Result<ProgramInfo, ProgramError>;
    fn pin(&mut self, path: &Path) -> Result<(), PinError>;
    fn from_pin(path: &Path) -> Result<Self, ProgramError>;
}

macro_rules! pinnable {
    ($type:ident, $name:expr, $($more:expr)?) => {
        impl Pinnable for $type {
            const NAME: &'static str = $name;

            fn of(program: &mut Program) -> Result<&mut Self, ProgramError> {
                program.try_into()
            }

            fn load(&mut self) -> Result<(), ProgramError> {
                self.load()
            }

            fn info(&self) -> Result<ProgramInfo, ProgramError> {
                self.info()
            }

            fn pin(&mut self, path: &Path) -> Result<(), PinError> {
                self.pin(path)
            }

            fn from_pin(path: &Path) -> Result<Self, ProgramError> {
                $type::from_pin(path $(, $more)?)
            }
        }
    };
}

pinnable!(Xdp, PROGRAM_XDP, aya_obj::programs::XdpAttachType::Interface);
pinnable!(SchedClassifier, PROGRAM_EGRESS,);

/// The object once more, over the maps that are pinned.
pub(super) fn over_pinned_maps(pins: &Pins) -> Result<Ebpf, DatapathError> {
    let mut loader = EbpfLoader::new();
    for name in map::ALL {
        loader.map_pin_path(name, pins.map(name));
    }
    Ok(loader.load(selvedge_object::OBJECT)?)
}

/// A program of `object`.
pub(super) fn of<P: Pinnable>(object: &mut Ebpf) -> Result<&mut P, DatapathError> {
    let missing = DatapathError::MissingProgram { name: P::NAME };
    Ok(P::of(object.program_mut(P::NAME).ok_or(missing)?)?)
}

/// A program of `object`, loaded.
pub(super) fn load<P: Pinnable>(object: &mut Ebpf) -> Result<&mut P, DatapathError> {
    let program = of::<P>(object)?;
    program.load()?;
    Ok(program)
}

/// The program pinned at `path` if it is the same code as that of `object`, over the same tables; else the latter, pinned in its place.
pub(super) fn adopt<P: Pinnable>(object: &mut Ebpf, path: &Path, config: u32) -> Result<P, DatapathError> {
    let loaded = load::<P>(object)?;
    if let Ok(pinned) = P::from_pin(path) {
        // The tag digests the instructions.
        let same = pinned.info()?.tag() == loaded.info()?.tag();
        if same && pinned.info()?.map_ids()?.is_some_and(|maps| maps.contains(&config)) {
            return Ok(pinned);
        }
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!("{name}-new"));
    let failed = |source: io::Error| DatapathError::Pin { path: path.to_owned(), source };
    std::fs::remove_file(&beside).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(failed(error)),
    })?;
    loaded.pin(&beside).map_err(|error| failed(io::Error::other(chain(&error))))?;
    std::fs::rename(&beside, path).map_err(failed)?;
    Ok(P::from_pin(path)?)
}
