//! vitrail-gate: checks every message of a VM before the compositor sees it.

use std::process::ExitCode;

fn main() -> ExitCode {
    vitrail_proxy::gate::cli::main()
}
