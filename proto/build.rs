//! Generates the protobuf types and services; needs protoc.

use std::path::PathBuf;
use std::process::ExitCode;

const FILES: [&str; 4] = ["plan", "store", "flow", "fabric"];

fn main() -> ExitCode {
    let protos: Vec<PathBuf> =
        FILES.iter().map(|name| PathBuf::from(format!("proto/selvedge/v1/{name}.proto"))).collect();
    match tonic_prost_build::configure().compile_protos(&protos, &[PathBuf::from("proto")]) {
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
