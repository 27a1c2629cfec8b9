//! The `sickbay` program: everything is in the library.

fn main() -> std::process::ExitCode {
    sickbay::cli::main()
}
