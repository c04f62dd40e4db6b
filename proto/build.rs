//! Generates the protobuf types and services; needs protoc.

use std::path::PathBuf;
use std::process::ExitCode;

const FILES: [&str; 5] = ["plan", "store", "flow", "fabric", "trust"];

fn main() -> ExitCode {
    let protos: Vec<PathBuf> =
        FILES.iter().map(|name| PathBuf::from(format!("proto/selvedge/v1/{name}.proto"))).collect();
    let descriptors = std::env::var_os("OUT_DIR").map(|folder| PathBuf::from(folder).join("descriptors.bin"));
    let configured = descriptors
        .iter()
        .fold(tonic_prost_build::configure(), tonic_prost_build::Builder::file_descriptor_set_path);
    match configured.compile_protos(&protos, &[PathBuf::from("proto")]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!(
                "error: protoc, the protobuf compiler, is missing.\n\
                 Run `make setup`, or install it (Debian: protobuf-compiler and libprotobuf-dev), or set PROTOC \
                 to its path."
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: the .proto files don't compile: {error}");
            ExitCode::FAILURE
        }
    }
}
