//! `selvedge-agent`.

fn main() -> std::process::ExitCode {
    selvedge_agent::cli::main()
}
